//! What people look at: a real Prometheus scrapes a cluster, every query of the dashboard has an answer, no alert fires.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use tests::kind::Cluster;
use tests::kind::servers::Prometheus;
use tests::kube::operator::{CHANGED_WITHIN, CLUSTER};

/// Rates over a minute have a value after two scrapes; a new pod is scraped within seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Panels of what this cluster does not do: it installs no snapshot and has no store for backups.
const EMPTY: [&str; 2] = ["Snapshot under way", "Age of the newest backup"];
const PORT_METRICS: u16 = 2381;

#[test]
fn every_query_of_the_dashboard_has_an_answer_and_no_alert_fires() -> Result<()> {
    scenario("watched", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0, 1, 2], 27);
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let folder = tests::tree::root().join("deploy/monitoring");
        let dashboard = std::fs::read_to_string(folder.join("dashboards/replication.json"))?;
        let dashboard: Value = serde_json::from_str(&dashboard)?;
        let (namespace, selector) = (managed.space().name(), format!("quorate.io/cluster={CLUSTER}"));
        let rules = [folder.join("alerts.yaml")];
        let prometheus = Prometheus::start(&Cluster::current()?, namespace, &selector, PORT_METRICS, &rules)?;
        let mut asked = 0;
        for panel in dashboard["panels"].as_array().context("panels")? {
            let title = panel["title"].as_str().context("a title")?;
            if EMPTY.contains(&title) {
                continue;
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().context("a query")?.replace("$namespace", namespace);
                managed.space().wait(&format!("an answer to {query}, of {title}"), ANSWERED_WITHIN, || {
                    Ok((!prometheus.query(&query)?.is_empty()).then_some(()))
                })?;
                asked += 1;
            }
        }
        ensure!(asked >= 20, "only {asked} queries were found");
        if let Some(alert) = prometheus.query("ALERTS{alertstate=\"firing\"}")?.first() {
            bail!("an alert fires: {alert:?}");
        }
        load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        Ok(())
    })
}
