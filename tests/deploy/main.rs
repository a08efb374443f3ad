//! The manifests of `deploy/` and those that the operator makes, held without a cluster against what Kubernetes knows,
//! what the daemon takes, and what was promised of them.

mod files;
mod member;
mod monitoring;
mod operator;
mod samples;
mod security;

use anyhow::{Context, Result, ensure};
use files::{Manifest, manifests};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// What is applied of one kind, under a name.
fn one<T: serde::de::DeserializeOwned>(kind: &str, name: &str) -> Result<T> {
    let all = manifests("base")?;
    let found = all.iter().find(|each| each.kind() == kind && each.value["metadata"]["name"] == name);
    Ok(serde_json::from_value(found.with_context(|| format!("{kind} {name}"))?.value.clone())?)
}

fn stateful_set() -> Result<StatefulSet> {
    one("StatefulSet", "quorate")
}

/// Kubernetes ignores a field it does not know, and so does a reader; what is written must come back.
#[test]
fn every_field_of_every_manifest_is_known_to_kubernetes() -> Result<()> {
    let mut seen = 0;
    for folder in ["base", "tls"] {
        for manifest in manifests(folder)? {
            manifest.check_known()?;
            seen += 1;
        }
    }
    ensure!(seen >= 5, "only {seen} manifests were found");
    Ok(())
}

#[test]
fn a_misspelt_field_is_found() -> Result<()> {
    let mut manifest = manifests("base")?.into_iter().find(|each| each.kind() == "Service").context("a Service")?;
    manifest.value["spec"]["publishNotReadyAdresses"] = Value::Bool(true);
    let found = manifest.check_known().expect_err("it is misspelt").to_string();
    ensure!(found.contains("spec.publishNotReadyAdresses"), "{found}");
    Ok(())
}

#[test]
fn what_a_kustomization_names_is_there_and_everything_is_named() -> Result<()> {
    for folder in ["base", "tls"] {
        files::check_kustomization(folder)?;
    }
    Ok(())
}

#[test]
fn services_select_the_members_and_name_their_ports() -> Result<()> {
    let set = stateful_set()?.spec.context("a spec")?;
    let labels = set.template.metadata.and_then(|meta| meta.labels).context("labels")?;
    let container = &set.template.spec.context("a pod")?.containers[0];
    let ports = container.ports.clone().unwrap_or_default();
    for (name, published) in [("quorate", None), ("quorate-peer", Some(true))] {
        let service: Service = one("Service", name)?;
        let spec = service.spec.context("a spec")?;
        let selector = spec.selector.context("a selector")?;
        ensure!(selector.iter().all(|pair| labels.get(pair.0) == Some(pair.1)), "{name} selects {selector:?}");
        ensure!(spec.publish_not_ready_addresses == published, "{name}: who is published");
        for port in spec.ports.context("ports")? {
            let known = ports.iter().any(|each| each.name == port.name && each.container_port == port.port);
            ensure!(known, "{name} has port {:?}, the pod has {ports:?}", port.name);
        }
    }
    ensure!(set.service_name.as_deref() == Some("quorate-peer"), "pods get their names from the peers' Service");
    Ok(())
}

#[test]
fn the_budget_keeps_a_quorum() -> Result<()> {
    let replicas = stateful_set()?.spec.and_then(|spec| spec.replicas).context("replicas")?;
    let budget: PodDisruptionBudget = one("PodDisruptionBudget", "quorate")?;
    let least = budget.spec.and_then(|spec| spec.min_available);
    ensure!(least == Some(IntOrString::Int(replicas / 2 + 1)), "{least:?} of {replicas}");
    Ok(())
}

#[test]
fn a_claim_outlives_everything() -> Result<()> {
    let spec = stateful_set()?.spec.context("a spec")?;
    let policy = spec.persistent_volume_claim_retention_policy.context("a policy")?;
    ensure!([policy.when_deleted, policy.when_scaled].iter().all(|when| when.as_deref() == Some("Retain")));
    Ok(())
}

impl Manifest {
    fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }
}
