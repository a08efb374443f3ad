//! A majority is lost with its volumes: nothing is touched until somebody asks, and then one member becomes the cluster.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};
use tests::client::Client;
use tests::kube::operator::{CHANGED_WITHIN, Managed, claim_name, pod_name};

/// The operator calls a quorum lost when nobody has led for half a minute.
const SAID_WITHIN: Duration = Duration::from_secs(90);
/// So long nothing may happen before anybody asks: many looks of the operator.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(60);
/// From the request to a member that serves alone: it is listened for a leader, a process ends and starts.
const SERVES_AGAIN_WITHIN: Duration = Duration::from_secs(90);
/// A word that was carried out is looked at again in each of the operator's looks.
const STAYS_DONE_FOR: Duration = Duration::from_secs(40);

/// The fields of a spec that ask for a recovery.
fn asking(word: &str) -> Value {
    json!({ "quorumRecovery": { "request": word, "acceptDataLoss": true } })
}

fn status(managed: &Managed) -> Result<Value> {
    Ok(managed.object()?["status"].clone())
}

/// What a member holds, without asking any other.
fn held(managed: &Managed, at: usize, revision: i64) -> Result<(i64, u32)> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let dials = managed.dials(&[at]);
        let mut client = Client::dial(dials.first().context("a member")?)?;
        let header = client.everything(0, true).await?.header.context("a header")?;
        Ok((header.revision, client.hash_kv(revision).await?))
    })
}

/// Pods and claims, each by its identity.
type Objects = (BTreeMap<String, String>, BTreeMap<String, String>);

fn objects(managed: &Managed) -> Result<Objects> {
    Ok((managed.pods()?, managed.claims()?))
}

/// Two of three members go with all they have, at once; the set makes their pods anew.
fn lose(managed: &Managed, lost: [usize; 2]) -> Result<()> {
    let before = managed.pods()?;
    let [claims, pods] = [claim_name, pod_name].map(|name| lost.map(name));
    let delete = |kind: &str, names: &[String; 2], more: &[&str]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        managed.space().kubectl(&[&["delete", kind, "--wait=false"], more, &names].concat())
    };
    delete("persistentvolumeclaim", &claims, &[])?;
    delete("pod", &pods, &["--grace-period=1"])?;
    managed.space().wait("other pods in their places", SAID_WITHIN, || {
        let now = managed.pods()?;
        let is_new = |pod: &String| now.get(pod).is_some_and(|uid| before.get(pod) != Some(uid));
        Ok(pods.iter().all(is_new).then_some(()))
    })
}

#[test]
fn a_lost_quorum_is_left_alone_until_somebody_asks_and_then_one_member_becomes_the_cluster() -> Result<()> {
    scenario("quorum-lost", 3, &json!({}), |managed, _| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0, 1, 2], 14);
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;

        // While all is well a word comes to nothing, and it is said so.
        managed.write(&asking("early"))?;
        managed.space().wait("a refusal", SAID_WITHIN, || {
            let refused = &status(managed)?["refusedRecovery"];
            Ok((refused["request"] == "early" && refused["reason"] == "QuorumNotLost").then_some(()))
        })?;
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;

        // Whoever leads has every write that was acknowledged: what is left then is judged whole.
        let survivor = managed.leader()?;
        let former = status(managed)?["clusterID"].clone();
        let [one, other] = [(survivor + 1) % 3, (survivor + 2) % 3];
        lose(managed, [one, other])?;
        managed.space().wait("the loss in the status", SAID_WITHIN, || {
            Ok((status(managed)?["phase"] == "QuorumLost").then_some(()))
        })?;

        let (before, log) = (objects(managed)?, held(managed, survivor, 0)?);
        let watched = Instant::now();
        while watched.elapsed() < LEFT_ALONE_FOR {
            ensure!(objects(managed)? == before, "{before:?} became {:?}", objects(managed)?);
            ensure!(status(managed)?["quorumRecovery"].is_null(), "a word of before has come back");
            thread::sleep(Duration::from_secs(1));
        }

        managed.write(&asking("monday"))?;
        let asked = Instant::now();
        managed.space().wait("a member that serves alone", SERVES_AGAIN_WITHIN, || {
            let recovery = &status(managed)?["quorumRecovery"];
            ensure!(recovery["request"] == "monday" && recovery["survivor"] == pod_name(survivor), "{recovery}");
            ensure!(recovery["oldClusterId"] == former, "{recovery}");
            Ok((recovery["phase"] != "Asked").then_some(()))
        })?;
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        let served = asked.elapsed();
        let (revision, hash) = held(managed, survivor, log.0)?;
        ensure!(revision >= log.0 && hash == log.1, "{log:?} became {revision} with {hash} there");

        let whole = managed.wait_settled(CHANGED_WITHIN)?;
        eprintln!("serves again after {served:?}, three voters {:?} after somebody asked", asked.elapsed());
        let recovery = &whole["status"]["quorumRecovery"];
        ensure!(recovery["phase"] == "Done" && recovery["newClusterId"] == whole["status"]["clusterID"], "{recovery}");
        ensure!(whole["status"]["clusterID"] != former, "it is another cluster");
        let after = objects(managed)?;
        let same = |at: usize| after.1.get(&claim_name(at)) == before.1.get(&claim_name(at));
        ensure!(same(survivor), "the survivor's claim was touched");
        ensure!(after.0[&pod_name(survivor)] == before.0[&pod_name(survivor)], "its pod was touched");
        load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        eprintln!("{} writes acknowledged, none lost", report.acknowledged);

        // The word is still there, and has been carried out.
        let ids = managed.ids(survivor)?;
        thread::sleep(STAYS_DONE_FOR);
        ensure!(managed.ids(survivor)? == ids && status(managed)?["clusterID"] == whole["status"]["clusterID"]);
        Ok(())
    })
}
