//! What a cluster at rest costs the API server: counted call by call, against one of this process.

use super::*;
use crate::context::Settings;
use crate::lease::Held;
use crate::metrics::Metrics;
use crate::test_api_server::ApiServer;
use kube::core::{ObjectMeta, PartialObjectMetaExt};
use kube::runtime::events::{Recorder, Reporter};
use serde_json::json;
use std::collections::BTreeMap;

const CLUSTER: &str = "/apis/quorate.io/v1alpha1/namespaces/store/raftclusters/m";
/// A finalizer, a status, and a look that finds that nothing is left to do.
const PASSES_MAX: usize = 5;

/// The calls so far, by verb and resource.
fn calls(metrics: &Metrics) -> BTreeMap<String, u64> {
    let page = String::from_utf8(metrics.text().expect("it prints")).expect("text");
    let lines = page.lines().filter_map(|line| line.strip_prefix("quorate_operator_api_requests_total{"));
    let read = |line: &str| {
        let word = |label: &str| {
            let (_, rest) = line.split_once(&format!("{label}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let count = line.rsplit_once(' ')?.1.parse().ok()?;
        Some((format!("{} {}", word("verb")?, word("resource")?), count))
    };
    lines.filter_map(read).collect()
}

/// A paused cluster is one that nothing is done to, without members that a test of this process cannot have.
#[tokio::test]
async fn a_pass_over_a_cluster_at_rest_is_a_handful_of_reads_and_no_write() {
    let (server, metrics) = (ApiServer::new(), Metrics::new().expect("every name once"));
    server.put(
        CLUSTER,
        json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "generation": 1 },
            "spec": { "version": "0.1.0", "paused": true },
        }),
    );
    let client = server.client(&metrics);
    let recorder = Recorder::new(client.clone(), Reporter { controller: "test".into(), instance: None });
    let settings = Settings { image: "quorate".into() };
    let context = Arc::new(Context::new(client, settings, Held::always(), recorder, metrics.clone()));
    let meta = ObjectMeta { name: Some("m".into()), namespace: Some("store".into()), ..ObjectMeta::default() };
    let told: Arc<Told> = Arc::new(meta.into_response_partial());

    let mut rests = 0;
    let mut before = BTreeMap::new();
    for _ in 0..PASSES_MAX {
        before = calls(&metrics);
        let next = reconcile(Arc::clone(&told), Arc::clone(&context)).await.expect("the server answers");
        rests = if next == Requeue::requeue(AT_REST) { rests + 1 } else { 0 };
        if rests == 2 {
            break;
        }
    }
    assert_eq!(rests, 2, "it comes to rest: {:?}", calls(&metrics));
    let mut made = calls(&metrics);
    made.iter_mut().for_each(|(call, count)| *count -= before.get(call).copied().unwrap_or(0));
    made.retain(|_, count| *count > 0);
    let wanted = [
        ("get raftclusters", 1),
        // Once for what it is, once for whether it has drifted.
        ("get statefulsets", 2),
        ("list pods", 1),
        ("list persistentvolumeclaims", 1),
        ("get serviceaccounts", 1),
        ("get configmaps", 1),
        ("get services", 2),
        ("get poddisruptionbudgets", 1),
        ("get networkpolicies", 1),
    ];
    assert_eq!(made, wanted.map(|(call, count)| (call.to_owned(), count)).into());
}
