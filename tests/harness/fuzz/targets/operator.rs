//! A cluster as the Kubernetes API holds it: what the operator makes of it, up to its next step and its objects.

use super::again;
use crate::fuzz::{Target, Verdict};
use plan::{
    Follower, Member, MemberId, Membership, Memory, Observed, Ordinal, Pod, PodState, Set, Shown, Time, Uid, Volume,
    plan,
};
use quorate_operator::children::{
    Template, client_service, config_map, disruption_budget, network_policy, object_store_secrets, peer_service,
    stateful_set,
};
use quorate_operator::crd::{RaftCluster, RaftClusterStatus};
use quorate_operator::stored::read;
use quorate_operator::wanted::{memory, remember, wanted};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const TARGETS: &[Target] = &[Target::new("raft-cluster", samples, decode).slow()];

fn samples() -> Vec<Vec<u8>> {
    let short = r#"{"apiVersion":"quorate.io/v1alpha1","kind":"RaftCluster","metadata":{"name":"m","namespace":"ns","uid":"6f1c"},"spec":{"version":"0.4.2","replicas":3}}"#;
    let spec = r#"{"version":"0.4.2","replicas":5,"allowEvenReplicas":false,"image":{"repository":"registry/quorate","pullSecrets":["pull"]},"config":{"heartbeatInterval":"50ms","electionTimeout":"500ms","quota":"8Gi","extra":{"max-txn-ops":"256"}},"storage":{"size":"20Gi","storageClassName":"fast"},"objectStore":{"s3":{"bucket":"backups","prefix":"prod/m","credentialsSecretRef":{"name":"keys"}},"encryption":{"keySecretRef":{"name":"backup-key"}}},"scheduling":{"antiAffinity":"Required","nodeSelector":{"disk":"ssd"}},"tls":{"client":{"secretName":"given"},"peer":{"selfSigned":{}}},"quorumRecovery":{"request":"monday","acceptDataLoss":true,"survivor":"m-2"},"progressDeadline":"1h30m","networkPolicy":{"enabled":true}}"#;
    let join = r#"{"type":"ReplaceMember","ordinal":2,"why":"Away","member":"f5","oldMember":"3","wipeVolume":"volume-2","startedAt":"2026-01-01T00:00:00Z"}"#;
    let shrink = r#"{"type":"ScaleIn","ordinal":4,"startedAt":"2026-01-01T00:00:00Z"}"#;
    let with_status = |operation: &str, more: &str| {
        format!(
            r#"{{"apiVersion":"quorate.io/v1alpha1","kind":"RaftCluster","metadata":{{"name":"m","namespace":"ns","uid":"6f1c"}},"spec":{spec},"status":{{"clusterID":"c","latched":{{"replicas":5,"places":5,"hibernated":false,"quorumLost":true}},"operation":{operation}{more}}}}}"#
        )
    };
    let recovery = r#","quorumRecovery":{"request":"sunday","phase":"Asked","survivor":"m-2","survivorId":"3","oldClusterId":"c","startedAt":"2026-01-01T00:00:00Z","message":""}"#;
    [short.to_owned(), with_status(join, ""), with_status(shrink, recovery)].map(String::into_bytes).to_vec()
}

fn decode(bytes: &[u8]) -> Verdict {
    let Ok(object) = serde_json::from_slice(bytes) else { return Verdict::Refused };
    let Ok(cluster) = read(object) else { return Verdict::Refused };
    let Ok(wanted) = wanted(&cluster) else { return Verdict::Refused };
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let remembered = memory(cluster.status.as_ref());
    comes_back(&name, &remembered);
    for seen in looks() {
        let planned = plan(&wanted, &remembered, &seen);
        comes_back(&name, &planned.memory);
        render(&cluster, &planned.memory);
    }
    Verdict::Accepted
}

/// What is written down is remembered.
fn comes_back(name: &str, remembered: &Memory) {
    let mut status = RaftClusterStatus::default();
    remember(name, remembered, &mut status);
    let written = serde_json::to_vec(&status).expect("it serializes");
    let read: RaftClusterStatus = serde_json::from_slice(&written).expect("it reads");
    again(remembered, Ok::<_, ()>(memory(Some(&read))));
}

/// The objects that are made of it.
fn render(cluster: &RaftCluster, memory: &Memory) {
    let template = Template::of(cluster, "quorate");
    let data = config_map(cluster, memory).data.expect("it lists the members");
    assert!(data.values().all(|value| value.len() < 1 << 20), "an object has a megabyte at most");
    let _built = (peer_service(cluster), client_service(cluster), stateful_set(cluster, &template));
    let _built = (disruption_budget(cluster, memory.places), network_policy(cluster), object_store_secrets(cluster));
}

/// A cluster of three that is well, the same without a leader for long, and one that is not there yet.
fn looks() -> [Observed; 3] {
    let nothing = Observed {
        now: Time(1_800_000_000_000),
        fresh: MemberId(0xf6),
        set: None,
        pods: BTreeMap::new(),
        volumes: BTreeMap::new(),
        membership: None,
        leaderless_since: None,
        reports: BTreeMap::new(),
        drifted: false,
        growth_refused: false,
    };
    let uid = |what: &str, ordinal: Ordinal| Uid(format!("{what}-{ordinal}"));
    let pod = |ordinal| Pod {
        uid: uid("pod", ordinal),
        revision: "r1".into(),
        state: PodState::Running,
        terminating: false,
        unready_since: None,
        restarts: 0,
        last_exit: None,
    };
    let volume =
        |ordinal| Volume { uid: uid("volume", ordinal), requested_bytes: 20 << 30, lost: false, terminating: false };
    let set = Set {
        uid: uid("set", 0),
        replicas: 3,
        revision: Some("r1".into()),
        storage_bytes: 20 << 30,
        terminating: false,
    };
    let shown = |ordinal| Shown {
        member: MemberId(u64::from(ordinal) + 1),
        corrupt: false,
        cluster: 0xc,
        last: (3, 40),
        knows_leader: false,
        made_of: None,
    };
    let follower = Follower {
        lag_entries: 0,
        lag: Duration::ZERO,
        silent_for: Some(Duration::ZERO),
        streaming: true,
        caught_up_for: Some(Duration::from_secs(3600)),
    };
    let member = |ordinal: Ordinal| {
        let follower = (ordinal > 0).then(|| follower.clone());
        (MemberId(u64::from(ordinal) + 1), Member { ordinal: Some(ordinal), voter: true, follower })
    };
    let lost = Observed {
        set: Some(set),
        pods: (0..3).map(|ordinal| (ordinal, pod(ordinal))).collect(),
        volumes: (0..3).map(|ordinal| (ordinal, volume(ordinal))).collect(),
        leaderless_since: Some(Time(0)),
        reports: (0..3).map(|ordinal| (ordinal, shown(ordinal))).collect(),
        ..nothing.clone()
    };
    let members = (0..3).map(member).collect();
    let membership = Membership { cluster: 0xc, config_index: 7, settled: true, leader: MemberId(1), members };
    let well = Observed { membership: Some(membership), leaderless_since: None, ..lost.clone() };
    [well, lost, nothing]
}
