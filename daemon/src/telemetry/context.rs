//! A span as another member names it: what travels with a command, so that the spans of two members are one trace.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Bytes of one: trace id, span id and flags, as they stand in W3C's `traceparent`.
pub const TRACE_CONTEXT_BYTES: usize = 25;

/// A span that is kept, here or in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
}

impl TraceContext {
    /// Names a span; nothing when nobody keeps it.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let context = context.span();
        let context = context.span_context();
        let kept = context.is_valid() && context.is_sampled();
        kept.then(|| Self { trace: context.trace_id(), span: context.span_id() })
    }

    /// Makes `span`, which has no children yet, a child of the one named.
    pub fn adopt(self, span: &Span) {
        let parent = SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, TraceState::default());
        // It fails only where nothing exports spans, and then nobody misses the parent.
        let _unexported = span.set_parent(Context::new().with_remote_span_context(parent));
    }

    /// As it travels.
    #[must_use]
    pub fn to_bytes(self) -> [u8; TRACE_CONTEXT_BYTES] {
        let mut bytes = [0; TRACE_CONTEXT_BYTES];
        bytes[..16].copy_from_slice(&self.trace.to_bytes());
        bytes[16..24].copy_from_slice(&self.span.to_bytes());
        bytes[24] = TraceFlags::SAMPLED.to_u8();
        bytes
    }

    /// What has travelled; nothing when the bytes name no span, or one that is not kept. Of the flags only that one has
    /// a meaning here.
    #[must_use]
    pub fn from_bytes(bytes: [u8; TRACE_CONTEXT_BYTES]) -> Option<Self> {
        let (trace, rest) = bytes.split_first_chunk().expect("16 of 25 bytes");
        let (span, flags) = rest.split_first_chunk().expect("8 of 9 bytes");
        let (trace, span) = (TraceId::from_bytes(*trace), SpanId::from_bytes(*span));
        let named = trace != TraceId::INVALID && span != SpanId::INVALID;
        (named && TraceFlags::new(flags[0]).is_sampled()).then_some(Self { trace, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::trace_span;
    use tracing_subscriber::layer::SubscriberExt;

    /// Runs where so much is kept of what has no parent.
    fn keeping<T>(ratio: f64, run: impl FnOnce() -> T) -> T {
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run)
    }

    #[test]
    fn a_span_of_another_member_is_the_parent_wherever_it_was_made() {
        let sent = keeping(1.0, || TraceContext::of(&trace_span!("forward"))).expect("everything is kept");
        let received = TraceContext::from_bytes(sent.to_bytes()).expect("it names a span");
        assert_eq!(received, sent);
        // This member keeps nothing of its own accord: the caller has decided.
        let child = keeping(0.0, || {
            let span = trace_span!("propose");
            received.adopt(&span);
            TraceContext::of(&span)
        });
        let child = child.expect("it is kept as its parent is");
        assert_eq!(child.trace, sent.trace);
        assert_ne!(child.span, sent.span);
    }

    #[test]
    fn what_nobody_keeps_has_no_name() {
        assert_eq!(keeping(0.0, || TraceContext::of(&trace_span!("forward"))), None);
        assert_eq!(TraceContext::of(&trace_span!("forward")), None, "nothing takes spans here");
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let mut bytes: [u8; TRACE_CONTEXT_BYTES] = std::array::from_fn(|at| u8::try_from(at).expect("25") + 1);
        bytes[24] = 1;
        let named = TraceContext::from_bytes(bytes).expect("it names a span");
        assert_eq!(named.trace.to_string(), "0102030405060708090a0b0c0d0e0f10");
        assert_eq!(named.span.to_string(), "1112131415161718");
        assert_eq!(named.to_bytes(), bytes);
    }

    #[test]
    fn bytes_that_name_no_span_are_none() {
        let sound = [1; TRACE_CONTEXT_BYTES];
        for nothing in [0..16, 16..24, 24..25] {
            let mut bytes = sound;
            bytes[nothing.clone()].fill(0);
            assert_eq!(TraceContext::from_bytes(bytes), None, "{nothing:?}");
        }
        let mut with_flags_of_later = sound;
        with_flags_of_later[24] = 0xff;
        assert_eq!(TraceContext::from_bytes(with_flags_of_later), TraceContext::from_bytes(sound));
    }
}
