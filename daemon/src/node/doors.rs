//! The doors of the loop: whoever does what it wants done, and answers through the inbox. The daemon has threads and
//! tasks behind them, a simulator its own disk and its own order of events; the loop between is the same.
//!
//! Nothing behind a door may wait: the loop calls it in the middle of a turn.

use crate::bootstrap::NodeInfo;
use crate::install::{Fetcher, Switch};
use crate::wal::{SubmitError, WalRequest};
use raft::{Brief, Entry, Index, Input, LogRead, MemberId, Output};
use std::collections::BTreeMap;

/// The log.
pub(crate) trait LogDoor: Send {
    /// Takes a request into its queue, or gives it back.
    fn submit(&mut self, request: WalRequest) -> Result<(), SubmitError>;

    /// Reads entries back. Answered by [`Completion::LogRead`](super::completion::Completion::LogRead).
    fn read(&self, ask: LogRead);

    /// The first of the newest entries that take about so many bytes on the disk.
    fn tail(&self, bytes_max: u64) -> Index;

    /// Bytes of the entries on the disk.
    fn bytes(&self) -> u64;

    /// Bytes that wait for the disk.
    fn queued_bytes(&self) -> u64;

    /// Writes what is queued and closes the log in good order. Blocks; called when the loop has ended.
    fn close(self: Box<Self>);
}

/// The state machine. Dropped, it applies what is queued and ends.
pub(crate) trait StoreDoor: Send {
    /// Hands committed entries over, in order, and leaves the list empty. Answered by
    /// [`Completion::Applied`](super::completion::Completion::Applied).
    fn apply(&self, entries: &mut Vec<Entry>);

    /// Switches to a snapshot once everything handed over is applied. Nothing is to be handed over until
    /// [`Completion::Switched`](super::completion::Completion::Switched).
    fn switch(&self, switch: Switch);
}

/// Whoever fetches snapshots.
pub(crate) trait FetchDoor: Send {
    /// The engine needs a snapshot that covers at least this entry; these members may have one. Answered by
    /// [`Completion::Snapshot`](super::completion::Completion::Snapshot), some day.
    fn want(&self, at_least: Index, members: &BTreeMap<MemberId, NodeInfo>);
}

impl FetchDoor for Fetcher {
    fn want(&self, at_least: Index, members: &BTreeMap<MemberId, NodeInfo>) {
        Fetcher::want(self, at_least, members);
    }
}

/// Whoever looks on: a simulator that holds every step against the rules.
pub(crate) trait Witness: Send {
    /// The engine takes this.
    fn told(&mut self, input: &Input);

    /// It wants this done, which is about to be, and stands here now.
    fn said(&mut self, brief: &Brief, out: &Output);
}

/// All of them but the links.
pub(super) struct Doors {
    pub(super) log: Box<dyn LogDoor>,
    pub(super) store: Box<dyn StoreDoor>,
    pub(super) fetcher: Box<dyn FetchDoor>,
    pub(super) witness: Option<Box<dyn Witness>>,
}
