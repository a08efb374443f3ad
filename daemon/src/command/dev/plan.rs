//! Who the members are, where they listen and where their data lives.

use crate::config::Address;
use anyhow::{Context, bail};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Between the ports of one member and those of the next.
const PORT_STRIDE: u16 = 10;

/// Often enough to be watched.
const BACKUP_INTERVAL: &str = "1m";

/// A cluster to be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) members: Vec<PlannedMember>,
    dir: PathBuf,
    /// The folder is ours and goes away at the end.
    temporary: bool,
}

/// A member to be started.
#[derive(Clone, Debug)]
pub(super) struct PlannedMember {
    pub(super) name: String,
    pub(super) client: Address,
    pub(super) peer: Address,
    pub(super) admin: Address,
    pub(super) dir: PathBuf,
    /// The arguments of `quorate`.
    pub(super) arguments: Vec<String>,
}

impl Plan {
    /// # Errors
    /// A port is out of range or taken, or the folder cannot be made.
    pub(super) fn new(count: u16, base_port: u16, dir: Option<PathBuf>, flags: &[String]) -> anyhow::Result<Self> {
        let temporary = dir.is_none();
        let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("quorate-dev-{}", std::process::id())));
        let mut members = (0..count).map(|at| member(at, base_port, &dir)).collect::<anyhow::Result<Vec<_>>>()?;
        let cluster: Vec<_> = members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
        let backups = std::path::absolute(dir.join("backups")).context("--dir: its full path")?;
        // A location is written as in a URL.
        let backups = backups.display().to_string().replace('%', "%25");
        for member in &mut members {
            member.arguments.push(format!("--initial-cluster={}", cluster.join(",")));
            member.arguments.push(format!("--backup-store=dir:{backups}"));
            member.arguments.push(format!("--backup-interval={BACKUP_INTERVAL}"));
            member.arguments.extend(flags.iter().cloned());
        }
        members.iter().try_for_each(ports_are_free)?;
        for member in &members {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&member.dir);
            made.with_context(|| format!("--dir: cannot make {}", member.dir.display()))?;
        }
        Ok(Self { members, dir, temporary })
    }

    /// What people need to use the cluster.
    pub(super) fn introduction(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(|member| member.client.to_string()).collect();
        let admin: Vec<_> = self.members.iter().map(|member| member.admin.to_string()).collect();
        let (endpoints, dir) = (endpoints.join(","), self.dir.display());
        let kept = if self.temporary { "goes away at the end" } else { "kept for the next time" };
        format!(
            "data:      {dir} ({kept}; each member logs to log there)\nbackups:   {dir}/backups, every {BACKUP_INTERVAL}\nendpoints: {endpoints}\n\
             try:       etcdctl --endpoints={endpoints} put greeting hello\n           \
             quorate status --endpoints={}\n           ctrl-c stops the members\n",
            admin.join(",")
        )
    }

    /// Removes a folder of our own making, after a clean end.
    pub(super) fn clean_up(&self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            eprintln!("could not remove {}: {error}", self.dir.display());
        }
    }
}

fn member(at: u16, base_port: u16, dir: &Path) -> anyhow::Result<PlannedMember> {
    let first = at.checked_mul(PORT_STRIDE).and_then(|ports| base_port.checked_add(ports));
    let Some(first) = first.filter(|first| *first <= u16::MAX - 2) else {
        bail!("--base-port: {base_port} must leave room for {} ports", (at + 1) * PORT_STRIDE);
    };
    let url = |port| Address::Tcp { tls: false, host: Ipv4Addr::LOCALHOST.to_string(), port };
    let (client, peer, admin) = (url(first), url(first + 1), url(first + 2));
    let name = format!("m{}", at + 1);
    let dir = dir.join(&name);
    let arguments = vec![
        "serve".to_owned(),
        format!("--name={name}"),
        format!("--data-dir={}", dir.join("data").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--listen-admin-urls={admin}"),
    ];
    Ok(PlannedMember { name, client, peer, admin, dir, arguments })
}

fn ports_are_free(member: &PlannedMember) -> anyhow::Result<()> {
    for address in [&member.client, &member.peer, &member.admin] {
        let at = address.bind_address().expect("members listen on loopback");
        TcpListener::bind(at).with_context(|| format!("--base-port: {at} is taken"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Mode, Wanted};

    #[test]
    fn every_member_s_flags_are_settings_and_its_ports_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(3, 42_379, Some(dir.path().into()), &["--snapshot-count=7".into()]).unwrap();
        let mut ports = Vec::new();
        for member in &plan.members {
            let Wanted::Run(checked) =
                config::load(Mode::Quorate, &member.arguments[1..], std::iter::empty(), &|_| false).unwrap()
            else {
                panic!("not run")
            };
            let settings = checked.settings;
            assert_eq!(settings.name, member.name);
            assert_eq!(settings.bootstrap.members.len(), 3);
            assert_eq!(settings.snapshot.entries, 7);
            let store = objects::Location::Directory(dir.path().join("backups"));
            assert_eq!(settings.backups.map(|backups| backups.store), Some(store));
            assert!(member.dir.is_dir());
            ports.extend(
                [&settings.listen.client, &settings.listen.peer, &settings.listen.admin]
                    .map(|urls| urls[0].to_string()),
            );
        }
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), 9);
    }

    #[test]
    fn ports_beyond_the_last_and_taken_ports_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |base| format!("{:#}", Plan::new(3, base, Some(dir.path().into()), &[]).unwrap_err());
        assert_eq!(refused(65_530), "--base-port: 65530 must leave room for 20 ports");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(refused(port.min(65_500)).starts_with("--base-port: 127.0.0.1:") || port > 65_500);
    }
}
