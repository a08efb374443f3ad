//! S16: what is cut off a log. The rules are read from the settings again; nothing is asked of whoever decided.

use super::{Verdict, ensure};
use crate::sim::image::LogImage;
use quorate::config::settings::Snapshot;
use raft::{FollowerStatus, Index, MemberId, StreamState};

/// What the log's disk takes for an entry besides its record, at most: batches begin on sectors of 512 bytes, and one
/// carries a header and perhaps the term, the vote and what is committed.
const ENTRY_OVERHEAD_BYTES: u64 = 1024;

/// Logs find their entries by stretches of up to this size, and keep or drop each as a whole.
const STRETCH_BYTES: u64 = 64 << 10;

/// One cut.
#[derive(Debug)]
pub struct Cut<'a> {
    /// Whose log.
    pub member: MemberId,
    /// The last entry that is to go.
    pub through: Index,
    /// The store survives a crash with everything up to here.
    pub durable: Index,
    /// The log.
    pub log: &'a LogImage,
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

/// Whether a follower was heard within the time, and lacks less than the bytes, that a log is kept for.
fn is_kept_for(cut: &Cut<'_>, follower: &FollowerStatus) -> bool {
    let heard = follower.silent_for.is_some_and(|silent_for| silent_for <= cut.rules.anchor_time);
    let Some(matched) = cut.log.at(follower.matched.index) else { return false };
    let entries = cut.log.last().last.index.0 - follower.matched.index.0;
    let bytes = cut.log.last().bytes - matched.bytes + entries * ENTRY_OVERHEAD_BYTES;
    // Segments as short as those of a run are up to half checkpoints.
    let near = 2 * bytes + STRETCH_BYTES <= cut.rules.anchor_bytes;
    heard && near && follower.state != StreamState::Snapshot
}

#[cfg(test)]
mod tests {
    use super::super::{assert_refused, follower, log_of};
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

    fn cut(through: u64, followers: &[FollowerStatus], rules: &Snapshot) -> Verdict {
        check(&Cut {
            member: MemberId(1),
            through: Index(through),
            durable: Index(7),
            log: &log_of(9),
            followers,
            rules,
        })
    }

    #[test]
    fn a_cut_behind_what_is_durable_and_what_followers_have_passes() {
        cut(7, &[said(7, 0)], &RULES).expect("nobody needs it");
        cut(7, &[said(3, 1_001)], &RULES).expect("it was away for too long");
        cut(7, &[said(3, 0)], &Snapshot { anchor_bytes: 64 << 10, ..RULES }).expect("it is too far behind");
    }

    #[test]
    fn a_cut_beyond_what_is_durable_is_refused() {
        assert_refused(cut(8, &[], &RULES), "S16");
    }

    #[test]
    fn a_cut_in_front_of_a_follower_is_refused() {
        assert_refused(cut(4, &[said(7, 0), said(3, 0)], &RULES), "S16");
    }
}
