//! What a status says of the recovery of a lost quorum.

use super::Now;
use crate::wanted::{refused_words, stage_words};
use plan::{Memory, RecoveryStage};

/// Whether a lost quorum is being recovered, and what became of the request that was answered last: the one in the spec,
/// if there is one. Absent if nobody has ever asked.
pub(super) fn recovering(memory: &Memory, asked: Option<&str>) -> Option<Now> {
    let type_ = "RecoveringQuorum";
    let taken_up = memory.recovery.as_ref();
    let under_way = taken_up.is_some_and(|recovery| is_under_way(recovery.stage));
    let refused = memory.recovery_refused.as_ref().filter(|refused| {
        let is_in_the_spec = asked == Some(refused.request.as_str());
        !under_way && (is_in_the_spec || taken_up.is_none())
    });
    if let Some(refused) = refused {
        return Some(Now { type_, holds: false, reason: refused.why.name(), message: refused_words(refused) });
    }
    let recovery = taken_up?;
    Some(Now { type_, holds: under_way, reason: recovery.stage.name(), message: stage_words(recovery) })
}

fn is_under_way(stage: RecoveryStage) -> bool {
    matches!(stage, RecoveryStage::Asked { .. } | RecoveryStage::Recovered { .. })
}

/// What has become of requests since the memory before: a word and a sentence for each.
#[must_use]
pub fn answers(before: &Memory, after: &Memory) -> Vec<(&'static str, String)> {
    let mut said = Vec::new();
    if let Some(recovery) = after.recovery.as_ref().filter(|_| before.recovery != after.recovery) {
        let reason = match recovery.stage {
            RecoveryStage::Asked { .. } => "QuorumRecoveryBegun",
            RecoveryStage::Recovered { .. } => "QuorumRecovered",
            RecoveryStage::Done { .. } => "QuorumRecoveryDone",
            RecoveryStage::Abandoned => "QuorumRecoveryAbandoned",
        };
        said.push((reason, stage_words(recovery)));
    }
    if let Some(refused) = after.recovery_refused.as_ref().filter(|_| before.recovery_refused != after.recovery_refused)
    {
        said.push(("QuorumRecoveryRefused", refused_words(refused)));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{MemberId, Recovery, RecoveryRefused, Refused, Time};

    fn at(stage: RecoveryStage) -> Memory {
        let recovery = Recovery { request: "monday".into(), survivor: 2, former: 0xc, stage, started: Time(0) };
        Memory { recovery: Some(recovery), ..Memory::default() }
    }

    #[test]
    fn each_step_of_a_recovery_is_told_once() {
        let stages = [
            RecoveryStage::Asked { member: MemberId(3) },
            RecoveryStage::Recovered { cluster: 0xd },
            RecoveryStage::Done { cluster: 0xd },
        ];
        let mut before = Memory::default();
        assert!(recovering(&before, None).is_none());
        for (stage, holds) in stages.into_iter().zip([true, true, false]) {
            let after = at(stage);
            assert_eq!(answers(&before, &after).len(), 1, "{stage:?}");
            assert_eq!(answers(&after, &after), []);
            let now = recovering(&after, Some("monday")).expect("somebody has asked");
            assert_eq!((now.holds, now.reason), (holds, stage.name()));
            assert!(now.message.contains("monday") && now.message.contains("place 2"), "{}", now.message);
            before = after;
        }
    }

    #[test]
    fn a_request_that_is_refused_is_told_with_its_reason() {
        for why in Refused::ALL {
            let refused = RecoveryRefused { request: "monday".into(), why };
            let after = Memory { recovery_refused: Some(refused), ..Memory::default() };
            let [(word, note)] = &answers(&Memory::default(), &after)[..] else { panic!("one") };
            assert_eq!(*word, "QuorumRecoveryRefused");
            assert!(note.contains("monday") && note.contains("refused"), "{note}");
            let now = recovering(&after, Some("monday")).expect("somebody has asked");
            assert_eq!((now.holds, now.reason), (false, why.name()));
        }
    }

    #[test]
    fn a_refusal_of_before_does_not_stand_before_what_became_of_the_request_that_is_there() {
        let done = RecoveryStage::Done { cluster: 0xd };
        let refused = RecoveryRefused { request: "early".into(), why: Refused::NotLost };
        let memory = Memory { recovery_refused: Some(refused), ..at(done) };
        for (asked, reason) in
            [(Some("monday"), done.name()), (None, done.name()), (Some("early"), Refused::NotLost.name())]
        {
            let now = recovering(&memory, asked).expect("somebody has asked");
            assert_eq!((now.holds, now.reason), (false, reason), "{asked:?}");
        }
    }
}
