//! What a node changes on the machine although it has namespaces of its own, written down before and put back after:
//! its systemd and its kubelet set global sysctls, the engine makes folders, the first network namespace a mount.

use crate::kind::command::{command, output};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is written, by whom.
const SYSCTLS: &[&str] = &[
    // The kubelet.
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    // A node's systemd, by itself and from Debian's `sysctl.d`.
    "fs/file-max",
    "fs/nr_open",
    "fs/protected_fifos",
    "fs/protected_hardlinks",
    "fs/protected_regular",
    "fs/protected_symlinks",
    "kernel/pid_max",
    // We: nodes with many pods need more than most machines give.
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
];

/// Each node's systemd, containerd and kubelet hold some; five nodes do not fit into the usual 128.
const INOTIFY_INSTANCES_MIN: u64 = 1024;

/// Folders that the engine makes where they are missing, outermost last.
const FOLDERS: &[&str] = &["/lib/modules", "/var/run/docker", "/etc/docker"];

/// Where `ip netns` keeps the names of namespaces. The first one mounts the folder over itself, and it stays.
const NAMESPACES: &str = "/run/netns";

/// The machine before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Before {
    sysctls: BTreeMap<String, String>,
    missing_folders: Vec<PathBuf>,
    namespaces_are_mounted: bool,
}

impl Before {
    /// Looks.
    ///
    /// # Errors
    /// When a value cannot be read.
    pub(crate) fn look() -> Result<Self> {
        let sysctls =
            SYSCTLS.iter().filter(|name| path(name).exists()).map(|name| Ok(((*name).to_owned(), read(name)?)));
        Ok(Self {
            sysctls: sysctls.collect::<Result<_>>()?,
            missing_folders: FOLDERS.iter().map(PathBuf::from).filter(|folder| !folder.exists()).collect(),
            namespaces_are_mounted: is_mounted(NAMESPACES)?,
        })
    }

    /// Raises what nodes need more of.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub(crate) fn prepare(&self) -> Result<()> {
        let name = "fs/inotify/max_user_instances";
        if read(name)?.parse::<u64>()? < INOTIFY_INSTANCES_MIN {
            write(name, &INOTIFY_INSTANCES_MIN.to_string())?;
        }
        Ok(())
    }

    /// Puts it back.
    ///
    /// # Errors
    /// When a value cannot be written; the others are.
    pub(crate) fn restore(&self) -> Result<()> {
        let mut outcome = Ok(());
        for (name, value) in &self.sysctls {
            if read(name).is_ok_and(|now| now != *value) {
                outcome = outcome.and(write(name, value));
            }
        }
        for folder in &self.missing_folders {
            // The engine's identity. Nothing else of it lies outside our own folder.
            let _ = fs::remove_file(folder.join("key.json"));
            // Only if empty: what somebody else put there since is not ours.
            let _ = fs::remove_dir(folder);
        }
        if !self.namespaces_are_mounted && is_mounted(NAMESPACES)? && fs::read_dir(NAMESPACES)?.next().is_none() {
            outcome = outcome.and(output(&mut command(&["umount", NAMESPACES])).map(drop));
        }
        outcome
    }
}

fn is_mounted(folder: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    Ok(mounts.lines().any(|mount| mount.split(' ').nth(1) == Some(folder)))
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn read(name: &str) -> Result<String> {
    Ok(fs::read_to_string(path(name)).with_context(|| name.to_owned())?.trim().to_owned())
}

fn write(name: &str, value: &str) -> Result<()> {
    fs::write(path(name), value).with_context(|| format!("set {name} to {value}"))
}
