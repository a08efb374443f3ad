//! Bugs that are planted on purpose, one at a time, to prove that the simulation, or the tests of what the simulation
//! does not run, find them. Most were real in other systems.
//!
//! * They exist in builds with debug assertions only, which is what the simulation is built with. In any other build
//!   [`is_planted`] is a constant, and nothing is left of a bug.
//! * Nothing but the simulation and such tests plant one, for their own thread.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A leader counts its own log before it is durable (etcd #14370).
    AckBeforeSync = 1,
    /// The store's applied index is saved after its rows, in a commit of its own (etcd #13766).
    AppliedApart,
    /// Replies leave before the term and the vote they stand on are durable.
    VoteBeforeSync,
    /// A term without a vote is not written.
    TermNotWritten,
    /// The log is cut at its first bad batch, whatever follows (NATS).
    CutAnywhere,
    /// An inherited entry is committed by counting (paper, figure 8).
    OldTermCounted,
    /// A read is confirmed by a round that began before it (etcd #20418).
    EarlierRound,
    /// A leader reads without asking anybody (Consul, 2014).
    UnboundedLease,
    /// Segments are handed on before the mark that they are not needed is durable.
    PurgeBeforeMark,
    /// A new segment's name is not made durable.
    NameNotSynced,
    /// The membership changes before the leader has committed an entry of its term (Ongaro, raft-dev 2015).
    ChangeTooEarly,
    /// A member that may not stand for election stands, without asking before.
    CampaignAlways,
    /// A voter that has lost its disk comes back under its id with an empty one (TigerBeetle #2767).
    WipedRejoins,
    /// The revision after a restart is that of the newest row, which a compaction may have swept (etcd #17780).
    RevisionOfRows,
    /// Whether a transaction may read an older revision is decided by what this member has swept (etcd #18667).
    SweptDecides,
    /// A snapshot that is offered while another one is being installed is taken for that one (etcd #18055).
    OtherInstalled,
    /// A failed sync is tried again.
    SyncRetried,
    /// Appends are sent to a slow follower whatever it has not acknowledged.
    WindowIgnored,
    /// Lag is taken from what was sent.
    LagFromSent,
    /// What an earlier leader knew of how far followers are is forgotten with it.
    LagForgotten,
    /// A snapshot is installed that the log has overtaken, so that readers see the state go back (etcd #15271).
    GoesBack,
    /// A snapshot is restored without a look at the digests of its chunks.
    Unverified,
    /// A write is acknowledged when it stands in the leader's log.
    AnsweredEarly,
    /// What may be in a log is handed on again when the leader changes.
    ProposedAgain,
    /// A read does not wait until its member has applied what it may have to see.
    ReadBehind,
    /// A leader takes commands that were meant for a leader of another term.
    AnyTermTaken,
    /// A write that may have happened is said not to have.
    DoubtDenied,
    /// The log is cut behind what is applied, not behind what the store has made durable.
    CutUnflushed,
    /// The log is cut in front of followers that are a little behind.
    FollowersForgotten,
    /// A switch to a snapshot begins while writes are on their way to the log.
    SwitchBeforeSync,
    /// A switch to a snapshot leaves no record of what it is about to do.
    IntentSkipped,
    /// A write whose outcome went into a snapshot that was installed since is taken for lost and handed on again.
    OutcomeInSnapshot,
    /// A leader goes on to believe what a follower acknowledged and has no more.
    LossOverlooked,
    /// The record of an install is given its name before its bytes are durable.
    IntentNotSynced,
    /// The names that an install gives, to its record and to the installed state, are not made durable.
    SwitchNamesNotSynced,
    /// A leader says nothing of the lag of followers that are not connected.
    AbsentUnreported,
    /// The age of a lag is that of the newest entry that is missing.
    AgeOfNewest,
    /// A disk is bound to a member whatever has become of the membership since that was looked at.
    BindUnexpected,
    /// A process is told that its disk is a member's by a configuration that may be taken back.
    BoundUncommitted,
    /// A write that found no room is tried again behind what the first attempt has left.
    GapLeft,
}

impl Bug {
    /// Those that the simulation hunts.
    pub const ALL: [Self; 38] = [
        Self::AckBeforeSync,
        Self::AppliedApart,
        Self::VoteBeforeSync,
        Self::TermNotWritten,
        Self::CutAnywhere,
        Self::OldTermCounted,
        Self::EarlierRound,
        Self::UnboundedLease,
        Self::PurgeBeforeMark,
        Self::NameNotSynced,
        Self::ChangeTooEarly,
        Self::CampaignAlways,
        Self::WipedRejoins,
        Self::RevisionOfRows,
        Self::SweptDecides,
        Self::OtherInstalled,
        Self::SyncRetried,
        Self::WindowIgnored,
        Self::LagFromSent,
        Self::LagForgotten,
        Self::AnsweredEarly,
        Self::ProposedAgain,
        Self::ReadBehind,
        Self::AnyTermTaken,
        Self::DoubtDenied,
        Self::CutUnflushed,
        Self::FollowersForgotten,
        Self::SwitchBeforeSync,
        Self::IntentSkipped,
        Self::OutcomeInSnapshot,
        Self::LossOverlooked,
        Self::IntentNotSynced,
        Self::SwitchNamesNotSynced,
        Self::AbsentUnreported,
        Self::AgeOfNewest,
        Self::BindUnexpected,
        Self::BoundUncommitted,
        Self::GapLeft,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "m01-ack-before-sync",
            Self::AppliedApart => "m02-applied-apart",
            Self::VoteBeforeSync => "m03-vote-before-sync",
            Self::TermNotWritten => "m04-term-not-written",
            Self::CutAnywhere => "m05-cut-anywhere",
            Self::OldTermCounted => "m06-old-term-counted",
            Self::EarlierRound => "m07-earlier-round",
            Self::UnboundedLease => "m08-unbounded-lease",
            Self::PurgeBeforeMark => "m09-purge-before-mark",
            Self::NameNotSynced => "m10-name-not-synced",
            Self::ChangeTooEarly => "m11-change-too-early",
            Self::CampaignAlways => "m12-campaign-always",
            Self::WipedRejoins => "m13-wiped-rejoins",
            Self::GoesBack => "m15-goes-back",
            Self::RevisionOfRows => "m18-revision-of-rows",
            Self::SweptDecides => "m21-swept-decides",
            Self::OtherInstalled => "m25-other-installed",
            Self::SyncRetried => "m28-sync-retried",
            Self::WindowIgnored => "m29-window-ignored",
            Self::LagFromSent => "m30-lag-from-sent",
            Self::Unverified => "unverified-restore",
            Self::AnsweredEarly => "n01-answered-early",
            Self::ProposedAgain => "n02-proposed-again",
            Self::ReadBehind => "n03-read-behind",
            Self::AnyTermTaken => "n04-any-term-taken",
            Self::DoubtDenied => "n05-doubt-denied",
            Self::CutUnflushed => "n06-cut-unflushed",
            Self::FollowersForgotten => "n07-followers-forgotten",
            Self::SwitchBeforeSync => "n08-switch-before-sync",
            Self::IntentSkipped => "n09-intent-skipped",
            Self::LagForgotten => "n11-lag-forgotten",
            Self::OutcomeInSnapshot => "n10-outcome-in-snapshot",
            Self::LossOverlooked => "n12-loss-overlooked",
            Self::IntentNotSynced => "n13-intent-not-synced",
            Self::SwitchNamesNotSynced => "n14-switch-names-not-synced",
            Self::AbsentUnreported => "n15-absent-unreported",
            Self::AgeOfNewest => "n16-age-of-newest",
            Self::BindUnexpected => "n17-bind-unexpected",
            Self::BoundUncommitted => "n18-bound-uncommitted",
            Self::GapLeft => "n19-gap-left",
        }
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: std::cell::Cell<u8> = const { std::cell::Cell::new(0) };
}

/// Plants a bug for what runs on this thread, in place of the one there was; none for none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug.map_or(0, |bug| bug as u8));
}

/// Whether this bug is planted.
#[cfg(debug_assertions)]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == bug as u8
}

/// Refuses: there is nothing to plant in this build.
///
/// # Panics
/// When it is asked for a bug.
#[cfg(not(debug_assertions))]
pub fn plant(bug: Option<Bug>) {
    assert!(bug.is_none(), "bugs are planted in builds with debug assertions only");
}

/// Whether this bug is planted: never.
#[cfg(not(debug_assertions))]
#[must_use]
pub const fn is_planted(_: Bug) -> bool {
    false
}
