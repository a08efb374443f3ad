//! Recovery of a lost quorum: only for a request, once for each request, and never of a quorum that is there.
//!
//! ```text
//!   a new word ─▶ lost, and said so before? ─no─▶ refused, for good
//!                    │ the member whose log goes furthest, of those that answer
//!                    ▼
//!                  Asked ──the member says that it has become another cluster──▶ Recovered ──all places vote──▶ Done
//!                    └──a leader of the former cluster hears its quorum──▶ Abandoned
//! ```
//!
//! * A word is answered in the first look that can tell, and stands answered: it is taken up only if the status had said
//!   that the quorum is lost before the word was seen. So a word that was given while all was well, or that somebody left
//!   in a file, never does anything later.
//! * What is written before the member is asked says whom, and of which cluster. The member carries one word out once.
//! * Whoever was asked stays the choice of every later word that names nobody: another choice could make two clusters of
//!   one. Only a name takes it back.
//! * From `Recovered` on the former cluster does not count, whoever of it comes back. Its disks go by the way that every
//!   volume goes whose place is given to a newcomer: one at a time, each by its identity.

use crate::{Action, MemberId, Membership, Memory, Observed, Ordinal, Shown, Time, Wanted};
use std::cmp::Reverse;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryWanted {
    /// The word that names the request.
    pub request: String,
    /// Who is to be the new cluster.
    pub survivor: Survivor,
}

/// Who is to be the new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivor {
    /// The member whose log goes furthest, of those that answer.
    Furthest,
    /// The one at this place.
    At(Ordinal),
    /// Somebody is named who has no place here.
    Nobody,
}

/// A recovery that was taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The word of the request.
    pub request: String,
    /// Who was chosen.
    pub survivor: Ordinal,
    /// The cluster that had lost its quorum.
    pub former: u64,
    /// How far it has come.
    pub stage: RecoveryStage,
    /// Since when.
    pub started: Time,
}

/// How far a recovery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryStage {
    /// The member is asked, and has not said that it has become another cluster.
    Asked {
        /// Its id in the former cluster.
        member: MemberId,
    },
    /// It has; the other places get new members.
    Recovered {
        /// The new cluster.
        cluster: u64,
    },
    /// They have.
    Done {
        /// The new cluster.
        cluster: u64,
    },
    /// The former cluster has a leader again that hears its quorum: nothing was lost.
    Abandoned,
}

/// A request that was answered by no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRefused {
    /// The word of the request.
    pub request: String,
    /// Why.
    pub why: Refused,
}

/// Why a request is refused. It stays refused: whoever still wants it gives another word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// The quorum was not lost, as far as the status had said.
    NotLost,
    /// A member that answers knows a leader.
    LeaderIsKnown,
    /// No member of the cluster answers.
    NobodyAnswers,
    /// The one that is named does not answer, or is none of the cluster.
    SurvivorDoesNotAnswer,
    /// The member that was chosen for an earlier request does not answer: it may be becoming another cluster.
    EarlierUnderWay,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::NotLost, Self::LeaderIsKnown, Self::NobodyAnswers, Self::SurvivorDoesNotAnswer, Self::EarlierUnderWay];

    /// The word for conditions, events and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotLost => "QuorumNotLost",
            Self::LeaderIsKnown => "LeaderIsKnown",
            Self::NobodyAnswers => "NobodyAnswers",
            Self::SurvivorDoesNotAnswer => "SurvivorDoesNotAnswer",
            Self::EarlierUnderWay => "EarlierRequestUnderWay",
        }
    }
}

impl RecoveryStage {
    /// The word for conditions, events and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked { .. } => "Asked",
            Self::Recovered { .. } => "Recovered",
            Self::Done { .. } => "Done",
            Self::Abandoned => "Abandoned",
        }
    }
}

impl Memory {
    /// Whether a leader of this cluster counts. Where a cluster was ever given up for another one, only that one's does.
    #[must_use]
    pub fn counts(&self, cluster: u64) -> bool {
        self.recovery.is_none() || self.cluster == Some(cluster)
    }

    /// Whether there has been an answer to this word.
    fn has_answered(&self, request: &str) -> bool {
        let taken_up = self.recovery.as_ref().is_some_and(|recovery| recovery.request == request);
        taken_up || self.recovery_refused.as_ref().is_some_and(|refused| refused.request == request)
    }

    fn stage(&mut self, stage: RecoveryStage) {
        if let Some(recovery) = &mut self.recovery {
            recovery.stage = stage;
        }
    }
}

/// Takes note of what has become of a recovery, and answers a request that was not answered. `lost` says that the quorum
/// is lost in this very look.
pub(crate) fn weigh(wanted: &Wanted, memory: &mut Memory, seen: &Observed, lost: bool) {
    follow(memory, seen);
    if let Some(asked) = wanted.recovery.as_ref().filter(|asked| !memory.has_answered(&asked.request)) {
        answer(asked, wanted, memory, seen, lost);
    }
}

/// What has become of the one that was asked.
fn follow(memory: &mut Memory, seen: &Observed) {
    let Some(recovery) = memory.recovery.clone() else { return };
    if !matches!(recovery.stage, RecoveryStage::Asked { .. }) {
        return;
    }
    if let Some(cluster) = seen.reports.values().find_map(|shown| became(shown, &recovery)) {
        memory.cluster = Some(cluster);
        // It was about members of the former cluster, and so was what is lost.
        memory.operation = None;
        memory.quorum_lost = false;
        memory.stage(RecoveryStage::Recovered { cluster });
    } else if seen.membership.as_ref().is_some_and(|membership| membership.cluster == recovery.former) {
        memory.stage(RecoveryStage::Abandoned);
    }
}

/// The cluster that a member has become for this request.
fn became(shown: &Shown, recovery: &Recovery) -> Option<u64> {
    let made_of = shown.made_of.as_ref()?;
    (made_of.request == recovery.request && made_of.cluster == recovery.former).then_some(shown.cluster)
}

fn answer(asked: &RecoveryWanted, wanted: &Wanted, memory: &mut Memory, seen: &Observed, lost: bool) {
    let choice = if !memory.quorum_lost {
        Err(Refused::NotLost)
    } else if lost && !wanted.paused {
        choose(asked.survivor, memory, seen)
    } else {
        // Nobody leads, and it is not certain yet that nobody will; or nothing is to be touched.
        return;
    };
    let request = asked.request.clone();
    match choice {
        Err(why) => memory.recovery_refused = Some(RecoveryRefused { request, why }),
        Ok((survivor, member)) => {
            let former = memory.cluster.expect("whoever answers is of it");
            let stage = RecoveryStage::Asked { member };
            memory.recovery = Some(Recovery { request, survivor, former, stage, started: seen.now });
        }
    }
}

/// The member whose log goes furthest, of those that answer, or the one that is named; but if somebody has been asked
/// before, it is that one unless another is named.
fn choose(survivor: Survivor, memory: &Memory, seen: &Observed) -> Result<(Ordinal, MemberId), Refused> {
    let ours = || seen.reports.iter().filter(|(_, shown)| Some(shown.cluster) == memory.cluster);
    if ours().any(|(_, shown)| shown.knows_leader) {
        return Err(Refused::LeaderIsKnown);
    }
    let chosen = |(ordinal, shown): (&Ordinal, &Shown)| (*ordinal, shown.member);
    let asked = memory.recovery.as_ref().filter(|recovery| matches!(recovery.stage, RecoveryStage::Asked { .. }));
    match (survivor, asked) {
        (Survivor::Furthest, Some(before)) => {
            ours().find(|(ordinal, _)| **ordinal == before.survivor).map(chosen).ok_or(Refused::EarlierUnderWay)
        }
        (Survivor::Furthest, None) => {
            let fit = ours().filter(|(_, shown)| !shown.corrupt);
            let furthest = fit.max_by_key(|(ordinal, shown)| (shown.last, Reverse(**ordinal)));
            furthest.map(chosen).ok_or(Refused::NobodyAnswers)
        }
        (Survivor::At(place), _) => {
            ours().find(|(ordinal, _)| **ordinal == place).map(chosen).ok_or(Refused::SurvivorDoesNotAnswer)
        }
        (Survivor::Nobody, _) => Err(Refused::SurvivorDoesNotAnswer),
    }
}

/// Asks the member, as long as it answers as the one that was chosen. One that does not is starting as another one.
pub(crate) fn ask(memory: &Memory, seen: &Observed) -> Option<Action> {
    let recovery = memory.recovery.as_ref()?;
    let RecoveryStage::Asked { member } = recovery.stage else { return None };
    let shown = seen.reports.get(&recovery.survivor)?;
    let is_meant = shown.member == member && shown.cluster == recovery.former;
    is_meant.then(|| Action::RecoverQuorum {
        ordinal: recovery.survivor,
        member,
        cluster: recovery.former,
        request: recovery.request.clone(),
    })
}

/// It is over when every place has a voter of the new cluster. Nothing else is under way.
pub(crate) fn settle(wanted: &Wanted, memory: &mut Memory, membership: &Membership) {
    let Some(RecoveryStage::Recovered { cluster }) = memory.recovery.as_ref().map(|recovery| recovery.stage) else {
        return;
    };
    let votes = |ordinal: Ordinal| membership.at(ordinal).is_some_and(|(_, member)| member.voter);
    if membership.cluster == cluster && (0..wanted.replicas).all(votes) {
        memory.stage(RecoveryStage::Done { cluster });
    }
}
