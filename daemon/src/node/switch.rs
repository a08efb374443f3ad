//! The moment of a switch to a snapshot: the loop stands still but for the completions that lead through it.
//!
//! * It begins when every write is durable: the log and the engine then agree on what the log holds, and make the same
//!   choice about it.
//! * Meanwhile messages and requests stay in the inbox, within its bounds. What this member's threads report is kept
//!   and handed to the engine afterwards, as if it had come then.

use super::Node;
use super::completion::Completion;
use crate::install::{Installed, Ready, reset_to};
use crate::snapshot::Manifest;
use raft::{Input, RoleName};
use tracing::info;

impl Node {
    /// The snapshot to switch to now, if there is one. One that the log has overtaken is dropped.
    pub(super) fn ready_to_switch(&mut self) -> Option<Box<Ready>> {
        let brief = self.raft.brief();
        if let Some(ready) = self.ready.take_if(|ready| ready.switch.is_overtaken(brief.commit)) {
            let Ready { switch, done } = *ready;
            drop(switch); // its file is to be removed
            let _ = done.send(Installed::NotNeeded);
        }
        let quiet = self.persisted_io == self.last_io && self.log.is_drained() && brief.role != RoleName::Leader;
        self.ready.take_if(|_| quiet)
    }

    /// Switches state and log, and tells the engine. A failure stops the member; its next start goes on.
    pub(super) async fn switch(&mut self, ready: Box<Ready>) {
        let Ready { switch, done } = *ready;
        let manifest = switch.manifest.clone();
        info!(last = %manifest.last, "switching to a snapshot");
        self.applying.switch(switch);
        let inbox = self.shared.inbox().clone();
        let (mut held, mut reset) = (Vec::new(), false);
        while !reset {
            for completion in inbox.take_completions().await {
                match completion {
                    Completion::Switched => self.log.submit(reset_to(&manifest)),
                    Completion::LogReset => reset = true,
                    Completion::Failed(why) => {
                        self.stop = Some(super::Stop::Failed(why));
                        return;
                    }
                    other => held.push(other),
                }
            }
        }
        self.now = self.clock.now();
        let Manifest { last, membership_at, membership, .. } = manifest;
        self.step(Input::Installed { last, membership_at, membership });
        self.waiters.installed();
        self.reads.applied(last.index);
        for completion in held {
            self.on_completion(completion);
        }
        self.end_turn();
        // Afterwards, so that the task finds the new commit index; it ends only with this member.
        let _ = done.send(Installed::Yes);
    }
}
