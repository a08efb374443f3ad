//! A cluster by its chart: `helm test` passes when it serves, and fails when it does not.

use super::operator;
use crate::stage;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use tests::kube::operator::{AVAILABLE_WITHIN, Operator, VERSION};
use tests::kube::{Space, run};

const RELEASE: &str = "charted";
/// Pods of a hibernated cluster end within their grace period.
const GONE_WITHIN: Duration = Duration::from_secs(90);

/// Installs the chart, or changes what is installed.
fn install(space: &Space, operator: &Operator, hibernated: bool, deadline: Duration) -> Result<()> {
    let values: Value = json!({
        "cluster": {
            "version": VERSION,
            "hibernated": hibernated,
            "image": { "repository": operator.member_image(), "pullPolicy": "Never" },
            "storage": { "size": "100Mi" },
            // It lets the test's own pod through.
            "networkPolicy": { "enabled": true },
        },
        "test": { "deadlineSeconds": deadline.as_secs() },
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string())?;
    let chart = tests::tree::root().join("charts/raft-cluster").display().to_string();
    let file = file.display().to_string();
    run("helm", &["upgrade", "--install", RELEASE, &chart, "--namespace", space.name(), "--values", &file]).map(drop)
}

fn test(space: &Space) -> Result<String> {
    run("helm", &["test", RELEASE, "--namespace", space.name(), "--timeout", "300s"])
}

#[test]
fn the_charts_own_test_passes_when_a_cluster_serves_and_fails_when_it_does_not() -> Result<()> {
    let operator = operator()?;
    let space = Space::make(&stage()?.kube, "managed-charted")?;
    space.witness("operator.log", Box::new(Operator::log));
    // At once: a cluster that is being formed is waited for.
    install(&space, operator, false, AVAILABLE_WITHIN)?;
    test(&space).context("a cluster that serves")?;

    install(&space, operator, true, Duration::from_secs(5))?;
    let members = || {
        let pods = space.pods()?;
        Ok(pods.into_iter().filter_map(|pod| pod.metadata.name).filter(|name| !name.ends_with("-test")).collect())
    };
    space.wait_for("no member", GONE_WITHIN, members, |members: &Vec<String>| members.is_empty())?;
    ensure!(test(&space).is_err(), "nobody answers, and the test passes");
    Ok(())
}
