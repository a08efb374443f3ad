//! A stored cluster that the operator's types do not know: it is told by its field, and every other cluster goes on.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::kube::operator::{CHANGED_WITHIN, VERSION};
use tests::kube::{Space, run};

const DEFINITION: &str = "raftclusters.quorate.io";
const STRANGE: &str = "strange";
/// Where the definition says what a spec is.
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// The definition without a word on what a spec holds, as somebody's hand may leave it; as it was when dropped.
struct Loosened(Value);

impl Loosened {
    fn begin() -> Result<Self> {
        let definition: Value = serde_json::from_str(&run("kubectl", &["get", "crd", DEFINITION, "-o", "json"])?)?;
        let before = definition.pointer(SPEC).context("a schema of specs")?.clone();
        replace(&json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }))?;
        Ok(Self(before))
    }
}

impl Drop for Loosened {
    fn drop(&mut self) {
        if let Err(error) = replace(&self.0) {
            eprintln!("the definition stays loosened: {error:#}");
        }
    }
}

fn replace(schema: &Value) -> Result<()> {
    let patch = json!([{ "op": "replace", "path": SPEC, "value": schema }]).to_string();
    run("kubectl", &["patch", "crd", DEFINITION, "--type=json", "--patch", &patch]).map(drop)
}

fn unreadable(space: &Space) -> Result<String> {
    let about = format!("--field-selector=reason=Unreadable,involvedObject.name={STRANGE}");
    space.kubectl(&["get", "events", &about, "--output=jsonpath={.items[*].message}"])
}

#[test]
fn a_stored_cluster_that_does_not_read_is_told_and_every_other_goes_on() -> Result<()> {
    scenario("unreadable", 3, &json!({ "replicas": 1 }), |managed, operator| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let (space, loosened) = (managed.space(), Loosened::begin()?);
        let strange = json!({
            "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "name": STRANGE },
            "spec": { "version": VERSION, "storage": { "onDelete": "Shred" } },
        });
        // The API server takes a moment to know the definition anew.
        space.wait("an object of another form stored", WRITES_AGAIN_WITHIN, || space.apply(&strange).map(Some))?;
        let names = |said: &String| said.contains("spec.storage.onDelete");
        space.wait_for("an event that names the field", WRITES_AGAIN_WITHIN, || unreadable(space), names)?;

        // Another operator finds it in its first list.
        operator.kill()?;
        managed.write(&json!({ "replicas": 3 }))?;
        let settled = managed.wait_settled(CHANGED_WITHIN)?;
        ensure!(settled["status"]["voters"] == 3, "{}", settled["status"]);
        let pods = space.pods()?;
        ensure!(pods.len() == 3, "{} pods: something was made for what does not read", pods.len());

        // Nothing holds it: nobody took care of it.
        space.kubectl(&["delete", "raftcluster", STRANGE, "--timeout=30s"])?;
        drop(loosened);
        Ok(())
    })
}
