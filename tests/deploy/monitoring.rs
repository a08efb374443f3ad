//! Alert rules and dashboards: each alert has its section in the runbook and fires when it should and not before; each
//! dashboard can be imported anywhere. That members export what is named is looked at on members that run.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use tests::kind::servers::promtool;

fn folder() -> PathBuf {
    tests::tree::root().join("deploy/monitoring")
}

fn text(name: &str) -> Result<String> {
    let path = folder().join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn alerts() -> Result<Vec<Value>> {
    let rules: Value = serde_yaml::from_str(&text("alerts.yaml")?)?;
    let groups = rules["groups"].as_array().context("groups")?;
    Ok(groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten().cloned()).collect())
}

#[test]
fn each_alert_has_a_section_in_the_runbook_and_the_runbook_no_other() -> Result<()> {
    let runbook = text("RUNBOOK.md")?;
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut named = BTreeSet::new();
    for alert in &alerts()? {
        let name = alert["alert"].as_str().context("an alert has a name")?;
        let link = format!("deploy/monitoring/RUNBOOK.md#{}", name.to_lowercase());
        ensure!(alert["annotations"]["runbook"] == link, "{name}: {}", alert["annotations"]["runbook"]);
        ensure!(alert["annotations"]["summary"].is_string(), "{name} says nothing");
        ensure!(["warning", "critical"].iter().any(|level| alert["labels"]["severity"] == *level), "{name}");
        named.insert(name.to_owned());
    }
    ensure!(named.len() >= 10, "only {} alerts were found", named.len());
    ensure!(sections.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>() == named, "{sections:?}");
    Ok(())
}

#[test]
fn each_alert_is_tried_and_fires_when_it_should() -> Result<()> {
    let tried = text("alerts_test.yaml")?;
    for alert in &alerts()? {
        let name = alert["alert"].as_str().context("a name")?;
        ensure!(tried.contains(&format!("alertname: {name}\n")), "no test lets {name} fire");
    }
    let Ok(program) = promtool() else {
        println!("skipped: no promtool, and Debian's package cannot be had");
        return Ok(());
    };
    let tested = Command::new(program).args(["test", "rules", "alerts_test.yaml"]).current_dir(folder()).output()?;
    let said = String::from_utf8_lossy(&tested.stdout) + String::from_utf8_lossy(&tested.stderr);
    ensure!(tested.status.success(), "{said}");
    Ok(())
}

fn dashboards() -> Result<Vec<(String, Value)>> {
    let files = std::fs::read_dir(folder().join("dashboards"))?;
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file?.path();
        anyhow::Ok((path.display().to_string(), serde_json::from_str(&std::fs::read_to_string(&path)?)?))
    };
    files.map(read).collect()
}

#[test]
fn a_dashboard_finds_its_data_source_where_it_is_imported() -> Result<()> {
    let all = dashboards()?;
    ensure!(all.len() >= 2, "only {} dashboards were found", all.len());
    for (file, dashboard) in &all {
        ensure!(dashboard["uid"].is_string() && dashboard["title"].is_string(), "{file} has no name");
        ensure!(dashboard["id"].is_null(), "{file}: an id of one Grafana is another dashboard's in the next");
        let variables = dashboard["templating"]["list"].as_array().context("variables")?;
        ensure!(variables.iter().any(|it| it["type"] == "datasource" && it["name"] == "datasource"), "{file}");
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().context("panels")? {
            let title = panel["title"].as_str().context("a title")?;
            ensure!(ids.insert(panel["id"].as_u64().context("an id")?), "{file}: {title} has another's id");
            if panel["type"] == "row" {
                continue;
            }
            ensure!(panel["description"].is_string(), "{file}: {title} says nothing of itself");
            ensure!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{file}: {title} has no unit");
            for part in panel["targets"].as_array().context("queries")?.iter().chain([panel]) {
                ensure!(part["datasource"]["uid"] == "${datasource}", "{file}: {title} names a data source");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_named_of_the_operator_is_what_it_exports() -> Result<()> {
    let exported = std::fs::read_to_string(tests::tree::root().join("operator/src/metrics.rs"))?;
    let mut texts = vec![text("alerts.yaml")?];
    texts.extend(dashboards()?.iter().map(|(_, dashboard)| dashboard.to_string()));
    let named: BTreeSet<String> = texts.iter().flat_map(|text| tests::monitoring::metrics(text)).collect();
    let of_operator: Vec<_> = named.iter().filter(|name| name.starts_with("quorate_operator_")).collect();
    ensure!(of_operator.len() >= 3, "{of_operator:?}");
    for name in of_operator {
        ensure!(exported.contains(&format!("\"{name}\"")), "the operator does not export {name}");
    }
    Ok(())
}
