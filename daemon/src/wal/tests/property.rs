//! Any sequence of requests, restarts and crashes, against the model.

use super::bench::*;
use crate::disk::{Fate, SimDisk};
use crate::wal::*;
use bytes::Bytes;
use proptest::prelude::*;
use raft::{Entry, HardState, Index, LogId, MemberId, Persist, Term};

#[derive(Clone, Debug)]
enum Step {
    /// Queue new entries, perhaps in a new term, perhaps over the last ones.
    Append {
        count: u64,
        bytes: usize,
        new_term: bool,
        over: u64,
        membership: bool,
    },
    Vote {
        new_term: bool,
        vote: u64,
    },
    /// Have everything queued done.
    Flush,
    Commit {
        back: u64,
    },
    Compact {
        back: u64,
    },
    Reset {
        ahead: u64,
    },
    LookAfter,
    Restart,
    /// Have everything queued done and lose power after so many effects.
    Crash {
        effects: u64,
        fate: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6u64, 0..2500usize, prop::bool::weighted(0.2), 0..4u64, prop::bool::weighted(0.1))
            .prop_map(|(count, bytes, new_term, over, membership)| Step::Append { count, bytes, new_term, over, membership }),
        2 => (any::<bool>(), 0..3u64).prop_map(|(new_term, vote)| Step::Vote { new_term, vote }),
        6 => Just(Step::Flush),
        2 => (0..5u64).prop_map(|back| Step::Commit { back }),
        2 => (0..5u64).prop_map(|back| Step::Compact { back }),
        1 => (0..50u64).prop_map(|ahead| Step::Reset { ahead }),
        4 => Just(Step::LookAfter),
        1 => Just(Step::Restart),
        3 => (0..12u64, any::<u64>()).prop_map(|(effects, fate)| Step::Crash { effects, fate }),
    ]
}

/// A bench, what is queued for it, and what the log will say once that is done.
struct Run {
    bench: Bench,
    queued: Vec<WalRequest>,
    last: LogId,
    hard_state: HardState,
}

impl Run {
    fn new() -> Self {
        Self::on(Bench::new(&SimDisk::new()).unwrap())
    }

    fn on(bench: Bench) -> Self {
        let (last, hard_state) = (bench.model().last(), bench.model().hard_state);
        Self { bench, queued: Vec::new(), last, hard_state }
    }

    fn append(&mut self, count: u64, bytes: usize, new_term: bool, over: u64, with_membership: bool) {
        // Nothing committed, and nothing at the start, is ever written over.
        let floor = self.bench.model().commit.0.max(self.bench.model().base_index());
        let from = self.last.index.0.saturating_sub(over).max(floor) + 1;
        let over = from <= self.last.index.0;
        if over || new_term {
            self.hard_state.term = Term(self.hard_state.term.0.max(self.last.term.0) + 1);
        }
        let term = self.hard_state.term.0.max(self.last.term.0).max(1);
        let one =
            |n: u64| if with_membership && n == 0 { membership(from, term) } else { entry(from + n, term, bytes) };
        let entries: Vec<Entry> = (0..count).map(one).collect();
        self.last = entries[entries.len() - 1].id();
        let hard_state = (over || new_term).then_some(self.hard_state);
        let truncate_from = over.then_some(Index(from));
        self.queued.push(WalRequest::Persist(Persist { hard_state, truncate_from, ..super::bench::append(entries) }));
    }

    fn flush(&mut self) -> Result<(), WalError> {
        self.bench.perform(std::mem::take(&mut self.queued))
    }

    fn step(mut self, step: &Step) -> Result<Self, TestCaseError> {
        match *step {
            Step::Append { count, bytes, new_term, over, membership } => {
                self.append(count, bytes, new_term, over, membership);
            }
            Step::Vote { new_term, vote } => {
                self.hard_state.term.0 += u64::from(new_term);
                self.hard_state.vote = (vote > 0).then_some(MemberId(vote));
                let hard_state = Some(self.hard_state);
                self.queued.push(WalRequest::Persist(Persist { hard_state, ..super::bench::append(Vec::new()) }));
            }
            Step::Flush => self.flush().expect("the disk is well"),
            Step::Commit { back } => {
                self.flush().expect("the disk is well");
                let commit = Index(self.last.index.0.saturating_sub(back));
                let hard_state = Some(self.hard_state);
                self.queued.push(WalRequest::Persist(Persist { commit, hard_state, ..Persist::default() }));
                self.flush().expect("the disk is well");
            }
            Step::Compact { back } => {
                self.flush().expect("the disk is well");
                let through = Index(self.bench.model().commit.0.saturating_sub(back));
                self.queued.push(WalRequest::Compact { through });
                self.flush().expect("the disk is well");
            }
            Step::Reset { ahead } => {
                self.flush().expect("the disk is well");
                let index = Index(self.last.index.0 + ahead);
                // What the log starts after is committed: no snapshot knows another entry there.
                let is_start = index.0 == self.bench.model().base_index();
                let term = if is_start { self.last.term } else { self.hard_state.term.max(self.last.term) };
                let start = LogId { term, index };
                let membership = (ahead % 2 == 0).then(|| (start.index, Bytes::from_static(b"of the snapshot")));
                self.queued.push(WalRequest::Reset { start, membership });
                self.flush().expect("the disk is well");
                self.last = self.bench.model().last();
            }
            Step::LookAfter => {
                self.bench.wal.look_after().expect("the disk is well");
            }
            Step::Restart => {
                self.flush().expect("the disk is well");
                return Ok(Self::on(self.bench.restart()));
            }
            Step::Crash { effects, fate } => {
                self.bench.disk.lose_power_after(self.bench.disk.counts().effects + effects);
                // Whether it comes to its end or not is what the crash decides.
                if self.flush().is_ok() {
                    self.bench.wal.look_after().ok();
                }
                return self.bench.crash(Fate::Chance(fate)).map(Self::on).map_err(TestCaseError::fail);
            }
        }
        Ok(self)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_log_says_what_the_model_says(steps in prop::collection::vec(step(), 1..60), fate: u64) {
        let mut run = Run::new();
        for step in &steps {
            run = run.step(step)?;
        }
        run.flush().expect("the disk is well");
        run.bench.crash(Fate::Chance(fate)).map_err(TestCaseError::fail)?.restart();
    }
}
