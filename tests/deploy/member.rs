//! The daemon takes what its pod gives it, and its probes and its hook fit together.

use crate::files::manifests;
use crate::stateful_set;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use quorate::config::{self, Mode, Settings, Wanted};
use std::path::Path;

/// What a member may take to stop in good order after SIGTERM, rounded up.
const STOP_SECONDS: i64 = 2;

fn pod(set: &StatefulSet) -> Result<&PodSpec> {
    set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).context("a pod")
}

/// The environment as the kubelet gives it to pod `ordinal`: plain values, and what is known of the pod.
fn environment(variables: &[EnvVar], ordinal: i32) -> Result<Vec<(String, String)>> {
    let value = |variable: &EnvVar| match variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()) {
        Some(field) if field.field_path == "metadata.name" => Ok(format!("quorate-{ordinal}")),
        Some(field) if field.field_path == "metadata.namespace" => Ok("here".to_owned()),
        Some(field) => anyhow::bail!("{} is not given here", field.field_path),
        None => variable.value.clone().context("a value"),
    };
    variables.iter().map(|variable| Ok((variable.name.clone(), value(variable)?))).collect()
}

/// What the daemon makes of it.
fn settings(container: &Container, variables: &[EnvVar], ordinal: i32) -> Result<Settings> {
    let environment = environment(variables, ordinal)?;
    let expand = |argument: &String| {
        environment.iter().fold(argument.clone(), |text, (name, value)| text.replace(&format!("$({name})"), value))
    };
    let arguments: Vec<String> = container.args.iter().flatten().map(expand).collect();
    ensure!(!arguments.iter().any(|argument| argument.contains("$(")), "not all is expanded: {arguments:?}");
    let (first, flags) = arguments.split_first().context("arguments")?;
    ensure!(first == "serve");
    match config::load(Mode::Quorate, flags, environment.into_iter(), &|_: &Path| false)? {
        Wanted::Run(checked) => {
            ensure!(checked.notes.is_empty(), "the daemon remarks on its settings: {:?}", checked.notes);
            Ok(checked.settings)
        }
        other => anyhow::bail!("not a member: {other:?}"),
    }
}

#[test]
fn the_daemon_takes_its_settings_and_every_member_names_the_same_cluster() -> Result<()> {
    let set = stateful_set()?;
    let container = &pod(&set)?.containers[0];
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).context("replicas")?;
    let variables = container.env.clone().unwrap_or_default();
    for ordinal in 0..replicas {
        let settings = settings(container, &variables, ordinal)?;
        let names: Vec<_> = settings.bootstrap.members.iter().map(|member| member.name.clone()).collect();
        ensure!(names == (0..replicas).map(|n| format!("quorate-{n}")).collect::<Vec<_>>(), "{names:?}");
        let mounts = container.volume_mounts.iter().flatten();
        let kept =
            mounts.into_iter().any(|mount| mount.name == "data" && settings.data_dir.starts_with(&mount.mount_path));
        ensure!(kept, "{} lies on the claim", settings.data_dir.display());
        ensure!(
            settings.listen.admin.iter().all(|at| at.host() == Some("127.0.0.1")),
            "the admin port is the pod's own"
        );
    }
    Ok(())
}

#[test]
fn with_tls_both_ports_ask_for_certificates() -> Result<()> {
    let set = stateful_set()?;
    let container = &pod(&set)?.containers[0];
    let patch = manifests("tls")?.into_iter().next().context("a patch")?;
    let patch: StatefulSet = serde_json::from_value(patch.value)?;
    let patched = pod(&patch)?;
    ensure!(patched.containers[0].name == container.name, "a patch finds its container by name");
    let mut variables = patched.containers[0].env.clone().unwrap_or_default();
    let kept = container.env.iter().flatten().filter(|old| !variables.iter().any(|new| new.name == old.name));
    variables.extend(kept.cloned().collect::<Vec<_>>());
    let settings = settings(container, &variables, 0)?;
    for tls in [settings.client_tls.is_some(), settings.peer_tls.is_some()] {
        ensure!(tls, "{:?} {:?}", settings.client_tls, settings.peer_tls);
    }
    ensure!(settings.listen.client.iter().chain(&settings.listen.peer).all(config::Address::tls));
    let volumes: Vec<_> = patched.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    for mount in patched.containers[0].volume_mounts.iter().flatten() {
        ensure!(volumes.contains(&mount.name.as_str()) && mount.read_only == Some(true), "{mount:?}");
        let used =
            variables.iter().filter_map(|each| each.value.as_ref()).any(|value| value.starts_with(&mount.mount_path));
        ensure!(used, "nothing is read from {}", mount.mount_path);
    }
    Ok(())
}

#[test]
fn probes_ask_pages_on_a_port_of_the_pod() -> Result<()> {
    let set = stateful_set()?;
    let container = &pod(&set)?.containers[0];
    let probes = [
        (&container.startup_probe, "/livez"),
        (&container.readiness_probe, "/readyz"),
        (&container.liveness_probe, "/livez"),
    ];
    for (probe, page) in probes {
        let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref()).with_context(|| format!("asks {page}"))?;
        ensure!(get.path.as_deref() == Some(page), "{get:?}");
        let named = container
            .ports
            .iter()
            .flatten()
            .any(|port| Some(&get.port) == port.name.clone().map(IntOrString::String).as_ref());
        ensure!(named, "{:?} is no port of the pod", get.port);
    }
    Ok(())
}

#[test]
fn the_hook_and_the_stop_fit_into_the_grace_period() -> Result<()> {
    let set = stateful_set()?;
    let pod = pod(&set)?;
    let hook = pod.containers[0].lifecycle.as_ref().and_then(|each| each.pre_stop.as_ref()?.exec.clone());
    let command = hook.and_then(|exec| exec.command).context("a hook")?;
    let within = command.iter().find_map(|word| word.strip_prefix("--within-seconds="));
    let within: i64 = within.context("a bound")?.parse()?;
    let grace = pod.termination_grace_period_seconds.context("a grace period")?;
    ensure!(within + STOP_SECONDS < grace, "{within} s and {STOP_SECONDS} s in {grace} s");
    Ok(())
}
