//! Debian's packages that tests use. As root on Debian what is missing is installed; elsewhere it is named once, and
//! the tests that need it fall back or say that they are skipped.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// A program, and the package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("etcdctl", "etcd-client"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("strace", "strace"),
];

/// Sees to it that the programs are there, as far as this process may.
pub fn provide() {
    if let Err(error) = need(NEEDED) {
        eprintln!("{error:#}; tests fall back on their own builds or are skipped");
    }
}

/// Sees to it that these programs, each with the package that has it, are there.
///
/// # Errors
/// When some are missing and cannot be installed; the error names their packages.
pub fn need(programs: &[(&str, &str)]) -> Result<()> {
    let absent = programs.iter().filter(|(program, _)| !is_there(program));
    let mut missing: Vec<&str> = absent.map(|(_, package)| *package).collect();
    missing.dedup();
    let may_install = rustix::process::geteuid().is_root() && is_there("apt-get");
    ensure!(missing.is_empty() || may_install && install(&missing), "not installed: {}", missing.join(" "));
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| Path::new(folder).join(program).exists())
}

fn install(packages: &[&str]) -> bool {
    eprintln!("installing {}", packages.join(" "));
    let run = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command.status().is_ok_and(|status| status.success())
    };
    run(&["update"]) && run(&[&["install", "--no-install-recommends", "--yes"], packages].concat())
}
