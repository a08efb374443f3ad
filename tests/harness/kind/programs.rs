//! The Go programs of the cluster and of the servers beside it. `tests/kind/go/*/go.mod` and `go.sum` pin them.

use crate::go::{self, Module};
use crate::peer;
use anyhow::Result;
use std::path::PathBuf;

/// The Kubernetes that `go/kubernetes/go.mod` requires.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

const fn module(folder: &'static str, name: &'static str) -> Module {
    Module { folder, name, flags: "" }
}

const KUBERNETES: Module = Module {
    folder: "kind/go/kubernetes",
    name: "kubernetes",
    flags: "-X k8s.io/component-base/version.gitVersion=v1.35.4 -X k8s.io/component-base/version.gitMajor=1 \
            -X k8s.io/component-base/version.gitMinor=35 -X k8s.io/component-base/version.gitTreeState=clean",
};
const CONTAINERD: Module = module("kind/go/containerd", "containerd");
const COREDNS: Module = module("kind/go/coredns", "coredns");
const NODE: Module = module("kind/go/node", "node");
const KIND: Module = module("kind/go/kind", "kind");
const HELM: Module = module("kind/go/helm", "helm");
const VERSITYGW: Module = module("kind/go/versitygw", "versitygw");

/// kind itself.
///
/// # Errors
/// As all here: when Go is missing or the build fails.
pub fn kind() -> Result<PathBuf> {
    KIND.program("sigs.k8s.io/kind", "kind")
}

/// kind's module, for the files that its image builder takes.
///
/// # Errors
/// When it cannot be downloaded.
pub fn kind_source() -> Result<PathBuf> {
    go::source_of(&KIND, "sigs.k8s.io/kind")
}

/// helm.
///
/// # Errors
/// As above.
pub fn helm() -> Result<PathBuf> {
    HELM.program("helm.sh/helm/v3/cmd/helm", "helm")
}

/// An S3 server over a folder.
///
/// # Errors
/// As above.
pub fn versitygw() -> Result<PathBuf> {
    VERSITYGW.program("github.com/versity/versitygw/cmd/versitygw", "versitygw")
}

/// All of Kubernetes, kubectl among it, in one program that chooses by its name.
///
/// # Errors
/// As above.
pub fn kubernetes() -> Result<PathBuf> {
    KUBERNETES.program(".", "kubernetes")
}

/// The OCI runtime of the node containers.
///
/// # Errors
/// As above.
pub fn runtime() -> Result<PathBuf> {
    NODE.program("./runtime", "runtime")
}

/// What a node and its system pods consist of.
#[derive(Clone, Debug)]
pub struct NodePrograms {
    /// All of Kubernetes.
    pub kubernetes: PathBuf,
    /// The node's container engine.
    pub containerd: PathBuf,
    /// What it starts for each pod.
    pub shim: PathBuf,
    /// Its client.
    pub ctr: PathBuf,
    /// etcd, of the control plane.
    pub etcd: PathBuf,
    /// Names for pods.
    pub coredns: PathBuf,
    /// What holds a pod's namespaces.
    pub pause: PathBuf,
}

impl NodePrograms {
    /// All of them, built now where the cache does not have them: ten minutes on two cores.
    ///
    /// # Errors
    /// As above.
    pub fn build() -> Result<Self> {
        let containerd =
            |name: &str| CONTAINERD.program(&format!("github.com/containerd/containerd/v2/cmd/{name}"), name);
        Ok(Self {
            kubernetes: kubernetes()?,
            containerd: containerd("containerd")?,
            shim: containerd("containerd-shim-runc-v2")?,
            ctr: containerd("ctr")?,
            etcd: peer::etcd()?,
            coredns: COREDNS.program(".", "coredns")?,
            pause: NODE.program("./pause", "pause")?,
        })
    }

    /// Changes when any of them does.
    ///
    /// # Errors
    /// When a module cannot be read.
    pub fn fingerprint() -> Result<String> {
        [KUBERNETES, CONTAINERD, COREDNS, NODE, KIND].iter().map(Module::fingerprint).collect()
    }
}
