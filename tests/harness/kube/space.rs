//! A namespace of one scenario, where pods must pass the `restricted` profile, and waiting in it.

use super::{Kube, evidence, run};
use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A namespace, deleted when dropped; `KEEP=1` keeps it.
pub struct Space {
    kube: Kube,
    name: String,
    begun: Instant,
    /// What else is worth saving when a wait fails: a name, and how to get it.
    witnesses: RefCell<Vec<(String, Witness)>>,
}

/// Tells what it knows, at the moment it is asked.
pub type Witness = Box<dyn Fn() -> String>;

impl Space {
    /// Makes a namespace; one of the same name that a crashed run has left is deleted first.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn make(kube: &Kube, name: &str) -> Result<Self> {
        let space =
            Self { kube: kube.clone(), name: name.to_owned(), begun: Instant::now(), witnesses: RefCell::default() };
        let api: Api<Namespace> = kube.cluster();
        if kube.call("look for a namespace", api.get_opt(name))?.is_some() {
            kube.call("delete a namespace", api.delete(name, &DeleteParams::default()))?;
            space.wait(&format!("namespace {name} gone"), Duration::from_secs(120), || {
                Ok(kube.call("look for a namespace", api.get_opt(name))?.is_none().then_some(()))
            })?;
        }
        let labels = BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())]);
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        kube.call("make a namespace", api.create(&PostParams::default(), &namespace))?;
        Ok(space)
    }

    /// The cluster it is in.
    #[must_use]
    pub fn kube(&self) -> &Kube {
        &self.kube
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Objects in it.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        self.kube.namespaced(&self.name)
    }

    /// The pods in it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        Ok(self.kube.call("list pods", self.api::<Pod>().list(&ListParams::default()))?.items)
    }

    /// `kubectl` in it; its output.
    ///
    /// # Errors
    /// When it fails; then with what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run("kubectl", &[&["--namespace", &self.name], arguments].concat())
    }

    /// Applies an object, as `kubectl apply` does.
    ///
    /// # Errors
    /// What the API server says.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("object.json");
        fs::write(&file, object.to_string())?;
        self.kubectl(&["apply", "--filename", &file.display().to_string()]).map(drop)
    }

    /// When a wait fails, `tells` is asked too, and its answer saved under `name`.
    pub fn witness(&self, name: &str, tells: Witness) {
        self.witnesses.borrow_mut().push((name.to_owned(), tells));
    }

    /// Waits until `look` finds something. An error is one look without a result: a cluster in trouble makes some.
    ///
    /// # Errors
    /// When it does not within `within`; the error names the folder with what was seen then.
    pub fn wait<T>(&self, what: &str, within: Duration, look: impl Fn() -> Result<Option<T>>) -> Result<T> {
        let begun = Instant::now();
        loop {
            let why = match look() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => anyhow!("not yet"),
                Err(error) => error,
            };
            if begun.elapsed() >= within {
                let saved = self.save_evidence(what);
                bail!("{what}: not within {within:?}; last: {why:#}; what was seen then is in {saved}");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until `look` gives what is wanted; on failure the last value is told.
    ///
    /// # Errors
    /// When it does not within `within`.
    pub fn wait_for<T: Debug>(
        &self,
        what: &str,
        within: Duration,
        look: impl Fn() -> Result<T>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<T> {
        self.wait(what, within, || {
            let seen = look()?;
            if wanted(&seen) { Ok(Some(seen)) } else { bail!("{seen:?}") }
        })
    }

    /// Saves what there is to see; where.
    pub fn save_evidence(&self, what: &str) -> String {
        let witnesses = self.witnesses.borrow();
        let told = witnesses.iter().map(|(name, tells)| (name.clone(), tells())).collect();
        match evidence::save(self, what, told) {
            Ok(folder) => folder.display().to_string(),
            Err(error) => format!("(nothing: {error:#})"),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what was seen is in {}", self.save_evidence("panic"));
        }
        eprintln!("{} took {:.0} s", self.name, self.begun.elapsed().as_secs_f64());
        if std::env::var_os("KEEP").is_some() {
            eprintln!("keeping namespace {}", self.name);
            return;
        }
        // Not waited for: the volumes go in the background, and the next scenario has a name of its own.
        let api: Api<Namespace> = self.kube.cluster();
        if let Err(error) = self.kube.call("delete a namespace", api.delete(&self.name, &DeleteParams::default())) {
            eprintln!("namespace {} is left behind: {error:#}", self.name);
        }
    }
}
