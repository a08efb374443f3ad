//! `helm test`: a pod that asks every member, at the names, ports and with the certificates that the operator gives them.

use super::{helm, of_kind, render};
use crate::children::{LABEL_ASKS, Names, PORT_ADMIN, network_policy};
use crate::crd::RaftCluster;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::path::Path;

/// The cluster of the chart, and its test if there is one.
fn rendered(helm: &Path, values: &[&str]) -> Result<(RaftCluster, Option<Pod>)> {
    let all = render(helm, "raft-cluster", values)?;
    let [cluster] = of_kind(&all, "RaftCluster")[..] else { anyhow::bail!("one cluster") };
    let mut cluster: RaftCluster = serde_json::from_value(cluster.clone())?;
    // Where the release goes.
    cluster.metadata.namespace = Some("ns".into());
    let pods = of_kind(&all, "Pod");
    ensure!(pods.len() <= 1, "{pods:?}");
    let pod = pods.first().map(|pod| serde_json::from_value((*pod).clone())).transpose()?;
    Ok((cluster, pod))
}

fn container(pod: &Pod) -> Result<&Container> {
    pod.spec.as_ref().and_then(|spec| spec.containers.first()).context("a container")
}

/// What stands behind a flag.
fn given<'a>(container: &'a Container, flag: &str) -> Option<&'a str> {
    let arguments = container.args.as_deref().unwrap_or_default();
    arguments.iter().find_map(|argument| argument.strip_prefix(flag)?.strip_prefix('='))
}

fn endpoints(cluster: &RaftCluster, scheme: &str) -> String {
    let names = Names::of(cluster);
    let all: Vec<String> =
        (0..cluster.spec.replicas).map(|at| format!("{scheme}://{}:{PORT_ADMIN}", names.host(at))).collect();
    all.join(",")
}

#[test]
fn every_member_is_asked_where_the_operator_puts_it() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for replicas in [1, 3, 5] {
        let (cluster, pod) = rendered(&helm, &[&format!("cluster.replicas={replicas}")])?;
        let pod = pod.context("a test")?;
        let annotations = pod.metadata.annotations.as_ref().context("annotations")?;
        ensure!(annotations.get("helm.sh/hook").is_some_and(|hook| hook == "test"), "{annotations:?}");
        let container = container(&pod)?;
        ensure!(container.args.as_ref().is_some_and(|all| all[0] == "status"));
        ensure!(given(container, "--endpoints") == Some(&endpoints(&cluster, "http")), "{:?}", container.args);
        ensure!(container.image.as_deref() == Some("quorate:0.1.0"), "{:?}", container.image);
        ensure!(given(container, "--cacert").is_none() && container.volume_mounts.is_none());
    }
    Ok(())
}

#[test]
fn with_tls_a_clients_certificate_is_shown() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    for (given_name, secret) in [(None, "release-client-tls"), (Some("mine"), "mine")] {
        let value = given_name
            .map_or_else(|| "cluster.tls={}".to_owned(), |name| format!("cluster.tls.client.secretName={name}"));
        let (cluster, pod) = rendered(&helm, &[&value])?;
        ensure!(given_name.is_some() || Names::of(&cluster).client_tls() == secret, "the operator's name for it");
        let pod = pod.context("a test")?;
        let container = container(&pod)?;
        ensure!(given(container, "--endpoints") == Some(&endpoints(&cluster, "https")), "{:?}", container.args);
        let mount = container.volume_mounts.as_ref().and_then(|all| all.first()).context("a mount")?;
        for (flag, file) in [("--cacert", "ca.crt"), ("--cert", "tls.crt"), ("--key", "tls.key")] {
            ensure!(given(container, flag) == Some(&format!("{}/{file}", mount.mount_path)), "{flag}");
        }
        let volume = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()?.first()).context("a volume")?;
        let source = volume.secret.as_ref().context("a Secret")?;
        ensure!(volume.name == mount.name && source.secret_name.as_deref() == Some(secret), "{source:?}");
        // The group may read it: who runs is not root.
        ensure!(source.default_mode == Some(0o440), "{source:?}");
    }
    Ok(())
}

#[test]
fn the_test_passes_the_restricted_profile_and_ends() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let (_, pod) = rendered(&helm, &["test.deadlineSeconds=7", "cluster.image.repository=own/quorate"])?;
    let pod = pod.context("a test")?;
    let container = container(&pod)?;
    ensure!(container.image.as_deref() == Some("own/quorate:0.1.0"), "{:?}", container.image);
    let own = container.security_context.as_ref().context("a security context")?;
    ensure!(own.allow_privilege_escalation == Some(false) && own.read_only_root_filesystem == Some(true));
    ensure!(own.capabilities.as_ref().and_then(|all| all.drop.as_deref()) == Some(&["ALL".to_owned()][..]));
    let spec = pod.spec.as_ref().context("a spec")?;
    ensure!(spec.automount_service_account_token == Some(false));
    ensure!(spec.active_deadline_seconds == Some(7) && spec.restart_policy.as_deref() == Some("OnFailure"));
    let all = spec.security_context.as_ref().context("a security context")?;
    ensure!(all.run_as_non_root == Some(true) && all.fs_group == all.run_as_user);
    ensure!(all.seccomp_profile.as_ref().is_some_and(|profile| profile.type_ == "RuntimeDefault"));
    Ok(())
}

/// Whether a policy lets a pod of the members' own namespace through to a port.
fn admits(policy: &NetworkPolicy, labels: &BTreeMap<String, String>, port: i32) -> bool {
    let rules = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
    let to_port = |rule: &&NetworkPolicyIngressRule| {
        rule.ports.iter().flatten().any(|open| open.port == Some(IntOrString::Int(port)))
    };
    let selected = |peer: &NetworkPolicyPeer| {
        let wanted = peer.pod_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        peer.namespace_selector.is_none()
            && wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    rules.filter(to_port).any(|rule| rule.from.as_ref().is_none_or(|from| from.iter().any(selected)))
}

#[test]
fn the_network_policy_lets_the_test_ask_and_nobody_without_its_label() -> Result<()> {
    let Some(helm) = helm() else { return Ok(()) };
    let (cluster, pod) = rendered(&helm, &["cluster.networkPolicy.enabled=true", "name=other"])?;
    let policy = network_policy(&cluster).context("it was asked for")?;
    let mut labels = pod.context("a test")?.metadata.labels.context("labels")?;
    ensure!(admits(&policy, &labels, PORT_ADMIN), "{labels:?}");
    let label = labels.remove(LABEL_ASKS);
    ensure!(label.as_deref() == Some("other") && !admits(&policy, &labels, PORT_ADMIN), "{labels:?}");
    Ok(())
}
