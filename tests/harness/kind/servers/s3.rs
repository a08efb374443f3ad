//! An S3 server over a temporary folder: versitygw, built from its Go module.

use super::{Server, free_port};
use crate::kind::programs;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A store, there until dropped. Its objects outlive [`S3::stop`].
#[derive(Debug)]
pub struct S3 {
    folder: TempDir,
    address: String,
    server: Option<Server>,
}

impl S3 {
    /// Who may do everything.
    pub const ACCESS_KEY: &'static str = "quorate";
    /// The proof of it.
    pub const SECRET_KEY: &'static str = "quorate-secret";
    /// What clients sign for.
    pub const REGION: &'static str = "us-east-1";

    /// Starts a store on `host`: `127.0.0.1`, or [`host_address`](crate::kind::Cluster::host_address) for pods.
    ///
    /// # Errors
    /// When it cannot be built or does not start.
    pub fn start(host: &str) -> Result<Self> {
        let address = format!("{host}:{}", free_port(host)?);
        let mut store = Self { folder: TempDir::with_prefix("quorate-s3-")?, address, server: None };
        store.resume()?;
        Ok(store)
    }

    /// Takes the store away: connections are refused from now on.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Brings it back at the same address, with its objects.
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> Result<()> {
        let folders = ["objects", "versions", "sidecar"].map(|name| self.folder.path().join(name));
        folders.iter().try_for_each(fs::create_dir_all).context("make the store's folders")?;
        let [objects, versions, sidecar] = folders;
        let mut gateway = Command::new(programs::versitygw()?);
        gateway.args(["--port", &self.address, "--region", Self::REGION, "--quiet", "posix"]);
        gateway.arg("--versioning-dir").arg(versions).arg("--sidecar").arg(sidecar).arg(objects);
        gateway.env("ROOT_ACCESS_KEY", Self::ACCESS_KEY).env("ROOT_SECRET_KEY", Self::SECRET_KEY);
        gateway.current_dir(self.folder.path());
        self.server = Some(Server::start("versitygw", &mut gateway, &self.address)?);
        Ok(())
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bucket(&self, name: &str) -> Result<()> {
        fs::create_dir_all(self.objects().join(name)).with_context(|| format!("make the bucket {name}"))
    }

    /// `http://host:port`; buckets are the first part of the path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where objects lie as files, below their bucket: for tests that damage one.
    #[must_use]
    pub fn objects(&self) -> std::path::PathBuf {
        Path::join(self.folder.path(), "objects")
    }
}
