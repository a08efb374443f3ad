//! A client's request as the span that everything done for it belongs to.

use crate::node::TRACE_TARGET;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a request for `path`, part of the caller's trace if its headers name one (`traceparent`): nothing when
/// traces are not taken, or this one is not among those that are kept.
#[must_use]
pub fn request(path: &str, headers: &HeaderMap) -> Option<Span> {
    let span = trace_span!(target: TRACE_TARGET, "request", rpc.method = path);
    if span.is_disabled() {
        return None;
    }
    let caller = TraceContextPropagator::new().extract(&Headers(headers));
    // It fails only where nothing exports spans, and then nothing is kept either.
    let _unexported = span.set_parent(caller);
    let kept = span.context().span().span_context().is_sampled();
    kept.then_some(span)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt;

    const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// The trace of a request whose caller says this, where so much of the others is kept.
    fn traced(traceparent: Option<String>, ratio: f64) -> Option<String> {
        traced_with([("traceparent", traceparent)], ratio)
    }

    fn traced_with<const N: usize>(said: [(&'static str, Option<String>); N], ratio: f64) -> Option<String> {
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let named = |(name, value): (_, Option<String>)| {
            Some((http::HeaderName::from_static(name), value?.parse().expect("a header may hold it")))
        };
        let headers: HeaderMap = said.into_iter().filter_map(named).collect();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = request("/etcdserverpb.KV/Put", &headers)?;
            Some(span.context().span().span_context().trace_id().to_string())
        })
    }

    #[test]
    fn the_caller_decides_for_its_own_requests_and_the_rate_for_the_others() {
        let caller = |flag: &str| Some(format!("00-{CALLER}-00f067aa0ba902b7-{flag}"));
        assert_eq!(traced(caller("01"), 0.0).as_deref(), Some(CALLER));
        assert_eq!(traced(caller("00"), 1.0), None);
        assert_eq!(traced(None, 0.0), None);
        assert!(traced(None, 1.0).is_some_and(|own| own != CALLER));
        assert!(traced(Some("nonsense".into()), 1.0).is_some());
    }

    /// A field of the header: mostly as it should be, or nearly so, or whatever a header may hold.
    fn field(sound: &'static str) -> impl Strategy<Value = String> {
        prop_oneof![5 => sound, 1 => "[0-9A-Fa-f+-]{0,40}", 1 => "[ -~\\t]{0,40}"]
    }

    proptest! {
        #[test]
        fn whatever_its_headers_say_a_request_is_a_part_of_one_trace_or_of_none(
            parent in (field("0[0-1]"), field("[0-9a-f]{32}"), field("[0-9a-f]{16}"), field("0[0-3]"), "(-[ -~]{0,9})?"),
            state in prop::option::of("([ -~]{0,20}[=,]){0,40}"),
        ) {
            let (version, trace, span, flags, more) = parent;
            let parent = format!("{version}-{trace}-{span}-{flags}{more}");
            let named = traced_with([("traceparent", Some(parent)), ("tracestate", state)], 0.0);
            prop_assert!(named.is_none_or(|trace| trace.len() == CALLER.len()));
        }
    }

    #[test]
    fn without_traces_there_is_no_span() {
        assert!(request("/etcdserverpb.KV/Put", &HeaderMap::new()).is_none());
    }
}
