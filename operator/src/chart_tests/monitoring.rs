//! What the charts make for Prometheus and Grafana: nothing unless asked for, and then what lies in `deploy/monitoring`.

use super::{chart, helm, of_kind, render, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a cluster without anything installed knows, and our own group.
const OWN_GROUPS: &[&str] = &["v1", "apps", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "quorate.io"];

fn source() -> PathBuf {
    root().join("deploy/monitoring")
}

fn copy() -> PathBuf {
    chart("quorate-operator").join("files/monitoring")
}

fn dashboards(folder: &Path) -> Result<BTreeSet<String>> {
    let files = fs::read_dir(folder.join("dashboards")).with_context(|| folder.display().to_string())?;
    files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
}

fn group(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or(version, |(group, _)| group)
}

/// A chart reads only files of its own folder: there has to be a copy. `BLESS=1` makes it anew.
#[test]
fn the_charts_copy_is_what_lies_in_deploy() -> Result<()> {
    let names = dashboards(&source())?;
    ensure!(names.len() >= 2, "only {names:?}");
    let mut files: Vec<String> = names.iter().map(|name| format!("dashboards/{name}")).collect();
    files.push("alerts.yaml".to_owned());
    for file in files {
        let wanted = fs::read_to_string(source().join(&file))?;
        if std::env::var_os("BLESS").is_some() {
            fs::write(copy().join(&file), &wanted)?;
        }
        let there = fs::read_to_string(copy().join(&file)).unwrap_or_default();
        ensure!(there == wanted, "{} is not deploy/monitoring/{file}: copy it", copy().join(&file).display());
    }
    ensure!(dashboards(&copy())? == names, "dashboards of the chart that deploy/monitoring does not have");
    Ok(())
}

#[test]
fn nothing_foreign_is_made_unless_it_is_asked_for() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for name in ["quorate-operator", "raft-cluster"] {
        let all = render(&helm, name, &[])?;
        ensure!(!all.is_empty(), "{name} renders nothing");
        for object in &all {
            ensure!(OWN_GROUPS.contains(&group(object)), "{name} makes {} of {}", object["kind"], object["apiVersion"]);
        }
        ensure!(of_kind(&all, "ConfigMap").is_empty(), "{name} makes dashboards");
    }
    Ok(())
}

#[test]
fn the_rule_holds_the_alerts_of_deploy() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let values = ["monitoring.rules.enabled=true", "monitoring.rules.labels.release=prometheus"];
    let all = render(&helm, "quorate-operator", &values)?;
    let [rule] = of_kind(&all, "PrometheusRule")[..] else { anyhow::bail!("one rule") };
    let wanted: Value = serde_saphyr::from_str(&fs::read_to_string(source().join("alerts.yaml"))?)?;
    ensure!(rule["spec"] == wanted, "{}", rule["spec"]);
    ensure!(rule["metadata"]["labels"]["release"] == "prometheus", "Prometheus finds it by its label");
    Ok(())
}

#[test]
fn the_dashboards_are_those_of_deploy() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let values = ["monitoring.dashboards.enabled=true", "monitoring.dashboards.annotations.grafana_folder=Quorate"];
    let all = render(&helm, "quorate-operator", &values)?;
    let [map] = of_kind(&all, "ConfigMap")[..] else { anyhow::bail!("one config map") };
    ensure!(map["metadata"]["labels"]["grafana_dashboard"] == "1", "the sidecar finds it by its label");
    ensure!(map["metadata"]["annotations"]["grafana_folder"] == "Quorate");
    let data = map["data"].as_object().context("data")?;
    let names = dashboards(&source())?;
    ensure!(data.len() == names.len(), "{:?}", data.keys());
    for name in names {
        let made = data.get(&format!("quorate-{name}")).and_then(Value::as_str).context(name.clone())?;
        ensure!(made == fs::read_to_string(source().join("dashboards").join(&name))?, "{name} is another one");
    }
    Ok(())
}

#[test]
fn pods_are_monitored_by_a_port_that_they_have() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let asked = ["monitoring.podMonitor.enabled=true"];
    let operator = render(&helm, "quorate-operator", &asked)?;
    let [monitor] = of_kind(&operator, "PodMonitor")[..] else { anyhow::bail!("one for the operator") };
    let [deployment] = of_kind(&operator, "Deployment")[..] else { anyhow::bail!("one deployment") };
    let selects = monitor["spec"]["selector"]["matchLabels"].as_object().context("labels")?;
    let pod = &deployment["spec"]["template"];
    ensure!(selects.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value), "{selects:?}");
    ensure!(pod["spec"]["containers"][0]["ports"][0]["name"] == monitor["spec"]["podMetricsEndpoints"][0]["port"]);

    let members = render(&helm, "raft-cluster", &asked)?;
    let [monitor] = of_kind(&members, "PodMonitor")[..] else { anyhow::bail!("one for the members") };
    let selects = &monitor["spec"]["selector"]["matchLabels"];
    ensure!(*selects == serde_json::to_value(crate::children::selector("release"))?, "{selects}");
    Ok(())
}
