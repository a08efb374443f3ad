//! The committed log of a cluster, read back from its states: what changed at a revision is the difference of the states
//! before and after.

use crate::client::{Client, Dial};
use crate::history::Change;
use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Revisions read back at once.
const READ_BACK_AT_ONCE: usize = 64;

/// Reads of the past are waited for as long as this: on a machine that is busy with other tests, the last of so many at once
/// takes more than a client's usual patience.
const READ_BACK_WITHIN: Duration = Duration::from_secs(60);

/// Members have this long to reach the same revision once the load has ended.
const CONVERGE_WITHIN: Duration = Duration::from_secs(30);

/// By key: the revision that wrote it, and the value.
type State = BTreeMap<String, (i64, String)>;

/// The log up to a revision.
#[derive(Debug)]
pub(super) struct Log {
    changes: Vec<Change>,
    /// The state that they make.
    state: State,
    /// Of the last state.
    pub(super) revision: i64,
}

impl Log {
    /// Of a cluster that is new.
    pub(super) const fn empty() -> Self {
        Self { changes: Vec::new(), state: State::new(), revision: 1 }
    }

    /// Reads on up to a revision, of a member that has it. What was read before a failure stays.
    pub(super) async fn read_to(&mut self, client: &Client, last: i64) -> Result<()> {
        let next = self.revision + 1;
        let states = stream::iter(next..=last).map(|revision| state_at(client.clone(), revision));
        let mut states = std::pin::pin!(states.buffered(READ_BACK_AT_ONCE));
        while let Some(state) = states.next().await {
            self.add(state?);
        }
        Ok(())
    }

    fn add(&mut self, after: State) {
        let revision = self.revision + 1;
        let put =
            after.iter().filter(|(_, (at, _))| *at == revision).map(|(key, (_, value))| (key, Some(value.clone())));
        let gone = self.state.keys().filter(|key| !after.contains_key(*key)).map(|key| (key, None));
        let changes = put.chain(gone).map(|(key, value)| Change { revision, key: key.clone(), value });
        self.changes.extend(changes);
        self.state = after;
        self.revision = revision;
    }

    /// The whole log, read from the first member once every member shows the same revision and the same hash.
    pub(super) async fn converged(mut self, members: &[Dial], quiet_for: Duration) -> Result<Vec<Change>> {
        let mut clients = members.iter().map(Client::dial).collect::<Result<Vec<_>>>()?;
        let last = converged_revision(&mut clients, quiet_for).await?;
        let (mut hashes, mut states) = (Vec::new(), Vec::new());
        for client in &mut clients {
            hashes.push(client.hash_kv(last).await.context("HashKV")?);
            states.push(client.everything(last, true).await?.kvs);
        }
        ensure!(hashes.iter().all(|hash| *hash == hashes[0]), "members differ at revision {last}: HashKV {hashes:?}");
        for (state, member) in states.iter().zip(members) {
            let differs = state.iter().zip(&states[0]).find(|(here, there)| here != there);
            ensure!(
                *state == states[0],
                "{} shows other keys at revision {last} than {}: {differs:?}",
                member.address,
                members[0].address
            );
        }
        ensure!(self.revision <= last, "revision {} was shown, and {last} is the last one", self.revision);
        self.read_to(&Client::patient(&members[0], READ_BACK_WITHIN)?, last).await?;
        Ok(self.changes)
    }
}

/// The revision at which every member stands, and stays for so long: what clients gave up on may still be on its way.
async fn converged_revision(clients: &mut [Client], quiet_for: Duration) -> Result<i64> {
    let (begun, mut since) = (Instant::now(), (-1, Instant::now()));
    loop {
        let mut revisions = Vec::new();
        for client in &mut *clients {
            revisions.push(
                client.everything(0, true).await.map_or(-1, |answer| answer.header.map_or(0, |header| header.revision)),
            );
        }
        let alike = revisions[0] > 0 && revisions.iter().all(|revision| *revision == revisions[0]);
        if !alike || since.0 != revisions[0] {
            since = (if alike { revisions[0] } else { -1 }, Instant::now());
        }
        if alike && since.1.elapsed() >= quiet_for {
            return Ok(revisions[0]);
        }
        ensure!(
            begun.elapsed() < CONVERGE_WITHIN,
            "members stand at revisions {revisions:?} after {CONVERGE_WITHIN:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn state_at(mut client: Client, revision: i64) -> Result<State> {
    let answer =
        client.everything(revision, true).await.with_context(|| format!("read the state at revision {revision}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(answer.kvs.iter().map(|kv| (text(&kv.key), (kv.mod_revision, text(&kv.value)))).collect())
}
