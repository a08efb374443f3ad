//! S16: what is cut off a log. The rules are read from the settings again; nothing is asked of whoever decided.

use super::{Verdict, ensure};
use quorate::config::settings::Snapshot;
use raft::{FollowerStatus, Index, MemberId, StreamState};

/// One cut.
#[derive(Debug)]
pub struct Cut<'a> {
    /// Whose log.
    pub member: MemberId,
    /// The last entry that is to go.
    pub through: Index,
    /// The store survives a crash with everything up to here.
    pub durable: Index,
    /// The first of the newest entries that take no more of the log's disk than may be kept for followers.
    pub anchor: Index,
    /// The followers, if it leads.
    pub followers: &'a [FollowerStatus],
    /// How much is kept.
    pub rules: &'a Snapshot,
}

/// A log is about to be cut.
///
/// # Errors
/// S16 when a crash would need what goes, or a follower that is to find it there.
pub fn check(cut: &Cut<'_>) -> Verdict {
    let Cut { member, through, durable, .. } = cut;
    ensure("S16", through <= durable, || {
        format!("{member} cuts its log through {through}, its store is durable to {durable}")
    })?;
    let kept_for =
        cut.followers.iter().find(|follower| is_kept_for(cut, follower) && *through > follower.matched.index);
    ensure("S16", kept_for.is_none(), || format!("{member} cuts its log through {through} in front of {kept_for:?}"))
}

/// Whether a follower was heard within the time, and lacks no more than the bytes, that a log is kept for.
fn is_kept_for(cut: &Cut<'_>, follower: &FollowerStatus) -> bool {
    let heard = follower.silent_for.is_some_and(|silent_for| silent_for <= cut.rules.anchor_time);
    let near = follower.matched.index.next() >= cut.anchor;
    heard && near && follower.state != StreamState::Snapshot
}

#[cfg(test)]
mod tests {
    use super::super::{assert_refused, follower};
    use super::*;
    use raft::Lag;
    use std::time::Duration;

    const RULES: Snapshot = Snapshot {
        entries: 1,
        catchup_entries: 0,
        segment_bytes: 0,
        tail_bytes: 0,
        anchor_bytes: 1 << 20,
        send_bytes_per_second: 0,
        anchor_time: Duration::from_secs(1),
    };

    fn said(matched: u64, silent_for: u64) -> FollowerStatus {
        let lag = Lag { entries: 9 - matched, bytes: 0, age: Duration::ZERO, approximate: false };
        FollowerStatus { silent_for: Some(Duration::from_millis(silent_for)), ..follower(matched, lag) }
    }

    fn cut(through: u64, followers: &[FollowerStatus], anchor: u64) -> Verdict {
        let (member, durable) = (MemberId(1), Index(7));
        check(&Cut { member, through: Index(through), durable, anchor: Index(anchor), followers, rules: &RULES })
    }

    #[test]
    fn a_cut_behind_what_is_durable_and_what_followers_have_passes() {
        cut(7, &[said(7, 0)], 1).expect("nobody needs it");
        cut(7, &[said(3, 1_001)], 1).expect("it was away for too long");
        cut(7, &[said(3, 0)], 5).expect("it is too far behind");
    }

    #[test]
    fn a_cut_beyond_what_is_durable_is_refused() {
        assert_refused(cut(8, &[], 1), "S16");
    }

    #[test]
    fn a_cut_in_front_of_a_follower_is_refused() {
        assert_refused(cut(4, &[said(7, 0), said(3, 0)], 4), "S16");
    }
}
