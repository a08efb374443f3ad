//! What the operator may do, held against what it does: each call that it makes is permitted, and nothing is permitted
//! that it does not need.

use super::tests::Running;
use crate::calls::Call;
use crate::test_api_server::ApiServer;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const CLUSTERS: &str = "/apis/quorate.io/v1alpha1/namespaces/store/raftclusters";

/// What no test of this process brings about, and when it is done: it takes members that answer.
const WITH_MEMBERS: &[(&str, &str, &str)] = &[
    // A pod is restarted, or its member replaced.
    ("delete", "", "pods"),
    // A member is replaced, or scaled away.
    ("delete", "", "persistentvolumeclaims"),
    // Volumes grow, and then their set is made anew around them.
    ("patch", "", "persistentvolumeclaims"),
    ("delete", "apps", "statefulsets"),
    // No call: an API server that guards owner references asks for it when an object is made.
    ("update", "quorate.io", "raftclusters/finalizers"),
];

fn call((verb, group, resource): (&'static str, &str, &str)) -> Call {
    Call { verb, group: group.to_owned(), resource: resource.to_owned() }
}

/// The chart's rules, each combination by itself.
fn permitted() -> BTreeSet<Call> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/quorate-operator/files/rules.yaml");
    let text = std::fs::read_to_string(file).expect("the chart has rules");
    let rules: Value = serde_saphyr::from_str(&text).expect("YAML");
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut all = BTreeSet::new();
    for rule in rules["rules"].as_array().expect("rules") {
        for (group, resource) in words(rule, "apiGroups")
            .iter()
            .flat_map(|group| words(rule, "resources").into_iter().map(move |it| (group, it)))
        {
            for verb in words(rule, "verbs") {
                all.insert(Call { verb: known(&verb), group: group.clone(), resource: resource.clone() });
            }
        }
    }
    all
}

fn known(verb: &str) -> &'static str {
    let all = ["get", "list", "watch", "create", "update", "patch", "delete"];
    all.into_iter().find(|known| *known == verb).unwrap_or_else(|| panic!("{verb} is no verb that the operator uses"))
}

/// Leads the operator through a cluster's life as far as it goes without members: formed with everything there is to
/// ask for, changed, left with less, and deleted; and past an object that does not read.
async fn live(server: &ApiServer) {
    let cluster = format!("{CLUSTERS}/m");
    let kind = json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "generation": 1 } });
    let with = |spec: Value| {
        let mut object = kind.clone();
        object["spec"] = spec;
        object
    };
    server.put(&cluster, with(json!({ "version": "0.1.0", "tls": {}, "networkPolicy": { "enabled": true } })));
    server.put(&format!("{CLUSTERS}/strange"), with(json!({ "version": 1 })));
    server.until("the set", |all| all.iter().any(|(name, _)| name == "statefulsets/m").then_some(())).await;

    let annotated = json!({ "annotations": { "example.com/a": "b" } });
    let less = json!({
        "networkPolicy": { "enabled": false }, "podDisruptionBudget": { "enabled": false }, "podMetadata": annotated,
    });
    server.change(&cluster, json!({ "metadata": { "generation": 2 }, "spec": less }));
    let gone = |all: &[(String, Value)], name: &str| !all.iter().any(|(each, _)| each == name);
    let annotation = "/spec/template/metadata/annotations/example.com~1a";
    server
        .until("less than before", |all| {
            let set = all.iter().find(|(name, _)| name == "statefulsets/m");
            let changed = set.is_some_and(|(_, set)| set.pointer(annotation).is_some());
            (changed && gone(all, "networkpolicies/m") && gone(all, "poddisruptionbudgets/m")).then_some(())
        })
        .await;
    server
        .until("an event that is told again", |all| {
            let again = |(name, event): &(String, Value)| {
                name.starts_with("events/strange.") && event["series"]["count"].as_u64() >= Some(2)
            };
            all.iter().any(again).then_some(())
        })
        .await;

    server.change(&cluster, json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }));
    server
        .until("the cluster released", |all| {
            let (_, cluster) = all.iter().find(|(name, _)| name == "raftclusters/m")?;
            (cluster["metadata"]["finalizers"] == json!([])).then_some(())
        })
        .await;
}

#[tokio::test]
async fn everything_the_operator_does_is_permitted_and_nothing_else_is() {
    let server = ApiServer::new();
    let running = Running::start(&server);
    live(&server).await;
    let page = running.page();
    running.end().await;

    let made = server.calls();
    let permitted = permitted();
    let forbidden: Vec<&Call> = made.difference(&permitted).collect();
    assert!(forbidden.is_empty(), "not permitted, and done: {forbidden:#?}");
    let needed: BTreeSet<Call> = made.into_iter().chain(WITH_MEMBERS.iter().copied().map(call)).collect();
    let needless: Vec<&Call> = permitted.difference(&needed).collect();
    assert!(needless.is_empty(), "permitted, and never done: {needless:#?}");

    let counted =
        "quorate_operator_api_requests_total{group=\"quorate.io\",resource=\"raftclusters/status\",verb=\"update\"}";
    assert!(page.contains(counted), "{page}");
}
