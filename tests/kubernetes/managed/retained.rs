//! Volumes that are kept: what lies on one never comes back as the member that was removed; and what becomes of
//! volumes when their cluster is deleted is as it was asked for.

use super::{MEMBER_GONE_WITHIN, scenario};
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::kube::operator::{CHANGED_WITHIN, Managed, claim_name};

fn asked(managed: &Managed, replicas: usize, on_delete: &str) -> Result<Value> {
    let storage = json!({ "size": "100Mi", "onScaleIn": "Retain", "onDelete": on_delete });
    managed.write(&json!({ "replicas": replicas, "storage": storage }))?;
    managed.wait_settled(CHANGED_WITHIN).with_context(|| format!("{replicas} members"))
}

#[test]
fn a_kept_volume_never_rejoins_and_goes_with_its_cluster_when_that_is_asked_for() -> Result<()> {
    let storage = json!({ "size": "100Mi", "onScaleIn": "Retain" });
    scenario("retained", 3, &json!({ "storage": storage }), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0], 3);
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        let (ids, claims) = (managed.ids(0)?, managed.claims()?);
        asked(managed, 1, "Retain")?;
        ensure!(managed.claims()? == claims, "{claims:?} became {:?}", managed.claims()?);
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;

        asked(managed, 3, "Delete")?;
        let now = managed.ids(0)?;
        let old = now.iter().filter(|id| ids.contains(id)).count();
        ensure!(now.len() == 3 && old == 1, "{ids:?} became {now:?}: a removed member is back");
        let kept = managed.claims()?;
        ensure!(kept.len() == 3, "{kept:?}");
        for at in [1, 2] {
            let name = claim_name(at);
            ensure!(kept[&name] != claims[&name], "{name} holds what a removed member wrote");
        }
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;

        let took = managed.delete(MEMBER_GONE_WITHIN, true)?;
        eprintln!("deleted with its volumes: no pod after {took:?}");
        Ok(())
    })
}
