//! A pass is one trace: the controller as it runs, against an API server of this process and a collector that listens.

use super::tests::Running;
use crate::telemetry;
use crate::test_api_server::ApiServer;
use collector::{Collector, Kept};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, Registry};

const CLUSTERS: &str = "/apis/quorate.io/v1alpha1/namespaces/store/raftclusters";

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// The fields of each line with this message.
    fn fields(&self, message: &str) -> Vec<Value> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["fields"].clone());
        lines.filter(|fields| fields["message"] == message).collect()
    }
}

/// What was sent and what was logged while the operator took up a cluster, and met one that does not read.
async fn taken_up() -> (Vec<Kept>, Lines) {
    // While a process has one dispatcher only, a span that another test's thread meets first, where nobody listens, is
    // switched off for all threads. Beside a second one each dispatcher is asked.
    let _beside = Dispatch::new(Registry::default());
    let (collector, lines) = (Collector::start().expect("a free port"), Lines::default());
    let traces = telemetry::traces(&collector.address().to_string(), "one").expect("an exporter").expect("an address");
    let subscriber = telemetry::subscriber(EnvFilter::new("info"), lines.clone(), Some(&traces));
    let listening = tracing::subscriber::set_default(subscriber);
    let server = ApiServer::new();
    let kind = json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "generation": 1 } });
    for (name, version) in [("well", json!("0.1.0")), ("strange", json!(1))] {
        let mut object = kind.clone();
        object["spec"] = json!({ "version": version });
        server.put(&format!("{CLUSTERS}/{name}"), object);
    }
    let running = Running::start(&server);
    let has = |all: &[(String, Value)], name: &str| all.iter().any(|(each, _)| each.starts_with(name));
    server
        .until("a set and an event", |all| (has(all, "statefulsets/well") && has(all, "events/strange.")).then_some(()))
        .await;
    running.end().await;
    traces.shutdown().await;
    drop(listening);
    (collector.spans(), lines)
}

/// The spans that are directly part of another one.
fn parts<'a>(spans: &'a [Kept], of: &Kept) -> Vec<&'a Kept> {
    let part = |kept: &&Kept| kept.span.trace_id == of.span.trace_id && kept.span.parent_span_id == of.span.span_id;
    spans.iter().filter(part).collect()
}

fn names<'a>(spans: &[&'a Kept]) -> Vec<&'a str> {
    spans.iter().map(|kept| kept.span.name.as_str()).collect()
}

#[tokio::test]
async fn a_pass_is_one_trace_from_its_look_to_its_step_and_its_log_lines_name_it() {
    let (spans, lines) = taken_up().await;
    let (begun, others): (Vec<&Kept>, Vec<&Kept>) = spans.iter().partition(|kept| kept.span.parent_span_id.is_empty());
    assert!(begun.iter().all(|kept| kept.span.name == "reconcile"), "watches are no traces: {:?}", names(&begun));
    assert!(spans.iter().all(|kept| (kept.service.as_str(), kept.instance.as_str()) == ("quorate-operator", "one")));
    assert!(others.iter().all(|kept| begun.iter().any(|pass| pass.trace() == kept.trace())), "no span without a pass");

    let is = |kept: &Kept, key: &str, value: &str| kept.attribute(key).as_deref() == Some(value);
    let applies = |kept: &&&Kept| is(kept, "quorate.cluster", "well") && is(kept, "quorate.action", "Apply");
    // A pass that has something to remember does not act yet.
    let acts = |pass: &&&Kept| names(&parts(&spans, pass)).contains(&"act");
    let pass = begun.iter().filter(applies).find(acts).expect("the pass that makes everything");
    assert!(is(pass, "k8s.namespace.name", "store") && is(pass, "quorate.outcome", "UnderWay"), "{pass:?}");
    let stages = parts(&spans, pass);
    let stage = |name: &str| {
        let found = stages.iter().find(|kept| kept.span.name == name);
        *found.unwrap_or_else(|| panic!("no {name} among {:?}", names(&stages)))
    };
    let (observe, plan, act) = (stage("observe"), stage("plan"), stage("act"));
    assert!(is(act, "quorate.action", "Apply"), "{act:?}");
    let order = [observe, plan, act].map(|kept| kept.span.start_time_unix_nano);
    assert!(order.is_sorted(), "{order:?}");
    let (looked, acted) = (parts(&spans, observe), parts(&spans, act));
    assert!(names(&looked).contains(&"list pods"), "{:?}", names(&looked));
    let made = acted.iter().find(|kept| kept.span.name == "create statefulsets");
    let made = made.unwrap_or_else(|| panic!("the set is made: {:?}", names(&acted)));
    assert!(is(made, "http.response.status_code", "200"), "{made:?}");

    let acting = lines.fields("acting");
    let logged = acting.iter().any(|fields| fields["trace_id"] == json!(pass.trace()) && fields["action"] == "Apply");
    assert!(logged, "{} is in no line: {acting:?}", pass.trace());
}

#[tokio::test]
async fn a_pass_that_fails_says_why_in_its_trace_and_its_log_line_leads_there() {
    let (spans, lines) = taken_up().await;
    let strange = |kept: &&Kept| kept.attribute("quorate.cluster").as_deref() == Some("strange");
    let pass = spans.iter().find(strange).expect("a pass over what does not read");
    assert_eq!(pass.attribute("quorate.outcome").as_deref(), Some("Unreadable"));
    let status = pass.span.status.as_ref().expect("a status");
    assert!(status.code == 2 && status.message.contains("spec.version"), "{status:?}");
    let told = lines.fields("not done");
    assert!(told.iter().any(|fields| fields["trace_id"] == json!(pass.trace())), "{told:?}");
}
