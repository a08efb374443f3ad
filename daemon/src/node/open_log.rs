//! The log of a member that starts: read back, or begun.

use super::StartError;
use crate::bootstrap::{BootstrapError, Identity, LogStart};
use crate::config::Settings;
use crate::disk::Disk;
use crate::install::{Intent, recover_log};
use crate::recovery::wal_identity;
use crate::wal::{self, Options, Recovered, Wal, WalRequest};
use raft::{HardState, LogId, Membership, Persist, Term};
use std::path::PathBuf;
use std::sync::Arc;
use tracing::info;

/// Where the settings have the log.
pub(crate) fn log_directory(settings: &Settings) -> PathBuf {
    settings.wal_dir.clone().unwrap_or_else(|| settings.data_dir.join("wal"))
}

/// How the settings have it kept.
///
/// # Errors
/// There is no randomness.
pub(crate) fn log_options(settings: &Settings) -> Result<Options, BootstrapError> {
    let segment_bytes = settings.snapshot.segment_bytes;
    Ok(Options { salt_seed: random()?, segment_bytes, ..Options::default() })
}

pub(super) fn random() -> Result<u64, BootstrapError> {
    getrandom::u64().map_err(BootstrapError::NoRandomness)
}

/// Opens the log of a member, or begins it as `start` says.
///
/// # Errors
/// [`StartError`].
pub(crate) fn open_log(
    disk: &Arc<dyn Disk>,
    identity: &Identity,
    start: &LogStart,
    options: &Options,
    intent: Option<Intent>,
) -> Result<Recovered, StartError> {
    let named =
        wal::Identity { cluster: identity.cluster.0, member: identity.member, storage: *identity.storage.as_bytes() };
    let options = Options { create_if_missing: *start != LogStart::Exists, ..options.clone() };
    if let LogStart::Recovered(_, _, former) = start {
        let segments = wal::discard(&**disk, wal_identity(*former))?;
        info!(segments, former = %former.cluster, "the former log is gone: all of it is in the store");
    }
    let mut recovered = Wal::open(disk.clone(), named, &options)?;
    if let Some(intent) = intent {
        recovered = recover_log(recovered, &intent, (disk, named, &options))?;
    }
    match start {
        LogStart::Founded(membership) => begin_log(&mut recovered, LogId::ZERO, membership)?,
        LogStart::Restored(start, membership) | LogStart::Recovered(start, membership, _) => {
            begin_log(&mut recovered, *start, membership)?;
        }
        LogStart::Joined(_) | LogStart::Exists => {}
    }
    Ok(recovered)
}

/// Lets an empty log begin after `start`, with this configuration. The term is remembered first: no election may fall
/// behind the entries that the store holds.
fn begin_log(recovered: &mut Recovered, start: LogId, membership: &Membership) -> Result<(), wal::WalError> {
    let Recovered { remembered, wal, .. } = recovered;
    if !remembered.memberships.is_empty() || remembered.last != LogId::ZERO {
        return Ok(());
    }
    let first = (start.index, membership.encode());
    let hard_state = HardState { term: start.term, ..HardState::default() };
    let write = Persist { hard_state: Some(hard_state), ..Persist::default() };
    let reset = WalRequest::Reset { start, membership: Some(first.clone()) };
    if start.term > Term(0) {
        wal.perform([WalRequest::Persist(write)], &mut Nobody)?;
        remembered.hard_state = hard_state;
    }
    wal.perform([reset], &mut Nobody)?;
    (remembered.start, remembered.last) = (start, start);
    remembered.memberships.push(first);
    Ok(())
}

/// What the log does before there is a loop is over when the call returns.
struct Nobody;

impl wal::Listener for Nobody {
    fn completed(&mut self, _: wal::Completion) {}

    fn failed(&mut self, _: &wal::WalError) {}
}
