//! This member's own proposals, from the request to the outcome.
//!
//! * A waiter is found by the sequence of its request id, wherever the entry came from: its own append, or the
//!   leader's. That is what makes the outcome stay at home.
//! * A command is handed on again only when it can be in no log any more: it was refused, or an entry of a later term
//!   than the one it was handed to has been applied and its own has not. (A leader takes commands for its own term
//!   only, and what is not in the log of a later leader when that commits is never committed.) Until then an
//!   ambiguous loss stays one: it waits for its entry or for its time to run out.
//! * A snapshot may hold what a command did, and does not say so. After an install what was handed on before stays
//!   ambiguous for good.

use super::trace::Trace;
use super::{Applied, ProposeFailure};
use bytes::Bytes;
use raft::planted::{Bug, is_planted};
use raft::{MemberId, Term, Time};
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

/// Proposals without an outcome yet. Beyond it a client hears "too many requests"; every one costs some 200 bytes
/// and its command.
const WAITERS_MAX: usize = 64 << 10;

/// What their commands may take together: a member that hears no leader keeps them for as long as a request may take,
/// also for clients that have gone.
const WAITERS_BYTES_MAX: usize = 128 << 20;

/// Where a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here: no leader is known, or it does not take commands now.
    Held,
    /// With the leader of this term, which may be this member itself: on its way to its log, or in it.
    With(MemberId, Term),
    /// As before, and a snapshot was installed since: its entry may never be seen here.
    Doubtful(MemberId, Term),
}

impl Place {
    fn is_with(self, leader: MemberId, term: Term) -> bool {
        matches!(self, Self::With(with, given) | Self::Doubtful(with, given) if (with, given) == (leader, term))
    }
}

#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Result<Applied, ProposeFailure>>,
    command: Bytes,
    place: Place,
    deadline: Time,
    /// How often the leader had changed when it came.
    reign: u64,
    trace: Option<Box<Trace>>,
}

/// The waiters, by sequence.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: HashMap<u64, Waiter>,
    /// What their commands take.
    bytes: usize,
    held: VecDeque<u64>,
    /// The term of the last entry applied.
    applied_term: Term,
    /// Those that are traced: few, or none.
    traced: Vec<u64>,
    /// How often the leader has changed.
    reign: u64,
    failed: u64,
}

impl Waiters {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a command of so many bytes may wait, too.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < WAITERS_MAX && self.bytes + bytes <= WAITERS_BYTES_MAX
    }

    /// How many ended without an outcome.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The leader has changed, or there is none any more.
    pub(super) fn leader_changed(&mut self) {
        self.reign += 1;
        if is_planted(Bug::ProposedAgain) {
            let mut all: Vec<u64> = self.waiting.keys().copied().filter(|known| !self.held.contains(known)).collect();
            all.sort_unstable();
            all.into_iter().for_each(|sequence| self.moved(sequence, Place::Held));
        }
    }

    /// Takes a request in. It is held until it is handed on.
    pub(super) fn insert(
        &mut self,
        sequence: u64,
        command: Bytes,
        reply: oneshot::Sender<Result<Applied, ProposeFailure>>,
        deadline: Time,
        trace: Option<Box<Trace>>,
    ) {
        if trace.is_some() {
            self.traced.push(sequence);
        }
        self.bytes += command.len();
        let waiter = Waiter { reply, command, place: Place::Held, deadline, reign: self.reign, trace };
        self.waiting.insert(sequence, waiter);
        self.held.push_back(sequence);
    }

    /// Takes out what is held, in order, to hand it on: as much as `bytes_max`, one command at least.
    pub(super) fn take_held(&mut self, bytes_max: usize) -> Vec<(u64, Bytes)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(sequence) = self.held.front() {
            // Its time may have run out meanwhile.
            if let Some(waiter) = self.waiting.get(sequence) {
                bytes += waiter.command.len();
                if bytes > bytes_max && !taken.is_empty() {
                    break;
                }
                taken.push((*sequence, waiter.command.clone()));
            }
            self.held.pop_front();
        }
        taken
    }

    /// It was handed on.
    pub(super) fn moved(&mut self, sequence: u64, place: Place) {
        let Some(waiter) = self.waiting.get_mut(&sequence) else { return };
        waiter.place = place;
        if place == Place::Held {
            self.held.push_back(sequence);
        }
    }

    /// Tells the spans of one request, if it is traced, what has become of it.
    pub(super) fn trace<T>(&mut self, sequence: u64, tell: impl FnOnce(&mut Trace) -> T) -> Option<T> {
        self.waiting.get_mut(&sequence)?.trace.as_mut().map(|trace| tell(trace))
    }

    /// Tells the spans of all requests that are traced.
    pub(super) fn trace_all(&mut self, tell: impl Fn(&mut Trace)) {
        let waiting = &mut self.waiting;
        self.traced.retain(|sequence| match waiting.get_mut(sequence).and_then(|waiter| waiter.trace.as_mut()) {
            Some(trace) => {
                tell(trace);
                true
            }
            None => false,
        });
    }

    /// The member it was handed to did not take it, so it is in no log: hand it on again.
    pub(super) fn returned(&mut self, sequence: u64, from: MemberId, term: Term) {
        if self.is_with(sequence, from, term) {
            self.moved(sequence, Place::Held);
        }
    }

    /// The member it was handed to will not take it, so it is in no log. What was handed on to another one since, when
    /// this word comes late, may well be.
    pub(super) fn refused(&mut self, sequence: u64, from: MemberId, term: Term, failure: ProposeFailure) {
        if self.is_with(sequence, from, term) {
            self.fail(sequence, failure);
        }
    }

    fn is_with(&self, sequence: u64, leader: MemberId, term: Term) -> bool {
        self.waiting.get(&sequence).is_some_and(|waiter| waiter.place.is_with(leader, term))
    }

    /// A snapshot has been installed: the outcomes of what it covers will not be delivered.
    pub(super) fn installed(&mut self) {
        if is_planted(Bug::OutcomeInSnapshot) {
            return;
        }
        for waiter in self.waiting.values_mut() {
            if let Place::With(leader, term) = waiter.place {
                waiter.place = Place::Doubtful(leader, term);
            }
        }
    }

    /// It will not be done.
    pub(super) fn fail(&mut self, sequence: u64, failure: ProposeFailure) {
        if let Some(waiter) = self.remove(sequence) {
            self.failed += 1;
            // A client that has gone needs no answer.
            let _ = waiter.reply.send(Err(failure));
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&sequence)?;
        self.bytes -= waiter.command.len();
        Some(waiter)
    }

    /// It has been applied.
    pub(super) fn finish(&mut self, sequence: u64, applied: Applied) {
        if let Some(waiter) = self.remove(sequence) {
            if let Some(trace) = waiter.trace {
                trace.reply();
            }
            let _ = waiter.reply.send(Ok(applied));
        }
    }

    /// Entries have been applied, the last one of this term, and their outcomes delivered: a command that is with the
    /// leader of an earlier term and still waits is in no log that counts. Hand it on again.
    pub(super) fn applied(&mut self, term: Term) {
        if term <= self.applied_term {
            return;
        }
        self.applied_term = term;
        let lost = |waiter: &Waiter| matches!(waiter.place, Place::With(_, given) if given < term);
        let mut lost: Vec<u64> =
            self.waiting.iter().filter(|(_, waiter)| lost(waiter)).map(|(sequence, _)| *sequence).collect();
        lost.sort_unstable();
        lost.into_iter().for_each(|sequence| self.moved(sequence, Place::Held));
    }

    /// Tells everybody whose time has run out.
    pub(super) fn sweep(&mut self, now: Time) {
        let late: Vec<u64> =
            self.waiting.iter().filter(|(_, waiter)| waiter.deadline <= now).map(|(sequence, _)| *sequence).collect();
        for sequence in late {
            let waiter = &self.waiting[&sequence];
            let failure = match waiter.place {
                Place::Held if waiter.reign == self.reign => ProposeFailure::NoLeader,
                Place::With(..) | Place::Doubtful(..) if is_planted(Bug::DoubtDenied) => ProposeFailure::LeaderChanged,
                Place::Held => ProposeFailure::LeaderChanged,
                Place::With(..) | Place::Doubtful(..) if waiter.reign != self.reign => {
                    ProposeFailure::TimedOutLeaderChanged
                }
                Place::With(..) | Place::Doubtful(..) => ProposeFailure::TimedOut,
            };
            self.fail(sequence, failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mvcc::{Done, Reply, Revision};
    use raft::Index;

    type Answer = oneshot::Receiver<Result<Applied, ProposeFailure>>;

    fn insert(waiters: &mut Waiters, sequence: u64) -> Answer {
        let (reply, answer) = oneshot::channel();
        waiters.insert(sequence, Bytes::from_static(b"command"), reply, Time(100), None);
        answer
    }

    fn applied(index: u64) -> Applied {
        let outcome = Ok(Done { revision: Revision(2), reply: Reply::Noop });
        Applied { outcome, index: Index(index), term: Term(1) }
    }

    fn failure(mut answer: Answer) -> Option<ProposeFailure> {
        answer.try_recv().ok().and_then(Result::err)
    }

    #[test]
    fn an_outcome_finds_its_waiter_however_the_entry_travelled() {
        let mut waiters = Waiters::default();
        let mut answer = insert(&mut waiters, 7);
        waiters.moved(7, Place::With(MemberId(2), Term(1)));
        waiters.finish(7, applied(5));
        assert_eq!(answer.try_recv().expect("answered").expect("done").index, Index(5));
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn what_an_earlier_leader_lost_is_handed_on_again_once_a_later_one_has_committed() {
        let mut waiters = Waiters::default();
        let _answers = [1, 2].map(|sequence| insert(&mut waiters, sequence));
        waiters.take_held(1 << 20);
        waiters.moved(1, Place::With(MemberId(2), Term(1)));
        waiters.moved(2, Place::With(MemberId(3), Term(2)));
        waiters.applied(Term(1));
        assert!(!waiters.has_held(), "its own term may still bring it");
        waiters.applied(Term(2));
        assert_eq!(waiters.take_held(1 << 20).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn only_a_command_that_is_in_no_log_is_handed_on_again() {
        let mut waiters = Waiters::default();
        let _answer = insert(&mut waiters, 1);
        assert_eq!(waiters.take_held(1 << 20).len(), 1);
        waiters.moved(1, Place::With(MemberId(2), Term(1)));
        waiters.returned(1, MemberId(3), Term(1));
        waiters.returned(1, MemberId(2), Term(0));
        assert!(!waiters.has_held(), "another member's word does not count, nor one of another time");
        waiters.returned(1, MemberId(2), Term(1));
        assert_eq!(waiters.take_held(1 << 20), [(1, Bytes::from_static(b"command"))]);
    }

    #[test]
    fn what_a_snapshot_may_hold_is_not_handed_on_again() {
        let mut waiters = Waiters::default();
        let mut answers = [1, 2].map(|sequence| insert(&mut waiters, sequence));
        waiters.take_held(1 << 20);
        [1, 2].into_iter().for_each(|sequence| waiters.moved(sequence, Place::With(MemberId(2), Term(1))));
        waiters.installed();
        waiters.applied(Term(2));
        assert!(!waiters.has_held(), "it may have been applied by whoever made the snapshot");
        waiters.returned(1, MemberId(2), Term(1));
        assert_eq!(waiters.take_held(1 << 20).len(), 1, "the leader itself says that it is in no log");
        waiters.sweep(Time(100));
        assert_eq!(
            answers[1].try_recv().expect("its time is over").expect_err("nobody knows"),
            ProposeFailure::TimedOut
        );
    }

    #[test]
    fn a_refusal_that_comes_late_says_nothing_of_what_was_handed_on_since() {
        let mut waiters = Waiters::default();
        let mut answer = insert(&mut waiters, 1);
        waiters.take_held(1 << 20);
        waiters.moved(1, Place::With(MemberId(2), Term(1)));
        waiters.applied(Term(2));
        waiters.take_held(1 << 20);
        waiters.moved(1, Place::With(MemberId(3), Term(2)));
        waiters.refused(1, MemberId(2), Term(1), ProposeFailure::TooManyRequests);
        assert!(answer.try_recv().is_err(), "the new leader may have it in its log");
        waiters.refused(1, MemberId(3), Term(2), ProposeFailure::TooManyRequests);
        assert_eq!(failure(answer), Some(ProposeFailure::TooManyRequests));
    }

    #[test]
    fn time_runs_out_with_the_reason_that_fits() {
        let mut waiters = Waiters::default();
        let (held, forwarded) = (insert(&mut waiters, 1), insert(&mut waiters, 2));
        let changed = insert(&mut waiters, 3);
        waiters.moved(2, Place::With(MemberId(2), Term(1)));
        waiters.sweep(Time(99));
        assert_eq!(waiters.len(), 3);
        waiters.sweep(Time(100));
        assert_eq!(failure(held), Some(ProposeFailure::NoLeader));
        assert_eq!(failure(forwarded), Some(ProposeFailure::TimedOut));
        drop(changed);
        let late = insert(&mut waiters, 4);
        waiters.moved(4, Place::With(MemberId(2), Term(1)));
        waiters.leader_changed();
        waiters.sweep(Time(100));
        assert_eq!(failure(late), Some(ProposeFailure::TimedOutLeaderChanged));
    }

    fn insert_large(waiters: &mut Waiters, sequence: u64, bytes: usize) -> Answer {
        let (reply, answer) = oneshot::channel();
        waiters.insert(sequence, vec![0; bytes].into(), reply, Time(100), None);
        answer
    }

    #[test]
    fn what_waits_has_a_bound_in_bytes_and_in_number_and_its_room_comes_back() {
        let mut waiters = Waiters::default();
        let half = WAITERS_BYTES_MAX / 2;
        let _answers = [1, 2].map(|sequence| insert_large(&mut waiters, sequence, half));
        assert!(waiters.has_room(0) && !waiters.has_room(1));
        waiters.finish(1, applied(5));
        assert!(waiters.has_room(half) && !waiters.has_room(half + 1));
        waiters.fail(2, ProposeFailure::TimedOut);
        assert!(waiters.has_room(WAITERS_BYTES_MAX));
        let many = u64::try_from(WAITERS_MAX).expect("few");
        let _answers: Vec<Answer> = (1..many).map(|sequence| insert_large(&mut waiters, sequence, 0)).collect();
        assert!(waiters.has_room(0));
        let _last = insert_large(&mut waiters, many, 0);
        assert!(!waiters.has_room(0));
    }

    #[test]
    fn what_is_held_is_taken_in_order_and_in_pieces() {
        let mut waiters = Waiters::default();
        let answers: Vec<_> = (1..=3).map(|sequence| insert(&mut waiters, sequence)).collect();
        assert_eq!(waiters.take_held(14).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(waiters.take_held(1).len(), 1, "one at least");
        assert_eq!(answers.len(), 3);
    }
}
