//! What people look at: a real Prometheus scrapes a cluster and its operator, every query of the dashboards has an
//! answer, a fault can be seen, no alert fires; and a picture of each dashboard, for people to look at.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::kind::Cluster;
use tests::kind::servers::Prometheus;
use tests::kube::fault::pod;
use tests::kube::operator::{CHANGED_WITHIN, Managed, VERSION, pod_name, scraped};
use tests::monitoring::dashboard::{Dashboard, Panel};
use tests::monitoring::drawing::{Lines, draw, points_of};

/// Rates over a minute have a value after two scrapes; a new pod is scraped within seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Acknowledged before a fault and after it, so that each can be seen in the pictures.
const WRITES_BETWEEN: u64 = 500;
/// The dashboards, and their panels of what does not happen here: no snapshot is installed, there is no store for
/// backups, the operator fails at nothing, and every object reads.
const DASHBOARDS: [(&str, &[&str]); 2] = [
    ("replication", &["Snapshot under way", "Age of the newest backup"]),
    ("operator", &["Failed passes", "Clusters that do not read", "Refused calls of the Kubernetes API"]),
];
/// Between two points of a picture, in seconds.
const STEP: f64 = 1.0;

#[test]
fn every_query_of_the_dashboards_has_an_answer_and_no_alert_fires() -> Result<()> {
    scenario("watched", 3, &json!({}), |managed, operator| {
        managed.wait_settled(CHANGED_WITHIN)?;
        managed.space().apply(&sealed())?;
        let folder = tests::tree::root().join("deploy/monitoring");
        let pods = [scraped(managed.space().name()), operator.scraped()];
        let prometheus = Prometheus::start(&Cluster::current()?, &pods, &[folder.join("alerts.yaml")])?;
        let begun = now();
        let load = managed.load(&[0, 1, 2], 27);
        load.wait_acknowledged(WRITES_BETWEEN, WRITES_AGAIN_WITHIN)?;
        let follower = (managed.leader()? + 1) % 3;
        let lag = format!("max(max_over_time(quorate_follower_lag_entries{{name=\"{}\"}}[1m]))", pod_name(follower));
        pod::delete_now(managed.space(), &pod_name(follower))?;
        managed.space().wait("a lag that Prometheus has seen", ANSWERED_WITHIN, || {
            Ok(prometheus.query(&lag)?.first().is_some_and(|sample| sample.value >= 1.0).then_some(()))
        })?;
        pod::delete_now(managed.space(), &pod_name(managed.leader()?))?;
        load.wait_acknowledged(WRITES_BETWEEN, WRITES_AGAIN_WITHIN)?;
        for (name, empty) in DASHBOARDS {
            let dashboard = Dashboard::read(&folder.join(format!("dashboards/{name}.json")))?;
            wait_answered(managed, &prometheus, &dashboard, empty)?;
            let picture = picture(name)?;
            let panels = read(&prometheus, managed, &dashboard, begun, empty)?;
            draw(&picture, &dashboard, &panels, &(begun..now()))?;
            eprintln!("{}: {}", dashboard.title, picture.display());
        }
        if let Some(alert) = prometheus.query("ALERTS{alertstate=\"firing\"}")?.first() {
            bail!("an alert fires: {alert:?}");
        }
        managed.wait_settled(CHANGED_WITHIN)?;
        load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        Ok(())
    })
}

/// A cluster with certificates, which the operator's dashboard speaks of. Nobody waits for its member.
fn sealed() -> Value {
    let spec = json!({
        "replicas": 1, "version": VERSION, "image": { "pullPolicy": "Never" }, "storage": { "size": "100Mi" }, "tls": {},
    });
    let metadata = json!({ "name": "sealed" });
    json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": metadata, "spec": spec })
}

/// Waits until every query has an answer, of panels that are not `empty` here.
fn wait_answered(managed: &Managed, prometheus: &Prometheus, dashboard: &Dashboard, empty: &[&str]) -> Result<()> {
    let full = |panel: &&Panel| !empty.contains(&panel.title.as_str());
    for panel in dashboard.panels.iter().filter(full) {
        for query in &panel.queries {
            let query = query.of(managed.space().name());
            let what = format!("an answer to {query}, of {}", panel.title);
            managed
                .space()
                .wait(&what, ANSWERED_WITHIN, || Ok((!prometheus.query(&query)?.is_empty()).then_some(())))?;
        }
    }
    Ok(())
}

/// What each panel shows since a moment. One that is `empty` here may show nothing.
fn read(
    prometheus: &Prometheus,
    managed: &Managed,
    dashboard: &Dashboard,
    begun: f64,
    empty: &[&str],
) -> Result<Vec<Lines>> {
    let lines = |panel: &Panel| -> Result<Lines> {
        let mut lines = Lines::new();
        for query in &panel.queries {
            let found = prometheus.range(&query.of(managed.space().name()), (begun, now()), STEP)?;
            lines.extend(found.into_iter().map(|series| (query.name(&series.labels), series)));
        }
        let bare = panel.queries.is_empty() || empty.contains(&panel.title.as_str());
        ensure!(bare || points_of(&lines) >= 2, "{} has nothing to draw: {lines:?}", panel.title);
        Ok(lines)
    };
    dashboard.panels.iter().map(lines).collect()
}

fn picture(name: &str) -> Result<PathBuf> {
    let folder: &Path = &tests::tree::target().join("dashboards");
    std::fs::create_dir_all(folder)?;
    Ok(folder.join(format!("{name}.svg")))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
