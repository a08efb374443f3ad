//! Everything about a member at one moment, for metrics and the admin endpoint: computed when asked, kept nowhere.

use super::Node;
use super::full::FullDisks;
use super::request::Question;
use crate::install::SnapshotsView;

/// What the loop knows.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The engine's view, followers included while it leads.
    pub raft: raft::Status,
    /// Writes of clients of this member without an outcome yet.
    pub proposals_pending: u64,
    /// Writes of clients of this member that ended without one.
    pub proposals_failed: u64,
    /// Reads that ended without an index.
    pub reads_failed: u64,
    /// How often the leader has changed.
    pub leader_changes: u64,
    /// Messages of peers that made no sense.
    pub refused_messages: u64,
    /// Bytes that wait for the log's disk.
    pub wal_queued_bytes: u64,
    /// Bytes of the log's entries on the disk.
    pub log_bytes: u64,
    /// Which directories have no room.
    pub full: FullDisks,
    /// How often the log was cut.
    pub log_cuts: u64,
    /// Entries the log keeps only because followers are behind.
    pub log_held_entries: u64,
    /// Entries it keeps besides, because the newest snapshot in object storage ends before them.
    pub log_held_for_staged_entries: u64,
    /// What moves in snapshots between members.
    pub snapshots: SnapshotsView,
    /// A snapshot is needed and not installed yet.
    pub snapshot_wanted: bool,
}

impl Node {
    /// Whoever asked may have gone.
    pub(super) fn answer(&self, question: Question) {
        match question {
            Question::Inspect(reply) => drop(reply.send(self.inspect())),
            Question::SnapshotPoint(index, reply) => drop(reply.send(self.raft.snapshot_point(index))),
        }
    }

    pub(super) fn inspect(&self) -> Inspection {
        let raft = self.raft.status(self.now.mono);
        Inspection {
            snapshot_wanted: self.install_wanted.is_some_and(|last| last.index > raft.commit),
            raft,
            proposals_pending: self.waiters.len() as u64,
            proposals_failed: self.waiters.failed(),
            reads_failed: self.reads.failed(),
            leader_changes: self.leader_changes,
            refused_messages: self.refused_messages,
            wal_queued_bytes: self.log.queued_bytes(),
            log_bytes: self.log.bytes(),
            full: self.full,
            log_cuts: self.log_cuts,
            log_held_entries: self.retention.held,
            log_held_for_staged_entries: self.retention.held_for_staged,
            snapshots: SnapshotsView {
                installing: self.progress.view(),
                totals: self.progress.totals(),
                sent_bytes: self.snapshots.sent_bytes(),
                others: self.snapshots.news(),
            },
        }
    }
}
