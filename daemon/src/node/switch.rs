//! The moment of a switch to a snapshot: the loop stands still but for the completions that lead through it.
//!
//! * It begins when every write is durable: the log and the engine then agree on what the log holds, and make the same
//!   choice about it.
//! * Meanwhile messages and requests stay in the inbox, within its bounds. What this member's threads report is kept
//!   and handed to the engine afterwards, as if it had come then.

use super::completion::Completion;
use super::{Node, Stop};
use crate::install::{Installed, Ready, reset_to};
use crate::snapshot::Manifest;
use raft::planted::{Bug, is_planted};
use raft::{Input, Now, RoleName};
use tokio::sync::oneshot;
use tracing::info;

/// A switch that has begun.
pub(super) struct Switching {
    manifest: Manifest,
    done: oneshot::Sender<Installed>,
    /// What else was reported meanwhile.
    held: Vec<Completion>,
}

impl Node {
    /// The snapshot to switch to now, if there is one. One that the log has overtaken is dropped.
    fn ready_to_switch(&mut self) -> Option<Box<Ready>> {
        let brief = self.raft.brief();
        if let Some(ready) = self.ready.take_if(|ready| ready.switch.is_overtaken(brief.commit)) {
            let Ready { switch, done } = *ready;
            drop(switch); // its file is to be removed
            let _ = done.send(Installed::NotNeeded);
        }
        let durable = self.persisted_io == self.last_io || is_planted(Bug::SwitchBeforeSync);
        let quiet = durable && self.log.is_drained() && brief.role != RoleName::Leader;
        self.ready.take_if(|_| quiet)
    }

    /// Begins to switch state and log, if there is something to switch to.
    pub(super) fn begin_switch(&mut self) {
        let Some(ready) = self.ready_to_switch() else { return };
        let Ready { switch, done } = *ready;
        let manifest = switch.manifest.clone();
        info!(last = %manifest.last, "switching to a snapshot");
        self.store.switch(switch);
        self.switching = Some(Switching { manifest, done, held: Vec::new() });
    }

    /// Nothing but completions is to be taken from the inbox.
    pub(super) fn is_switching(&self) -> bool {
        self.switching.is_some()
    }

    /// Goes on with a switch, and tells the engine when it is done. A failure stops the member; its next start goes on.
    pub(super) fn go_on_switching(&mut self, now: Now, completions: Vec<Completion>) {
        let Some(mut switching) = self.switching.take() else { return };
        let mut reset = false;
        for completion in completions {
            match completion {
                Completion::Switched => self.log.submit(reset_to(&switching.manifest)),
                Completion::LogReset => reset = true,
                Completion::Failed(why) => {
                    self.stop = Some(Stop::Failed(why));
                    return;
                }
                other => switching.held.push(other),
            }
        }
        if reset {
            self.switched(now, switching);
        } else {
            self.switching = Some(switching);
        }
    }

    fn switched(&mut self, now: Now, switching: Switching) {
        let Switching { manifest: Manifest { mut last, membership_at, membership, .. }, done, held } = switching;
        if is_planted(Bug::OtherInstalled) {
            last = self.install_wanted.map_or(last, |wanted| wanted.max(last));
        }
        self.now = now;
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
