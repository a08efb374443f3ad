//! The pod passes the `restricted` profile of Pod Security Standards, field by field.

use crate::stateful_set;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Container, PodSpec};

fn pod() -> Result<PodSpec> {
    stateful_set()?.spec.and_then(|spec| spec.template.spec).context("a pod")
}

#[test]
fn the_pod_passes_the_restricted_profile() -> Result<()> {
    let pod = pod()?;
    let context = pod.security_context.clone().context("a security context")?;
    ensure!(context.run_as_non_root == Some(true) && context.run_as_user.is_some_and(|user| user > 0));
    ensure!(context.seccomp_profile.is_some_and(|profile| profile.type_ == "RuntimeDefault"));
    let host = [pod.host_network, pod.host_pid, pod.host_ipc];
    ensure!(host.iter().all(|shares| shares.is_none_or(|shares| !shares)), "it shares nothing with its node");
    let volumes = pod.volumes.unwrap_or_default();
    ensure!(volumes.iter().all(|volume| volume.host_path.is_none()), "{volumes:?}");
    pod.containers.iter().chain(pod.init_containers.iter().flatten()).try_for_each(restricted)
}

fn restricted(container: &Container) -> Result<()> {
    let context = container.security_context.clone().context("a security context")?;
    ensure!(context.allow_privilege_escalation == Some(false) && context.privileged != Some(true));
    let capabilities = context.capabilities.context("capabilities")?;
    ensure!(capabilities.drop.is_some_and(|drop| drop == ["ALL"]) && capabilities.add.is_none());
    ensure!(context.read_only_root_filesystem == Some(true), "beyond the profile: nothing to write to but the volume");
    Ok(())
}

#[test]
fn the_pod_has_no_key_to_the_api_server() -> Result<()> {
    ensure!(pod()?.automount_service_account_token == Some(false));
    Ok(())
}
