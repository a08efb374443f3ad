//! What is done to pods and their containers.

use super::Node;
use crate::kube::Space;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams};
use std::time::Duration;

/// A claim goes when its pod is gone and its volume let go.
const CLAIM_GONE_WITHIN: Duration = Duration::from_secs(60);

/// Ends the process of a pod's container, without a word (SIGKILL). Its kubelet starts another.
///
/// # Errors
/// When its node cannot be reached or the container does not run.
pub fn kill_container(space: &Space, pod: &str) -> Result<()> {
    end_process(&space.kube().call("get a pod", space.api::<Pod>().get(pod))?)
}

/// The same, for a pod that was looked at.
///
/// # Errors
/// When its node cannot be reached or the container does not run.
pub fn end_process(pod: &Pod) -> Result<()> {
    let id = container_id(pod)?;
    Node::of(pod)?.run(&["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id])?;
    Ok(())
}

/// The number of a container's process on its node.
///
/// # Errors
/// When its node cannot be reached or the container does not run.
pub fn process(pod: &Pod) -> Result<u32> {
    let id = container_id(pod)?;
    let tasks = Node::of(pod)?.run(&["ctr", "--namespace", "k8s.io", "tasks", "list"])?;
    let line = tasks.lines().find(|line| line.starts_with(id)).context("its task")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

fn container_id(pod: &Pod) -> Result<&str> {
    let status = container(pod).context("a container that runs")?;
    status.container_id.as_deref().and_then(|id| id.strip_prefix("containerd://")).context("its id")
}

/// Deletes a pod without a grace period: its kubelet ends it as soon as it hears of it, its controller makes another.
///
/// # Errors
/// When the API server refuses.
pub fn delete_now(space: &Space, pod: &str) -> Result<()> {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    space.kube().call("delete a pod", space.api::<Pod>().delete(pod, &now))?;
    Ok(())
}

/// Ends the process of a pod without a word and deletes the pod at once, so that another is made without waiting.
///
/// # Errors
/// When its node cannot be reached or the API server refuses.
pub fn kill(space: &Space, pod: &str) -> Result<()> {
    kill_container(space, pod)?;
    delete_now(space, pod)
}

/// Deletes a pod and the claim of this name with its data, and waits until both are gone.
///
/// # Errors
/// When the API server refuses, or the claim stays.
pub fn delete_with_claim(space: &Space, pod: &str, claim: &str) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = space.api();
    let uid = |claim: Option<PersistentVolumeClaim>| claim.and_then(|claim| claim.metadata.uid);
    let look = || anyhow::Ok(uid(space.kube().call("get a claim", claims.get_opt(claim))?));
    let old = look()?.context("the claim")?;
    space.kube().call("delete a claim", claims.delete(claim, &DeleteParams::default()))?;
    delete_now(space, pod)?;
    space.wait(&format!("claim {claim} gone"), CLAIM_GONE_WITHIN, || Ok((look()?.as_ref() != Some(&old)).then_some(())))
}

/// The first container of a pod, as its kubelet sees it.
#[must_use]
pub fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// The exit code of the container's last end, if it has ended before.
#[must_use]
pub fn last_exit_code(pod: &Pod) -> Option<i32> {
    let status = container(pod)?;
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        Some(state.as_ref()?.terminated.as_ref()?.exit_code)
    };
    ended(&status.state).or_else(|| ended(&status.last_state))
}
