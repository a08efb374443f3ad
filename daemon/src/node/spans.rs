//! Where batches of entries are on their way from append to applied, for the histograms by stage.

use crate::metrics::Stages;
use raft::{Index, Time};
use std::collections::VecDeque;

/// Batches looked at at once. Under load each stands for hundreds of entries; when more are under way, some go
/// unobserved.
const BATCHES_MAX: usize = 1024;

/// The last index of each batch under way, with the moment of its last stage.
#[derive(Debug, Default)]
pub(super) struct Spans {
    appended: VecDeque<(Index, Time)>,
    committed: VecDeque<(Index, Time)>,
}

impl Spans {
    /// This member has appended up to here as the leader.
    pub(super) fn appended(&mut self, last: Index, now: Time) {
        if self.appended.len() < BATCHES_MAX {
            self.appended.push_back((last, now));
        }
    }

    /// Everything up to here is committed and goes to be applied.
    pub(super) fn committed(&mut self, through: Index, now: Time, stages: &Stages) {
        while let Some((_, at)) = self.appended.pop_front_if(|(last, _)| *last <= through) {
            stages.commit.observe(now.since(at).as_secs_f64());
        }
        if self.committed.len() < BATCHES_MAX {
            self.committed.push_back((through, now));
        }
    }

    /// Everything up to here has been applied.
    pub(super) fn applied(&mut self, through: Index, now: Time, stages: &Stages) {
        while let Some((_, at)) = self.committed.pop_front_if(|(last, _)| *last <= through) {
            stages.applied.observe(now.since(at).as_secs_f64());
        }
    }
}
