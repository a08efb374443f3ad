//! An operator for one namespace: a Role there is enough for all that it does, what it does is told in events, and the
//! clusters of other namespaces are none of its business.

use super::{MEMBER_GONE_WITHIN, operator};
use crate::stage;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::kube::operator::{AVAILABLE_WITHIN, CHANGED_WITHIN, CLUSTER, Managed, Operator};
use tests::kube::run;

/// Where it lives.
const NAMESPACE: &str = "quorate-single";
/// The namespace of its clusters.
const WATCHED: &str = "managed-single";

/// The shared operator away, and another one in its place; as it was when dropped.
struct Only<'a> {
    shared: &'a Operator,
    only: Operator,
}

impl<'a> Only<'a> {
    fn begin(shared: &'a Operator) -> Result<Self> {
        shared.scale(0)?;
        match shared.install_for(NAMESPACE, WATCHED) {
            Ok(only) => Ok(Self { shared, only }),
            Err(error) => {
                shared.scale(1)?;
                Err(error)
            }
        }
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.only.uninstall().and(self.shared.scale(1)) {
            eprintln!("the operator of one namespace is left: {error:#}");
        }
    }
}

#[test]
fn an_operator_of_one_namespace_has_every_permission_it_needs_there_and_none_elsewhere() -> Result<()> {
    let (shared, kube) = (operator()?, &stage()?.kube);
    let managed = Managed::make(kube, "single", 3)?;
    let elsewhere = Managed::make(kube, "elsewhere", 1)?;
    let only = Only::begin(shared)?;
    managed.space().witness("only.log", Box::new(|| Operator::log_of(NAMESPACE)));
    lead_through(&managed, &elsewhere, &only.only).map_err(|error| {
        let saved = managed.space().save_evidence(&format!("{error:#}"));
        error.context(format!("what was seen is in {saved}"))
    })
}

fn lead_through(managed: &Managed, elsewhere: &Managed, only: &Operator) -> Result<()> {
    elsewhere.write(&json!({}))?;
    // Everything that takes a permission: Secrets, a policy, volumes that go.
    let storage = json!({ "size": "100Mi", "onDelete": "Delete" });
    managed.write(&json!({ "tls": {}, "networkPolicy": { "enabled": true }, "storage": storage }))?;
    managed.wait_available(AVAILABLE_WITHIN)?;
    managed.wait_settled(CHANGED_WITHIN)?;
    managed.write(&json!({
        "replicas": 1, "tls": {}, "storage": { "size": "150Mi", "onDelete": "Delete" },
        "podDisruptionBudget": { "enabled": false },
    }))?;
    managed.wait_settled(CHANGED_WITHIN)?;
    told(managed)?;
    managed.delete(MEMBER_GONE_WITHIN, true)?;
    only.audit()?;
    nothing_elsewhere(elsewhere)
}

/// What was done is there for whoever looks.
fn told(managed: &Managed) -> Result<()> {
    let of_it = format!("--field-selector=involvedObject.kind=RaftCluster,involvedObject.name={CLUSTER}");
    let told = managed.space().kubectl(&["get", "events", &of_it, "--output=jsonpath={.items[*].reason}"])?;
    for reason in ["OperationBegun", "OperationDone", "Remove", "GrowVolume"] {
        ensure!(told.split(' ').any(|each| each == reason), "no event {reason}: {told}");
    }
    Ok(())
}

fn nothing_elsewhere(elsewhere: &Managed) -> Result<()> {
    let object = elsewhere.object()?;
    let touched = !object["status"].is_null() || !object["metadata"]["finalizers"].is_null();
    ensure!(!touched && elsewhere.pods()?.is_empty(), "a cluster of another namespace was touched: {object}");
    let account = format!("system:serviceaccount:{NAMESPACE}:quorate-operator");
    let may = |namespace: &str| {
        let (account, namespace) = (format!("--as={account}"), format!("--namespace={namespace}"));
        // It ends with an error when the answer is no.
        run("kubectl", &["auth", "can-i", "delete", "pods", &account, &namespace]).is_ok()
    };
    ensure!(may(WATCHED), "it may do nothing here");
    ensure!(!may(elsewhere.space().name()), "it may delete the pods of another namespace");
    elsewhere.space().kubectl(&["delete", "raftcluster", CLUSTER, "--timeout=30s"]).context("nothing holds it")?;
    Ok(())
}
