//! The way of one write as spans, for client requests that are traced: queue, replicate, fsync, commit, apply, reply.
//!
//! A write that is forwarded has spans at both members: the leader's begin under the `forward` of the member that was
//! asked, whose `reply` is the last of the trace.
//!
//! The spans have a level and a target that no log takes, so without a collector of traces they are switched off where
//! they stand, and a write carries an empty pointer. So does one whose request is not among those that are kept.

use crate::telemetry::TraceContext;
use raft::{Index, IoId};
use tracing::{Level, Span, span_enabled, trace_span};

/// The target of these spans. Traces take it at every level; log lines do not.
pub const TRACE_TARGET: &str = traces::TARGET;

/// A write that is traced.
#[derive(Debug)]
pub(super) struct Trace {
    propose: Span,
    /// What it waits for now; its span ends when the next begins.
    stage: Option<Span>,
    /// Its write to this member's log, while that is under way.
    fsync: Option<(IoId, Span)>,
    /// Where its entry stands, if this member appended it.
    index: Option<Index>,
}

impl Trace {
    /// For a write that is to be proposed: nothing unless it is part of a request that is traced.
    pub(super) fn begin(bytes: usize) -> Option<Box<Self>> {
        if !span_enabled!(target: TRACE_TARGET, Level::TRACE) || Span::current().is_none() {
            return None;
        }
        let propose = trace_span!(target: TRACE_TARGET, "propose", bytes);
        let stage = trace_span!(target: TRACE_TARGET, parent: &propose, "queue");
        Some(Box::new(Self { propose, stage: Some(stage), fsync: None, index: None }))
    }

    /// For a write that another member forwards under this span: nothing unless this member takes traces as well.
    pub(super) fn received(bytes: usize, caller: TraceContext) -> Option<Box<Self>> {
        if !span_enabled!(target: TRACE_TARGET, Level::TRACE) {
            return None;
        }
        let propose = trace_span!(target: TRACE_TARGET, parent: None, "propose", bytes);
        caller.adopt(&propose);
        Some(Box::new(Self { propose, stage: None, fsync: None, index: None }))
    }

    /// It goes to the leader, which is another member. What that one is told of the span, if it is kept.
    pub(super) fn forwarded(&mut self) -> Option<TraceContext> {
        let forward = trace_span!(target: TRACE_TARGET, parent: &self.propose, "forward");
        let told = TraceContext::of(&forward);
        self.stage = Some(forward);
        told
    }

    /// This member has appended it: it is on its way to the followers and, in write `io`, to the disk.
    pub(super) fn appended(&mut self, index: Index, io: IoId) {
        self.index = Some(index);
        self.fsync = Some((io, trace_span!(target: TRACE_TARGET, parent: &self.propose, "fsync", io = io.0)));
        self.stage = Some(trace_span!(target: TRACE_TARGET, parent: &self.propose, "replicate", index = index.0));
    }

    /// Writes up to here are durable.
    pub(super) fn persisted(&mut self, io: IoId) {
        self.fsync.take_if(|(own, _)| *own <= io);
    }

    /// Everything up to here is committed and goes to be applied.
    pub(super) fn committed(&mut self, through: Index) {
        if self.index.take_if(|index| *index <= through).is_some() {
            // A moment: when a quorum had it.
            drop(trace_span!(target: TRACE_TARGET, parent: &self.propose, "commit", through = through.0));
            self.stage = Some(trace_span!(target: TRACE_TARGET, parent: &self.propose, "apply"));
        }
    }

    /// The outcome is there: what is left is to tell it.
    pub(super) fn reply(mut self) {
        self.stage = Some(trace_span!(target: TRACE_TARGET, parent: &self.propose, "reply"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TRACE_CONTEXT_BYTES;
    use std::sync::{Arc, Mutex};
    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
    use tracing_subscriber::{Registry, registry::LookupSpan};

    /// Writes down which spans begin and end.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Seen {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            self.0.lock().unwrap().push(format!("+{}", attributes.metadata().name()));
        }

        fn on_close(&self, id: Id, context: Context<'_, S>) {
            self.0.lock().unwrap().push(format!("-{}", context.span(&id).unwrap().name()));
        }
    }

    #[test]
    fn a_write_that_nobody_traces_carries_nothing() {
        assert!(Trace::begin(1).is_none());
        let seen = Seen::default();
        tracing::subscriber::with_default(Registry::default().with(seen.clone()), || {
            assert!(Trace::begin(1).is_none(), "it belongs to no request that is traced");
        });
        assert_eq!(*seen.0.lock().unwrap(), <[String; 0]>::default(), "no span was made");
    }

    #[test]
    fn a_write_that_was_forwarded_has_the_leader_s_stages_and_no_reply() {
        let seen = Seen::default();
        tracing::subscriber::with_default(Registry::default().with(seen.clone()), || {
            let caller = TraceContext::from_bytes([1; TRACE_CONTEXT_BYTES]).expect("it names a span");
            let mut trace = Trace::received(1, caller).expect("traces are taken");
            trace.appended(Index(7), IoId(3));
            trace.persisted(IoId(3));
            trace.committed(Index(7));
            drop(trace);
        });
        let expected = [
            "+propose",
            "+fsync",
            "+replicate",
            "-fsync",
            "+commit",
            "-commit",
            "+apply",
            "-replicate",
            "-apply",
            "-propose",
        ];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }

    #[test]
    fn the_stages_of_a_write_follow_each_other_and_the_disk_runs_beside() {
        let seen = Seen::default();
        tracing::subscriber::with_default(Registry::default().with(seen.clone()), || {
            let request = trace_span!(target: TRACE_TARGET, "request");
            let mut trace = request.in_scope(|| Trace::begin(1)).expect("traces are taken");
            trace.appended(Index(7), IoId(3));
            trace.persisted(IoId(2));
            trace.committed(Index(6));
            trace.committed(Index(7));
            trace.persisted(IoId(3));
            trace.reply();
        });
        let expected = [
            "+request",
            "+propose",
            "+queue",
            "+fsync",
            "+replicate",
            "-queue",
            "+commit",
            "-commit",
            "+apply",
            "-replicate",
            "-fsync",
            "+reply",
            "-apply",
            "-reply",
            "-propose",
            "-request",
        ];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }
}
