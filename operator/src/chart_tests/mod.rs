//! The charts: rendered by helm, if there is one; and what can be held against the operator without it.

mod monitoring;
mod served;

use crate::crd::RaftCluster;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart(name: &str) -> PathBuf {
    root().join("charts").join(name)
}

/// Where the tests on a cluster keep what they build.
fn cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    Some(base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?.join("quorate"))
}

/// `helm` of the path, or the one that the tests on a cluster have built. Without any, a line says so.
fn helm() -> Option<PathBuf> {
    let built = cache().and_then(|cache| {
        let folders = std::fs::read_dir(cache).ok()?.filter_map(Result::ok).map(|entry| entry.path().join("helm"));
        folders.into_iter().find(|path| path.is_file())
    });
    let found = Command::new("helm").arg("version").output().is_ok();
    let helm = if found { Some(PathBuf::from("helm")) } else { built };
    if helm.is_none() {
        eprintln!("skipped: there is no helm; the tests on a cluster build one");
    }
    helm
}

/// What helm makes of a chart with these values.
fn render(helm: &Path, name: &str, values: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(helm);
    // A helm that was built as a module takes a cluster of 1.20 for granted, which the charts refuse.
    command.args(["template", "release", "--namespace", "ns", "--kube-version", "1.33"]).arg(chart(name));
    for value in values {
        let how = if value.contains("={") { "--set-json" } else { "--set" };
        command.args([how, value]);
    }
    let output = command.output().context("run helm")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let parts = text
        .split("\n---\n")
        .filter(|part| part.contains("kind:"))
        .map(|part| serde_saphyr::from_str::<Value>(part.trim_start_matches("---\n")));
    Ok(parts.collect::<Result<_, _>>()?)
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|value| value["kind"] == kind).collect()
}

#[test]
fn both_charts_pass_helms_own_check() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for name in ["quorate-operator", "raft-cluster"] {
        let output = Command::new(&helm).args(["lint", "--strict"]).arg(chart(name)).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

#[test]
fn the_definition_is_installed_and_kept() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let all = render(&helm, "quorate-operator", &[])?;
    let crds = of_kind(&all, "CustomResourceDefinition");
    ensure!(crds.len() == 1, "{} definitions", crds.len());
    ensure!(crds[0]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep");
    ensure!(of_kind(&all, "ClusterRole").len() == 1 && of_kind(&all, "Deployment").len() == 1);
    let without = render(&helm, "quorate-operator", &["crds.enabled=false"])?;
    ensure!(of_kind(&without, "CustomResourceDefinition").is_empty());
    Ok(())
}

#[test]
fn one_namespace_makes_do_without_a_cluster_role() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let all = render(&helm, "quorate-operator", &["watchNamespace=store"])?;
    ensure!(of_kind(&all, "ClusterRole").is_empty());
    ensure!(of_kind(&all, "Role").iter().any(|role| role["metadata"]["namespace"] == "store"));
    Ok(())
}

#[test]
fn traces_go_where_they_are_asked_to_and_nowhere_else() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let endpoint = |values: &[&str]| -> Result<Option<String>> {
        let all = render(&helm, "quorate-operator", values)?;
        let [deployment] = of_kind(&all, "Deployment")[..] else { anyhow::bail!("one deployment") };
        let variables = deployment.pointer("/spec/template/spec/containers/0/env").context("an environment")?;
        let given = variables.as_array().into_iter().flatten().find(|variable| variable["name"] == "OTLP_ENDPOINT");
        Ok(given.and_then(|variable| variable["value"].as_str()).map(str::to_owned))
    };
    ensure!(endpoint(&[])?.is_none(), "nobody asked for traces");
    let given = endpoint(&["otlp.endpoint=http://otel.tracing.svc:4317"])?.context("an endpoint")?;
    ensure!(crate::telemetry::endpoint(&given) == Ok("otel.tracing.svc:4317".to_owned()), "{given}");
    ensure!(endpoint(&["otlp.endpoint=otel:4317"]).is_err(), "the operator would refuse it");
    Ok(())
}

#[test]
fn values_that_no_chart_has_are_refused() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for name in ["quorate-operator", "raft-cluster"] {
        let refused = render(&helm, name, &["replicaCuont=2"]).expect_err("it is misspelt").to_string();
        ensure!(refused.contains("replicaCuont"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_cluster_of_the_chart_says_its_version() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let all = render(&helm, "raft-cluster", &["cluster.replicas=5"])?;
    let [cluster] = of_kind(&all, "RaftCluster")[..] else { anyhow::bail!("one cluster") };
    let read: RaftCluster = serde_json::from_value(cluster.clone())?;
    ensure!(read.spec.replicas == 5 && read.spec.version == "0.1.0", "{cluster}");
    Ok(())
}

#[test]
fn an_object_store_of_the_values_is_one_of_the_definition_and_a_misspelt_one_is_refused() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let s3 = "cluster.objectStore.s3={\"bucket\":\"backups\",\"credentialsSecretRef\":{\"name\":\"keys\"}}";
    let keys = "cluster.objectStore.encryption={\"keySecretRef\":{\"name\":\"backup-key\"}}";
    let all = render(&helm, "raft-cluster", &[s3, keys])?;
    let [cluster] = of_kind(&all, "RaftCluster")[..] else { anyhow::bail!("one cluster") };
    let read: RaftCluster = serde_json::from_value(cluster.clone())?;
    let store = read.spec.object_store.context("a store")?;
    let named = store.s3.credentials_secret_ref.context("a reference")?;
    ensure!((named.name.as_str(), named.access_key_id_key.as_str()) == ("keys", "ACCESS_KEY_ID"), "{named:?}");
    let named = store.encryption.context("encryption")?.key_secret_ref;
    ensure!((named.name.as_str(), named.key.as_str()) == ("backup-key", "backup.key"), "{named:?}");
    for (right, wrong) in [("credentialsSecretRef", "credentialsSecretName"), ("keySecretRef", "keySecretName")] {
        let misspelt = [s3, keys].map(|value| value.replace(right, wrong));
        let misspelt = render(&helm, "raft-cluster", &misspelt.each_ref().map(String::as_str));
        let refused = misspelt.expect_err("it is misspelt").to_string();
        ensure!(refused.contains(wrong), "{refused}");
    }
    Ok(())
}

/// The least it can do with: no verb or kind by a star, nothing that runs commands in pods, no list of Secrets.
#[test]
fn the_operator_may_do_what_it_does_and_no_more() -> Result<()> {
    let text = std::fs::read_to_string(chart("quorate-operator").join("files/rules.yaml"))?;
    let rules: Value = serde_saphyr::from_str(&text)?;
    let rules = rules["rules"].as_array().context("rules")?;
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for rule in rules {
        for field in ["apiGroups", "resources", "verbs"] {
            ensure!(!words(rule, field).contains(&"*".to_owned()), "{rule}");
        }
        let secrets = words(rule, "resources").contains(&"secrets".to_owned());
        let lists = words(rule, "verbs").iter().any(|verb| ["list", "watch", "delete"].contains(&verb.as_str()));
        ensure!(!(secrets && lists), "Secrets are read by name: {rule}");
        ensure!(!words(rule, "resources").iter().any(|resource| resource.contains("exec")), "{rule}");
    }
    Ok(())
}

#[test]
fn the_charts_speak_of_this_version() -> Result<()> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).context("a version")?;
    for name in ["quorate-operator", "raft-cluster"] {
        let chart: Value = serde_saphyr::from_str(&std::fs::read_to_string(chart(name).join("Chart.yaml"))?)?;
        ensure!(format!("{:?}", chart["appVersion"].as_str().unwrap_or_default()) == version, "{name}");
    }
    Ok(())
}
