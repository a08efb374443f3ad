//! A cluster forms out of nothing but `kubectl apply`, and serves whoever finds its Service.

use crate::{load, scenario};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tests::kube::quorate::{MEMBERS, pod_name};
use tests::kube::{Quorate, Space};
use tests::release::Image;

/// An image that is there, a name to look up, one request.
const CLIENT_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_cluster_forms_and_serves_whoever_finds_its_service_and_has_a_certificate() -> Result<()> {
    scenario("forms", |quorate| {
        forms(quorate)?;
        serves_whoever_finds_its_service(quorate)?;
        serves_nobody_without_certificates(quorate)
    })
}

fn forms(quorate: &Quorate) -> Result<()> {
    let leader = quorate.wait_caught_up(0)?;
    let term = quorate.status(leader)?.term;
    ensure!(term <= 2, "term {term}: it took more than one election to form");
    spread_over_nodes(quorate)?;
    let claims: Api<PersistentVolumeClaim> = quorate.space().api();
    let claims = quorate.space().kube().call("list claims", claims.list(&ListParams::default()))?.items;
    ensure!(claims.len() == MEMBERS, "{} claims", claims.len());
    Ok(())
}

fn serves_whoever_finds_its_service(quorate: &Quorate) -> Result<()> {
    let client = load(&Image::client()?)?;
    let endpoint = format!("https://quorate.{}.svc:2379", quorate.space().name());
    etcdctl(quorate.space(), &client, "writer", &["--endpoints", &endpoint, "put", "greeting", "hello"])?;
    let read = etcdctl(quorate.space(), &client, "reader", &["--endpoints", &endpoint, "get", "greeting"])?;
    ensure!(read == "greeting\nhello\n", "{read:?}");
    Ok(())
}

fn spread_over_nodes(quorate: &Quorate) -> Result<()> {
    let nodes = (0..MEMBERS).map(|ordinal| quorate.node(ordinal)).collect::<Result<BTreeSet<_>>>()?;
    ensure!(nodes.len() == MEMBERS, "members share nodes: {nodes:?}");
    Ok(())
}

/// Runs a client in the cluster, in a pod of its own that passes the `restricted` profile too; what it printed.
fn etcdctl(space: &Space, image: &str, name: &str, arguments: &[&str]) -> Result<String> {
    let files = ["--cacert=/tls/ca.crt", "--cert=/tls/tls.crt", "--key=/tls/tls.key"];
    let all = [&files, arguments].concat();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "etcdctl",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": all,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "volumeMounts": [{ "name": "tls", "mountPath": "/tls" }],
            }],
            "volumes": [{ "name": "tls", "secret": { "secretName": "quorate-client-tls" } }],
        },
    }))?;
    let pods: Api<Pod> = space.api();
    space.kube().call("make a pod", pods.create(&PostParams::default(), &pod))?;
    let ended = space.wait(&format!("the end of {name}"), CLIENT_WITHIN, || {
        let phase = space.kube().call("get a pod", pods.get(name))?.status.and_then(|status| status.phase);
        Ok(phase.filter(|phase| phase == "Succeeded" || phase == "Failed"))
    })?;
    let said = space.kubectl(&["logs", name])?;
    ensure!(ended == "Succeeded", "etcdctl {}: {said}", arguments.join(" "));
    Ok(said)
}

fn serves_nobody_without_certificates(quorate: &Quorate) -> Result<()> {
    let dials = quorate.dials();
    let address = dials.first().context("a member")?.address.clone();
    let runtime = tokio::runtime::Runtime::new()?;
    let answered =
        runtime.block_on(async { tests::client::Client::lazy(&address)?.put("k", "v").await.map_err(Into::into) });
    let refused: anyhow::Error = answered.err().with_context(|| format!("{} takes plain HTTP", pod_name(0)))?;
    eprintln!("refused as it should be: {refused:#}");
    Ok(())
}
