//! The moment of a switch to a snapshot: the loop stands still but for the completions that lead through it.
//!
//! * It begins when every write is durable: the log and the engine then agree on what the log holds, and make the same
//!   choice about it.
//! * Meanwhile messages and requests stay in the inbox, within its bounds. What this member's threads report is kept
//!   and handed to the engine afterwards, as if it had come then.

use super::Node;
use super::completion::Completion;
use crate::install::Ready;
use raft::{Input, RoleName};
use tracing::info;

impl Node {
    /// The snapshot to switch to now, if there is one. One that the log has overtaken is dropped.
    pub(super) fn ready_to_switch(&mut self) -> Option<Box<Ready>> {
        let brief = self.raft.brief();
        let useful = |ready: &mut Box<Ready>| ready.switch.place.last.index > brief.commit;
        if self.ready.as_mut().is_some_and(|ready| !useful(ready)) {
            self.ready = None;
        }
        let quiet = self.persisted_io == self.last_io && self.log.is_drained() && brief.role != RoleName::Leader;
        self.ready.take_if(|_| quiet)
    }

    /// Switches state and log, and tells the engine. A failure stops the member; its next start goes on.
    pub(super) async fn switch(&mut self, ready: Box<Ready>) {
        let Ready { switch, membership, done } = *ready;
        let place = switch.place.clone();
        info!(last = %place.last, "switching to a snapshot");
        self.applying.switch(switch);
        let inbox = self.shared.inbox().clone();
        let (mut held, mut reset) = (Vec::new(), false);
        while !reset {
            for completion in inbox.take_completions().await {
                match completion {
                    Completion::Switched => self.log.submit(place.reset()),
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
        self.step(Input::Installed { last: place.last, membership_at: place.membership_at, membership });
        self.reads.applied(place.last.index);
        // The task behind it ends only with this member.
        let _ = done.send(());
        for completion in held {
            self.on_completion(completion);
        }
        self.end_turn();
    }
}
