//! S15: what a leader says of its followers, held against the disks.

use super::{Verdict, ensure};
use crate::sim::image::LogImage;
use raft::{FollowerStatus, Index, MemberId, Membership, Now, StreamState, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// What is known of a leader: its log, and when what came to it, by its own clocks.
#[derive(Clone, Copy, Debug)]
pub struct Reign<'a> {
    /// Its log.
    pub log: &'a LogImage,
    /// The term it leads in.
    pub term: Term,
    /// When it was elected.
    pub elected: Now,
    /// The term of each entry that came to the log, and when it came.
    pub appended: &'a BTreeMap<Index, (Term, Time)>,
    /// What its clock shows.
    pub now: Time,
}

/// What a leader says of one follower while it leads.
///
/// # Errors
/// S15 when it takes for durable what the follower's disk does not hold, or counts the lag wrong. It counts from what the
/// follower acknowledged, or from what earlier leaders `known` to it said: no less than they told it, and nothing beyond
/// what is committed.
pub fn check(leader: &LogImage, follower: &LogImage, known: &RangeInclusive<Index>, said: &FollowerStatus) -> Verdict {
    let matched = said.matched.index;
    ensure("S15", follower.contains(said.matched) || matched == Index::ZERO, || {
        format!("{} is said to match {}, its disk ends at {}", said.member, said.matched, follower.last().last)
    })?;
    let last = leader.last();
    let reached = last.last.index.0.checked_sub(said.lag.entries).map(Index);
    let is_known = said.lag.approximate && reached <= Some(*known.end());
    let is_it = reached == Some(matched) || is_known;
    ensure("S15", is_it && reached >= Some(matched.max(*known.start())), || {
        format!("{} is said to be {:?} behind {}, matches {matched}, {known:?}", said.member, said.lag, last.last)
    })?;
    let Some(from) = reached.and_then(|reached| leader.at(reached)) else { return Ok(()) };
    ensure("S15", follower.contains(from.last) || from.last.index == Index::ZERO, || {
        format!("{} is said to be at {}, its disk ends at {}", said.member, from.last, follower.last().last)
    })?;
    let bytes = last.bytes - from.bytes;
    ensure("S15", said.lag.approximate || said.lag.bytes == bytes, || {
        format!("{} is said to be {:?} behind, it is {bytes} bytes", said.member, said.lag)
    })
}

/// How old a leader says that the oldest entry is which a follower lacks.
///
/// # Errors
/// S15 when it is one of its own term and is not exactly as old; when it is an inherited one, which the leader dates by
/// the wall clocks of those who appended it, and is said to be younger than its own term, older than any such clock
/// would have it, or known exactly.
pub fn check_age(reign: &Reign<'_>, said: &FollowerStatus) -> Verdict {
    let Reign { log, term, elected, appended, now } = *reign;
    let last = log.last().last.index;
    let Some(oldest) = last.0.checked_sub(said.lag.entries).map(|reached| Index(reached + 1)) else { return Ok(()) };
    if oldest > last {
        return ensure("S15", said.lag.age == Duration::ZERO, || {
            format!("{} lacks nothing and is said to be {:?} behind", said.member, said.lag)
        });
    }
    if let Some((_, at)) = appended.get(&oldest).filter(|(of, _)| *of == term) {
        let age = now.since(*at);
        return ensure("S15", age == said.lag.age, || {
            format!("{} is said to be {:?} behind, {oldest} came {age:?} ago", said.member, said.lag)
        });
    }
    let led = now.since(elected.mono);
    let held = said.lag.approximate && led <= said.lag.age;
    ensure("S15", held && inherited_for(reign, oldest).is_none_or(|before| said.lag.age <= led + before), || {
        format!("{} is said to be {:?} behind after {led:?}, {oldest} was there before", said.member, said.lag)
    })
}

/// How old the oldest entry from here on was when the leader was elected, by the wall clocks of those who appended them;
/// none if the log does not reach back.
fn inherited_for(reign: &Reign<'_>, oldest: Index) -> Option<Duration> {
    let entries = (oldest.0..).map_while(|index| reign.log.entry(Index(index)));
    let inherited = entries.take_while(|logged| logged.entry.term() < reign.term);
    let earliest = inherited.map(|logged| logged.entry.wall_us()).min()?;
    Some(Duration::from_micros(reign.elected.wall_us.saturating_sub(earliest)))
}

/// Of whom a leader speaks at all, with these configurations in its log.
///
/// # Errors
/// S15 when it leaves out a member of the last one, or speaks of somebody who is none: besides those whose removal is
/// not over.
pub fn check_complete(
    leader: MemberId,
    configurations: &[(Index, Arc<Membership>)],
    commit: Index,
    said: &[FollowerStatus],
) -> Verdict {
    let Some((_, latest)) = configurations.last() else { return Ok(()) };
    let spoken_of: BTreeSet<MemberId> = said.iter().map(|said| said.member).collect();
    let left_out = latest.members().find(|member| *member != leader && !spoken_of.contains(member));
    ensure("S15", left_out.is_none() && spoken_of.len() == said.len(), || {
        format!("{leader} speaks of {spoken_of:?}, the members are {latest:?}")
    })?;
    // A removal is over when the configuration it ends in is committed: from there on everybody counts.
    let settled = configurations.iter().rposition(|(at, membership)| *at <= commit && !membership.is_joint());
    let Some(since) = settled.map(|at| &configurations[at..]) else { return Ok(()) };
    let is_known = |member| member != leader && since.iter().any(|(_, membership)| membership.is_member(member));
    let strange = spoken_of.into_iter().find(|member| !is_known(*member));
    ensure("S15", strange.is_none(), || format!("{leader} speaks of {strange:?}, the members are {latest:?}"))
}

/// What a leader says of a follower that has had time to catch up.
///
/// # Errors
/// S15 when it is not said to have everything, exactly.
pub fn check_caught_up(leader: &LogImage, said: &FollowerStatus) -> Verdict {
    let lag = said.lag;
    let none = lag.entries == 0 && lag.bytes == 0 && lag.age == Duration::ZERO && !lag.approximate;
    let caught_up = none && said.state == StreamState::Replicate && said.matched == leader.last().last;
    ensure("S15", caught_up && said.in_flight_messages == 0 && said.in_flight_bytes == 0, || {
        format!("{} has caught up with {} and is said to be {said:?}", said.member, leader.last().last)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{assert_refused, follower};
    use super::*;
    use bytes::Bytes;
    use raft::{Entry, EntryKind, IoId, Lag, LogId, Persist};

    const NOTHING: RangeInclusive<Index> = Index(0)..=Index(0);

    fn log_of(last: u64) -> LogImage {
        let append = (1..=last).map(|at| Entry::new(LogId::new(1, at), EntryKind::Command, 0, b"payload")).collect();
        let mut log = LogImage::format(None);
        log.apply(&Persist { io: IoId(1), append, ..Persist::default() }).expect("consecutive");
        log
    }

    fn said(matched: u64, entries: u64) -> FollowerStatus {
        let age = Duration::from_secs(entries);
        follower(matched, Lag { entries, bytes: entries * 48, age, approximate: false })
    }

    #[test]
    fn the_truth_passes() {
        check(&log_of(5), &log_of(3), &NOTHING, &said(3, 2)).expect("true");
        check_caught_up(&log_of(3), &said(3, 0)).expect("true");
    }

    #[test]
    fn a_match_the_disk_does_not_hold_is_refused() {
        assert_refused(check(&log_of(5), &log_of(2), &NOTHING, &said(3, 2)), "S15");
    }

    #[test]
    fn a_lag_counted_wrong_is_refused() {
        assert_refused(check(&log_of(5), &log_of(3), &NOTHING, &said(3, 1)), "S15");
        let wrong_bytes = FollowerStatus { lag: Lag { bytes: 95, ..said(3, 2).lag }, ..said(3, 2) };
        assert_refused(check(&log_of(5), &log_of(3), &NOTHING, &wrong_bytes), "S15");
    }

    /// A log of five entries: a second apart, by clocks that agree; two of term 1 and three of term 2.
    fn inherited() -> (LogImage, BTreeMap<Index, (Term, Time)>) {
        let at = |index: u64| LogId::new(if index < 3 { 1 } else { 2 }, index);
        let entry = |index: u64| Entry::new(at(index), EntryKind::Command, index * 1_000_000, b"payload");
        let mut log = LogImage::format(None);
        let append = (1..=5).map(entry).collect();
        log.apply(&Persist { io: IoId(1), append, ..Persist::default() }).expect("consecutive");
        (log, (1..=5).map(|index| (Index(index), (at(index).term, Time(index * 1_000_000)))).collect())
    }

    /// What the leader of term 2 says in second 10 of a follower that lacks so many entries.
    fn check_seconds(entries: u64, seconds: u64, approximate: bool) -> Verdict {
        let (log, appended) = inherited();
        let elected = Now { mono: Time(3_000_000), wall_us: 3_000_000 };
        let reign = Reign { log: &log, term: Term(2), appended: &appended, elected, now: Time(10_000_000) };
        let lag = Lag { entries, bytes: 0, age: Duration::from_secs(seconds), approximate };
        check_age(&reign, &follower(5 - entries, lag))
    }

    #[test]
    fn the_age_of_a_lag_is_that_of_the_oldest_entry_that_is_missing() {
        for (entries, seconds) in [(0, 0), (1, 5), (3, 7)] {
            check_seconds(entries, seconds, false).expect("true");
            check_seconds(entries, seconds, true).expect("true, whatever else is not known");
            assert_refused(check_seconds(entries, seconds + 1, false), "S15");
        }
        assert_refused(check_seconds(3, 5, false), "S15");
        assert_refused(check_seconds(3, 0, true), "S15");
    }

    #[test]
    fn the_age_of_an_inherited_entry_lies_between_that_of_the_reign_and_what_wall_clocks_say() {
        for seconds in 7..=9 {
            check_seconds(5, seconds, true).expect("it may be");
        }
        assert_refused(check_seconds(5, 6, true), "S15");
        assert_refused(check_seconds(5, 10, true), "S15");
        assert_refused(check_seconds(5, 9, false), "S15");
    }

    #[test]
    fn a_leader_speaks_of_every_other_member_and_of_whoever_is_leaving() {
        let of = |ids: &[u64]| Arc::new(Membership::bootstrap(ids.iter().map(|id| (MemberId(*id), Bytes::new()))));
        let configurations = [(Index(0), of(&[1, 2, 3])), (Index(7), of(&[1, 2]))];
        let check = |ids: &[u64], commit| {
            let said: Vec<FollowerStatus> =
                ids.iter().map(|id| FollowerStatus { member: MemberId(*id), ..said(3, 0) }).collect();
            check_complete(MemberId(1), &configurations, Index(commit), &said)
        };
        check(&[2], 7).expect("all of them");
        check(&[2, 3], 6).expect("the removal is not committed");
        check(&[2], 6).expect("one that was elected since has nothing to say to the other");
        assert_refused(check(&[2, 3], 7), "S15");
        assert_refused(check(&[3], 6), "S15");
        assert_refused(check(&[2, 4], 6), "S15");
        assert_refused(check(&[1, 2], 6), "S15");
        assert_refused(check(&[2, 2], 7), "S15");
    }

    #[test]
    fn one_that_was_not_heard_is_where_the_leader_was_told() {
        let unheard = |entries| FollowerStatus { lag: Lag { approximate: true, ..said(0, entries).lag }, ..said(0, 0) };
        check(&log_of(5), &log_of(3), &(Index(3)..=Index(4)), &unheard(2)).expect("as told");
        assert_refused(check(&log_of(5), &log_of(3), &(Index(3)..=Index(4)), &unheard(5)), "S15");
        assert_refused(check(&log_of(5), &log_of(2), &(Index(3)..=Index(4)), &unheard(2)), "S15");
        // It may have the last entry, but nobody can have known.
        assert_refused(check(&log_of(5), &log_of(5), &(Index(3)..=Index(4)), &unheard(0)), "S15");
    }

    #[test]
    fn a_follower_that_has_everything_and_is_said_to_lag_is_refused() {
        assert_refused(check_caught_up(&log_of(3), &said(2, 1)), "S15");
        let probing = FollowerStatus { state: StreamState::Probe, ..said(3, 0) };
        assert_refused(check_caught_up(&log_of(3), &probing), "S15");
    }
}
