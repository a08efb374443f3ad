//! The files of `deploy/`, read and held against the types of Kubernetes' API.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const KUSTOMIZATION: &str = "kustomization.yaml";

/// One document of one file.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) file: PathBuf,
    pub(crate) value: Value,
}

fn folder(name: &str) -> PathBuf {
    tests::tree::root().join("deploy").join(name)
}

fn files(name: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder(name)).with_context(|| format!("deploy/{name}"))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    ensure!(paths.iter().all(|path| path.extension().is_some_and(|end| end == "yaml")), "{paths:?}");
    Ok(paths)
}

fn documents(file: &PathBuf) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file)?;
    let parts = text.split("\n---\n").map(serde_yaml::from_str::<Value>);
    parts.collect::<Result<_, _>>().with_context(|| file.display().to_string())
}

/// Every manifest of a folder; its kustomization is none.
pub(crate) fn manifests(name: &str) -> Result<Vec<Manifest>> {
    let mut all = Vec::new();
    for file in files(name)?.into_iter().filter(|file| !file.ends_with(KUSTOMIZATION)) {
        all.extend(documents(&file)?.into_iter().map(|value| Manifest { file: file.clone(), value }));
    }
    Ok(all)
}

/// Every file that a kustomization names is there, and every file that is there is named.
pub(crate) fn check_kustomization(name: &str) -> Result<()> {
    let all = documents(&folder(name).join(KUSTOMIZATION))?;
    let [said] = all.as_slice() else { bail!("deploy/{name} has one kustomization") };
    ensure!(said["kind"] == "Kustomization", "{said}");
    let listed = |field: &str| said[field].as_array().cloned().unwrap_or_default();
    let resources = listed("resources").into_iter();
    let patches = listed("patches").into_iter().map(|patch| patch["path"].clone());
    let named: Vec<String> =
        resources.chain(patches).map(|path| Ok(path.as_str().context("a path")?.to_owned())).collect::<Result<_>>()?;
    for path in &named {
        ensure!(folder(name).join(path).exists(), "deploy/{name} names {path}, which is not there");
    }
    let named: BTreeSet<PathBuf> = named.iter().map(|path| folder(name).join(path)).collect();
    let forgotten = files(name)?.into_iter().find(|file| !file.ends_with(KUSTOMIZATION) && !named.contains(file));
    ensure!(forgotten.is_none(), "deploy/{name} does not name {forgotten:?}");
    Ok(())
}

impl Manifest {
    /// Every field comes back from a reading and writing by the API's own types.
    pub(crate) fn check_known(&self) -> Result<()> {
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        let known = match (version, self.value["kind"].as_str().unwrap_or_default()) {
            ("v1", "Service") => self.again::<Service>(),
            ("apps/v1", "StatefulSet") => self.again::<StatefulSet>(),
            ("policy/v1", "PodDisruptionBudget") => self.again::<PodDisruptionBudget>(),
            other => bail!("{}: {other:?} is of no kind that is deployed", self.file.display()),
        };
        let known = known.with_context(|| self.file.display().to_string())?;
        match lost(&self.value, &known, String::new()) {
            Some(path) => bail!("{}: Kubernetes does not know {path}", self.file.display()),
            None => Ok(()),
        }
    }

    fn again<T: Serialize + DeserializeOwned>(&self) -> Result<Value> {
        Ok(serde_json::to_value(serde_json::from_value::<T>(self.value.clone())?)?)
    }
}

/// The path of the first field that is not in `known`.
fn lost(written: &Value, known: &Value, path: String) -> Option<String> {
    match (written, known) {
        (Value::Object(fields), _) => fields.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match known.get(name) {
                Some(known) => lost(value, known, path),
                None => Some(path),
            }
        }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(n, (item, other))| lost(item, other, format!("{path}[{n}]")))
        }
        _ if written == known => None,
        _ => Some(path),
    }
}
