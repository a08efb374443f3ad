//! What the operator makes of a `RaftCluster`, as its golden files have it: the daemon takes it, and Kubernetes knows
//! every field of it.

use crate::files::Manifest;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, EnvVar};
use objects::{Addressing, Location};
use quorate::config::{self, Mode, Settings, Wanted};
use serde::de::DeserializeOwned;
use std::path::Path;

const GOLDEN: &str = "operator/src/children/golden";

fn rendered(name: &str) -> Result<Vec<Manifest>> {
    let file = tests::tree::root().join(GOLDEN).join(name);
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let read = |part| Ok(Manifest { file: file.clone(), value: serde_yaml::from_str(part)? });
    text.split("---\n").filter(|part| !part.trim().is_empty()).map(read).collect()
}

fn one<T: DeserializeOwned>(all: &[Manifest], kind: &str) -> Result<T> {
    let found = all.iter().find(|each| each.value["kind"] == kind).context(kind.to_owned())?;
    Ok(serde_json::from_value(found.value.clone())?)
}

/// The environment as the kubelet gives it to the pod of this name.
fn environment(variables: &[EnvVar], pod: &str, map: &ConfigMap) -> Result<Vec<(String, String)>> {
    let value = |variable: &EnvVar| {
        let from = variable.value_from.as_ref();
        let key = from.and_then(|from| from.config_map_key_ref.as_ref());
        if let Some(key) = key {
            ensure!(map.metadata.name.as_ref() == Some(&key.name), "{} is another config map", key.name);
            return map.data.as_ref().and_then(|data| data.get(&key.key)).cloned().context(key.key.clone());
        }
        match from.and_then(|from| from.field_ref.as_ref()) {
            Some(field) => {
                ensure!(field.field_path == "metadata.name", "{} is not given here", field.field_path);
                Ok(pod.to_owned())
            }
            None => variable.value.clone().context("a value"),
        }
    };
    variables.iter().map(|variable| Ok((variable.name.clone(), value(variable)?))).collect()
}

/// What the daemon makes of the pod of this name.
fn settings(all: &[Manifest], pod: &str) -> Result<Settings> {
    let set: StatefulSet = one(all, "StatefulSet")?;
    let map: ConfigMap = one(all, "ConfigMap")?;
    let spec = set.spec.and_then(|spec| spec.template.spec).context("a pod")?;
    let container = spec.containers.first().context("a container")?;
    let environment = environment(container.env.as_deref().unwrap_or_default(), pod, &map)?;
    let expand = |argument: &String| {
        environment.iter().fold(argument.clone(), |text, (name, value)| text.replace(&format!("$({name})"), value))
    };
    let arguments: Vec<String> = container.args.iter().flatten().map(expand).collect();
    let (first, flags) = arguments.split_first().context("arguments")?;
    ensure!(first == "serve", "{first}");
    match config::load(Mode::Quorate, flags, environment.into_iter(), &|_: &Path| false)? {
        Wanted::Run(checked) => {
            ensure!(checked.notes.is_empty(), "the daemon remarks on its settings: {:?}", checked.notes);
            Ok(checked.settings)
        }
        other => anyhow::bail!("not a member: {other:?}"),
    }
}

#[test]
fn first_members_of_a_plain_cluster_look_for_each_other() -> Result<()> {
    let all = rendered("plain.yaml")?;
    for ordinal in 0..3 {
        let settings = settings(&all, &format!("m-{ordinal}"))?;
        let names: Vec<_> = settings.bootstrap.members.iter().map(|member| member.name.as_str()).collect();
        ensure!(names == ["m-0", "m-1", "m-2"], "{names:?}");
        ensure!(settings.bootstrap.state == config::settings::ClusterState::New);
        let told = settings.listen.admin.iter().filter_map(config::Address::authority);
        ensure!(told.into_iter().any(|at| at.ends_with(":2382")), "{:?}", settings.listen.admin);
    }
    Ok(())
}

#[test]
fn with_tls_every_port_but_the_metrics_has_certificates_and_asks_for_them() -> Result<()> {
    let settings = settings(&rendered("tls.yaml")?, "m-4")?;
    ensure!(settings.bootstrap.state == config::settings::ClusterState::Existing);
    ensure!(settings.listen.client.iter().chain(&settings.listen.peer).all(config::Address::tls));
    let beyond = settings.listen.admin.iter().filter(|at| at.host() != Some("127.0.0.1"));
    ensure!(beyond.into_iter().all(config::Address::tls), "{:?}", settings.listen.admin);
    Ok(())
}

#[test]
fn keys_and_certificates_of_the_object_store_are_looked_for_where_their_secrets_are_mounted() -> Result<()> {
    let all = rendered("tls.yaml")?;
    let backups = settings(&all, "m-0")?.backups.context("an object store")?;
    let Location::S3(bucket) = backups.store else { anyhow::bail!("no bucket") };
    ensure!((bucket.bucket.as_str(), bucket.prefix.as_str()) == ("backups", "prod/m"), "{bucket:?}");
    ensure!(bucket.endpoint.as_deref() == Some("https://minio.store:9000") && bucket.addressing == Addressing::Path);
    let set: StatefulSet = one(&all, "StatefulSet")?;
    let pod = set.spec.and_then(|spec| spec.template.spec).context("a pod")?;
    // The file that a Secret's key becomes in the container.
    let file = |secret: &str, key: &str| {
        let volume =
            pod.volumes.iter().flatten().find(|volume| {
                volume.secret.as_ref().is_some_and(|source| source.secret_name.as_deref() == Some(secret))
            });
        let volume = volume.context("a volume")?;
        let items = volume.secret.as_ref().and_then(|source| source.items.as_ref()).context("items")?;
        let item = items.iter().find(|item| item.key == key).context(key.to_owned())?;
        let mounts = pod.containers[0].volume_mounts.iter().flatten();
        let mount = mounts.into_iter().find(|mount| mount.name == volume.name).context("a mount")?;
        ensure!(mount.read_only == Some(true), "{mount:?}");
        Ok(Path::new(&mount.mount_path).join(&item.path))
    };
    let folder = bucket.credentials_dir.context("a folder with the key")?;
    ensure!(folder.join("access-key-id") == file("keys", "ACCESS_KEY_ID")?);
    ensure!(folder.join("secret-access-key") == file("keys", "SECRET")?);
    ensure!(folder.join("session-token") == file("keys", "ACCESS_SESSION_TOKEN")?);
    ensure!(bucket.ca_file == Some(file("minio-tls", "ca.crt")?), "{:?}", bucket.ca_file);
    let keys = backups.keys.context("it means to encrypt")?;
    ensure!(format!("{keys:?}") == format!("KeyFile({})", file("backup-key", "backup.key")?.display()), "{keys:?}");
    ensure!(keys.current().is_err(), "this test runs without the Secret, and the settings were taken all the same");
    Ok(())
}
