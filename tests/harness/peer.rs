//! etcd 3.7.3 and etcd's own load generator, built from their Go modules (`tests/peer/*/go.mod` and `go.sum` pin them)
//! into a cache keyed by those files.

use crate::go::Module;
use anyhow::Result;
use std::path::PathBuf;

const ETCD: Module = Module { folder: "peer/etcd", name: "etcd", flags: "" };
const LOAD: Module = Module { folder: "peer/load", name: "load", flags: "" };

/// The etcd server.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcd() -> Result<PathBuf> {
    ETCD.program("go.etcd.io/etcd/server/v3", "server")
}

/// The `etcdctl` of the same release.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn etcdctl() -> Result<PathBuf> {
    ETCD.program("go.etcd.io/etcd/etcdctl/v3", "etcdctl")
}

/// etcd's load generator, `benchmark`.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn benchmark() -> Result<PathBuf> {
    LOAD.program("go.etcd.io/etcd/v3/tools/benchmark", "benchmark")
}
