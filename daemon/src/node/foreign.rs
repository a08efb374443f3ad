//! Commands that another member has forwarded to this one as the leader: which they are while they are proposed, and
//! the spans of those that are traced.
//!
//! Nobody waits for their outcomes here: each member tells its own clients. So spans may end early, with a reign or
//! because there are too many, and nothing else is lost.

use super::trace::Trace;
use crate::transport::{Forwarded, NotTakenReason};
use bytes::Bytes;
use raft::{Index, IoId};
use std::collections::{BTreeMap, VecDeque};

/// Traced commands between append and applied. A peer decides what is traced, so this bounds what it can make this
/// member keep; beyond it commands go on without spans.
const TRACED_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Those that are being proposed in this step, by their sequences.
    batch: Vec<(u64, Option<Box<Trace>>)>,
    not_taken: BTreeMap<NotTakenReason, Vec<u64>>,
    /// In this member's log and not applied, in the log's order.
    traced: VecDeque<(Index, Box<Trace>)>,
}

impl Foreign {
    /// These are being proposed: their bytes, in their order.
    pub(super) fn begin(&mut self, commands: Vec<Forwarded>) -> Vec<Bytes> {
        self.batch.clear();
        let mut room = TRACED_MAX.saturating_sub(self.traced.len());
        let mut payloads = Vec::with_capacity(commands.len());
        for Forwarded { sequence, command, trace } in commands {
            let trace = trace.filter(|_| room > 0).and_then(|caller| Trace::received(command.len(), caller));
            room -= usize::from(trace.is_some());
            self.batch.push((sequence, trace));
            payloads.push(command);
        }
        payloads
    }

    /// The command at this place of the batch is in the log, and on its way to the disk in write `io`.
    pub(super) fn appended(&mut self, at: u64, index: Index, io: IoId) {
        let Some(mut trace) = self.at(at).and_then(|(_, trace)| trace.take()) else { return };
        trace.appended(index, io);
        self.traced.push_back((index, trace));
    }

    /// The command at this place of the batch is in no log.
    pub(super) fn refused(&mut self, at: u64, reason: NotTakenReason) {
        let Some((sequence, trace)) = self.at(at) else { return };
        *trace = None;
        let sequence = *sequence;
        self.not_taken.entry(reason).or_default().push(sequence);
    }

    /// What of the batch was refused.
    pub(super) fn not_taken(&mut self) -> BTreeMap<NotTakenReason, Vec<u64>> {
        std::mem::take(&mut self.not_taken)
    }

    /// Writes up to here are durable.
    pub(super) fn persisted(&mut self, io: IoId) {
        self.traced.iter_mut().for_each(|(_, trace)| trace.persisted(io));
    }

    /// Everything up to here is committed and goes to be applied.
    pub(super) fn committed(&mut self, through: Index) {
        self.traced.iter_mut().for_each(|(_, trace)| trace.committed(through));
    }

    /// Everything up to here has been applied.
    pub(super) fn applied(&mut self, through: Index) {
        while self.traced.pop_front_if(|(index, _)| *index <= through).is_some() {}
    }

    /// Another leads, or this member in another term: what was appended may be gone.
    pub(super) fn leader_changed(&mut self) {
        self.traced.clear();
    }

    fn at(&mut self, at: u64) -> Option<&mut (u64, Option<Box<Trace>>)> {
        self.batch.get_mut(usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{TRACE_CONTEXT_BYTES, TraceContext};
    use tracing_subscriber::Registry;

    fn traced(sequence: u64) -> Forwarded {
        let trace = TraceContext::from_bytes([1; TRACE_CONTEXT_BYTES]);
        Forwarded { sequence, command: Bytes::from_static(b"command"), trace }
    }

    /// Where spans are taken, every second command of four has been appended.
    fn appended() -> Foreign {
        let mut foreign = Foreign::default();
        tracing::subscriber::with_default(Registry::default(), || {
            assert_eq!(foreign.begin((11..15).map(traced).collect()).len(), 4);
            foreign.refused(0, NotTakenReason::Busy);
            foreign.appended(1, Index(7), IoId(3));
            foreign.refused(2, NotTakenReason::Busy);
            foreign.appended(3, Index(8), IoId(3));
        });
        foreign
    }

    #[test]
    fn a_command_is_refused_by_the_sequence_its_origin_knows() {
        let mut foreign = appended();
        assert_eq!(foreign.not_taken(), BTreeMap::from([(NotTakenReason::Busy, vec![11, 13])]));
        assert!(foreign.not_taken().is_empty(), "they are told once");
        foreign.refused(4, NotTakenReason::Busy);
        assert!(foreign.not_taken().is_empty(), "there is no fifth");
    }

    #[test]
    fn spans_last_until_their_command_is_applied_or_the_reign_is_over() {
        let mut foreign = appended();
        foreign.applied(Index(6));
        assert_eq!(foreign.traced.len(), 2);
        foreign.applied(Index(7));
        assert_eq!(foreign.traced.len(), 1);
        foreign.leader_changed();
        assert_eq!(foreign.traced.len(), 0);
    }

    #[test]
    fn a_peer_does_not_decide_how_much_is_kept_for_it() {
        let mut foreign = appended();
        tracing::subscriber::with_default(Registry::default(), || {
            let many = u64::try_from(2 * TRACED_MAX).expect("few");
            assert_eq!(foreign.begin((0..many).map(traced).collect()).len(), 2 * TRACED_MAX, "all are proposed");
            (0..many).for_each(|at| foreign.appended(at, Index(9 + at), IoId(4)));
        });
        assert_eq!(foreign.traced.len(), TRACED_MAX);
    }

    #[test]
    fn where_nobody_takes_traces_nothing_is_kept() {
        let mut foreign = Foreign::default();
        foreign.begin(vec![traced(1)]);
        foreign.appended(0, Index(7), IoId(3));
        assert!(foreign.traced.is_empty());
    }
}
