//! The one client that compacts while others work. It reads the log first, as far as it takes it away: the judge needs
//! every change.

use super::log::Log;
use super::{Chance, PAUSE_AFTER_FAILURE, Shared, ask};
use crate::client::{Client, Dial};
use crate::history::{Answer, Operation, Request};
use anyhow::Result;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two compactions: some fall into every fault of a test.
const REST: Duration = Duration::from_millis(50);

/// Revisions read between two compactions, so that the members have time for their other clients.
const READ_MAX: i64 = 500;

/// Reads of it say which revision a member is at.
const ANY_KEY: &str = "k0";

/// What the compactor knows.
struct Compactor<'a> {
    shared: &'a Shared,
    /// Of its first member's client; the next member's is the next number.
    first_id: usize,
    clients: Vec<Client>,
    /// Whom it asks.
    member: usize,
    compacted: i64,
    log: Log,
    history: Vec<Operation>,
}

/// Compacts until the clients are stopped, and asks another member whenever one fails. Says what it saw and read.
pub(super) async fn run(
    first_id: usize,
    members: &[Dial],
    seed: u64,
    shared: &Shared,
) -> Result<(Vec<Operation>, Log)> {
    let clients = members.iter().map(Client::dial).collect::<Result<Vec<_>>>()?;
    let (log, history) = (Log::empty(), Vec::new());
    let mut compactor = Compactor { shared, first_id, clients, member: 0, compacted: 0, log, history };
    let mut chance = Chance(seed);
    while !shared.stop.load(Ordering::Relaxed) {
        let rest = if compactor.turn(&mut chance).await {
            REST
        } else {
            compactor.member = (compactor.member + 1) % compactor.clients.len();
            PAUSE_AFTER_FAILURE
        };
        tokio::time::sleep(rest).await;
    }
    Ok((compactor.history, compactor.log))
}

impl Compactor<'_> {
    /// Reads on, and compacts some of what it has read. Says whether its member has answered.
    async fn turn(&mut self, chance: &mut Chance) -> bool {
        let client = &mut self.clients[self.member];
        let Ok((last, _)) = client.get(ANY_KEY, true).await else { return false };
        if self.log.read_to(client, last.min(self.log.revision + READ_MAX)).await.is_err() {
            return false;
        }
        let Ok(more @ 1..) = u64::try_from(self.log.revision - self.compacted) else { return true };
        self.compacted += chance.between(1, more);
        let request = Request::Compact { revision: self.compacted };
        let invoked = self.shared.begun.elapsed();
        let answer = ask(client, &request).await;
        let has_answered = answer != Answer::Unknown;
        let (client, returned) = (self.first_id + self.member, self.shared.begun.elapsed());
        self.history.push(Operation { client, invoked, returned, request, answer });
        has_answered
    }
}
