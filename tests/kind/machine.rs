//! What a cluster must leave as it was: packet filter, settings, mounts, links, routes, namespaces.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Settings that the kernel or other programs change by themselves.
const RESTLESS: &[&str] = &[
    "fs/aio-nr",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota/",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "kernel/random/",
    "net/netfilter/nf_conntrack_count",
];
/// Settings of each link: other tests' links come and go.
const OF_LINKS: &[&str] = &["/conf/", "/neigh/"];

/// One look at the machine.
pub(crate) struct Machine(BTreeMap<String, String>);

impl Machine {
    /// Looks.
    pub(crate) fn look() -> Result<Self> {
        let mut seen = BTreeMap::new();
        for words in [
            &["nft", "list", "ruleset"][..],
            &["ip", "-oneline", "link", "show"],
            &["ip", "route", "show", "table", "all"],
            &["ip", "netns", "list"],
        ] {
            let said = Command::new(words[0]).args(&words[1..]).output()?;
            seen.insert(words.join(" "), String::from_utf8_lossy(&said.stdout).into_owned());
        }
        seen.insert("mounts".to_owned(), fs::read_to_string("/proc/self/mounts")?);
        settings("/proc/sys", &mut seen);
        Ok(Self(seen))
    }

    /// Fails with what is different.
    pub(crate) fn compare(&self, after: &Self) -> Result<()> {
        let names = self.0.keys().chain(after.0.keys());
        let mut different: Vec<String> = names
            .filter(|name| self.0.get(*name) != after.0.get(*name))
            .map(|name| format!("{name}:\n  before {:?}\n  after  {:?}", self.0.get(name), after.0.get(name)))
            .collect();
        different.dedup();
        ensure!(different.is_empty(), "the machine is not as it was:\n{}", different.join("\n"));
        Ok(())
    }
}

/// Every file below `folder` that can be read.
fn settings(folder: &str, seen: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path().display().to_string();
        let name = path.trim_start_matches("/proc/sys/");
        if RESTLESS.iter().any(|restless| name.starts_with(restless)) || OF_LINKS.iter().any(|part| name.contains(part))
        {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            settings(&path, seen);
        } else if let Ok(value) = fs::read_to_string(&path) {
            seen.insert(name.to_owned(), value);
        }
    }
}
