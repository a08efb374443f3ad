//! Linearizable reads, from the question to the moment this member has caught up with the answer.
//!
//! All reads that reach one turn of the loop are one question to the engine, which in turn keeps one round of
//! heartbeats under way and gathers the next.

use super::ReadFailure;
use super::request::ReadRequest;
use raft::planted::{Bug, is_planted};
use raft::{Index, ReadError, Time, Token};
use std::collections::{BTreeMap, VecDeque};

/// Reads without an answer yet; beyond it a client hears "too many requests".
pub(super) const READS_WAITING_MAX: usize = 64 << 10;

/// Reads that came together.
#[derive(Debug)]
struct Group {
    reads: Vec<ReadRequest>,
    deadline: Time,
    /// Why the last question went unanswered.
    failure: ReadFailure,
}

/// The reads under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    next: u64,
    /// To be asked when there is somebody to ask.
    waiting: Vec<Group>,
    asked: BTreeMap<Token, Group>,
    /// Answered: waiting for this member to apply so far.
    behind: VecDeque<(Index, Group)>,
    count: usize,
    failed: u64,
}

impl Reads {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many ended without an answer.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes in what came in one turn.
    pub(super) fn insert(&mut self, reads: Vec<ReadRequest>, deadline: Time) {
        self.count += reads.len();
        self.waiting.push(Group { reads, deadline, failure: ReadFailure::NoLeader });
    }

    /// Makes one question of everything that waits.
    pub(super) fn ask(&mut self) -> Option<Token> {
        let mut groups = std::mem::take(&mut self.waiting).into_iter();
        let mut all = groups.next()?;
        for group in groups {
            // The earliest deadline: nobody waits longer than promised.
            all.deadline = all.deadline.min(group.deadline);
            all.reads.extend(group.reads);
        }
        self.next += 1;
        let token = Token(self.next);
        self.asked.insert(token, all);
        Some(token)
    }

    /// The engine has answered a question.
    pub(super) fn answered(&mut self, token: Token, result: Result<Index, ReadError>, applied: Index) {
        let Some(mut group) = self.asked.remove(&token) else { return };
        match result {
            Ok(index) if index <= applied || is_planted(Bug::ReadBehind) => self.finish(group.reads, Ok(())),
            Ok(index) => {
                let at = self.behind.partition_point(|(other, _)| *other <= index);
                self.behind.insert(at, (index, group));
            }
            // Ask again: a read changes nothing, so it may be asked as often as its time allows.
            Err(error) => {
                group.failure = match error {
                    ReadError::NoLeader => ReadFailure::NoLeader,
                    ReadError::Unconfirmed => ReadFailure::TimedOut,
                };
                self.waiting.push(group);
            }
        }
    }

    /// The store has applied everything up to here.
    pub(super) fn applied(&mut self, through: Index) {
        while let Some((_, group)) = self.behind.pop_front_if(|(index, _)| *index <= through) {
            self.finish(group.reads, Ok(()));
        }
    }

    /// Tells everybody whose time has run out.
    pub(super) fn sweep(&mut self, now: Time) {
        let late = |group: &mut Group| group.deadline <= now;
        let mut expired: Vec<Group> = self.waiting.extract_if(.., late).collect();
        let tokens: Vec<Token> =
            self.asked.iter().filter(|(_, group)| group.deadline <= now).map(|(token, _)| *token).collect();
        for token in tokens {
            expired.extend(self.asked.remove(&token).map(|group| Group { failure: ReadFailure::TimedOut, ..group }));
        }
        let (kept, over): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.behind).into_iter().partition(|(_, group)| group.deadline > now);
        self.behind = kept;
        expired.extend(over.into_iter().map(|(_, group)| Group { failure: ReadFailure::TimedOut, ..group }));
        for group in expired {
            self.failed += group.reads.len() as u64;
            self.finish(group.reads, Err(group.failure));
        }
    }

    fn finish(&mut self, reads: Vec<ReadRequest>, result: Result<(), ReadFailure>) {
        self.count -= reads.len();
        for read in reads {
            // A client that has gone needs no answer.
            let _ = read.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn insert(reads: &mut Reads) -> oneshot::Receiver<Result<(), ReadFailure>> {
        let (reply, answer) = oneshot::channel();
        reads.insert(vec![reply], Time(100));
        answer
    }

    #[test]
    fn reads_of_several_turns_become_one_question_and_wait_for_the_store() {
        let mut reads = Reads::default();
        let mut answers = [insert(&mut reads), insert(&mut reads)];
        let token = reads.ask().expect("there are reads");
        assert!(reads.ask().is_none());
        reads.answered(token, Ok(Index(5)), Index(4));
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()), "not applied yet");
        reads.applied(Index(5));
        assert!(answers.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(()))));
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn an_unanswered_question_is_asked_again_until_its_time_is_over() {
        let mut reads = Reads::default();
        let mut answer = insert(&mut reads);
        for error in [ReadError::NoLeader, ReadError::Unconfirmed] {
            let token = reads.ask().expect("there are reads");
            reads.answered(token, Err(error), Index(0));
        }
        reads.sweep(Time(99));
        assert!(answer.try_recv().is_err());
        reads.sweep(Time(100));
        assert_eq!(answer.try_recv(), Ok(Err(ReadFailure::TimedOut)));
        assert_eq!((reads.len(), reads.failed()), (0, 1));
    }
}
