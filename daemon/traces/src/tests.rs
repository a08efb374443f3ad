//! Against a collector that listens, and one that does not.

use super::*;
use collector::Collector;
use std::time::Instant;
use tracing_subscriber::layer::SubscriberExt;

fn to(address: &str, kept: f64) -> Traces {
    Traces::start(address, Source { service: "quorate-test", instance: "m1", kept }).expect("an exporter")
}

/// What the trace is called, if it is kept.
fn trace_something(traces: &Traces) -> Option<String> {
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("propose", term = 7).in_scope(|| trace_id(&Span::current()))
    })
}

#[tokio::test]
async fn a_span_reaches_the_collector_with_its_service_and_the_id_that_was_told() {
    let collector = Collector::start().expect("a free port");
    let traces = to(&collector.address().to_string(), 1.0);
    let told = trace_something(&traces).expect("it is kept");
    traces.shutdown().await;
    let [kept] = &collector.spans()[..] else { panic!("one span: {:?}", collector.spans()) };
    assert_eq!((kept.service.as_str(), kept.instance.as_str()), ("quorate-test", "m1"));
    assert_eq!((kept.span.name.as_str(), kept.attribute("term").as_deref()), ("propose", Some("7")));
    assert_eq!(kept.trace(), told);
}

#[tokio::test]
async fn what_is_not_kept_does_not_leave_and_has_no_id() {
    let collector = Collector::start().expect("a free port");
    let traces = to(&collector.address().to_string(), 0.0);
    assert_eq!(trace_something(&traces), None);
    traces.shutdown().await;
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_is_gone_does_not_hold_up_the_end() {
    let traces = to("127.0.0.1:1", 1.0);
    trace_something(&traces);
    let began = Instant::now();
    traces.shutdown().await;
    assert!(began.elapsed() < FLUSH_TIMEOUT + FLUSH_TIMEOUT / 2, "{:?}", began.elapsed());
}
