//! Members that pass from one authority to the next while they serve, in the steps that the operator takes.

use crate::tls::{Authority, TlsCluster, ctl};
use admin_api::{CertificatesInUse, Side};
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tests::cluster::eventually;

/// A member reads its files again when it is asked what it uses.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// A member that was killed serves again after an election at worst.
const SERVES_WITHIN: Duration = Duration::from_secs(30);

/// What members are given in a step: who signed what they show, and whom they believe.
struct Step<'a> {
    signer: &'a Authority,
    trusted: &'a [&'a Authority],
}

impl Step<'_> {
    /// Each file is there whole, or not at all.
    fn give(&self, folder: &Path) -> Result<()> {
        let place = |name: &str, text: String| -> Result<()> {
            fs::write(folder.join("new"), text)?;
            Ok(fs::rename(folder.join("new"), folder.join(name))?)
        };
        for name in ["server.pem", "server.key"] {
            place(name, fs::read_to_string(self.signer.path(name))?)?;
        }
        let authorities: Result<Vec<String>, _> =
            self.trusted.iter().map(|authority| fs::read_to_string(authority.path("ca.pem"))).collect();
        place("ca.pem", authorities?.concat())
    }
}

/// What a member says of both of its ends between members, and of its clients' port.
fn told(cluster: &TlsCluster, n: u16) -> Result<Vec<CertificatesInUse>> {
    let ends = cluster.status(n)?.certificates;
    ensure!([Side::Client, Side::Peer].iter().all(|side| ends.iter().any(|end| end.side == *side)), "{ends:?}");
    Ok(ends)
}

#[test]
fn three_members_pass_from_one_authority_to_the_next_one_member_after_the_other() -> Result<()> {
    let (old, new) = (Authority::new()?, Authority::new()?);
    for (authority, name) in [(&old, "server"), (&old, "client"), (&new, "server"), (&new, "client")] {
        authority.issue(name)?;
    }
    let folder = TempDir::with_prefix("quorate-files-")?;
    let files: Vec<PathBuf> = (0..3).map(|n| folder.path().join(n.to_string())).collect();
    let before = Step { signer: &old, trusted: &[&old] };
    for folder in &files {
        fs::create_dir(folder)?;
        before.give(folder)?;
    }
    let mut cluster = TlsCluster::start_with(&old, files.clone())?;
    let at_first = told(&cluster, 0)?;

    let steps = [
        Step { signer: &old, trusted: &[&old, &new] },
        Step { signer: &new, trusted: &[&old, &new] },
        Step { signer: &new, trusted: &[&new] },
    ];
    let both = folder.path().join("both.pem");
    fs::write(&both, fs::read_to_string(old.path("ca.pem"))? + &fs::read_to_string(new.path("ca.pem"))?)?;
    // In each step a client that has what the step before gave it.
    let clients = [(&old, old.path("ca.pem")), (&old, both.clone()), (&new, both)];
    for (at, step) in steps.iter().enumerate() {
        for n in 0..3 {
            step.give(&files[usize::from(n)])?;
            let taken = |end: &CertificatesInUse| {
                let signed_by_new = end.certificate != at_first[0].certificate;
                end.trusted.len() == step.trusted.len() && signed_by_new == (at > 0)
            };
            let all = || told(&cluster, n).ok()?.iter().all(taken).then_some(());
            eventually(&format!("word of m{n} that it has taken step {at}"), TAKEN_WITHIN, all)?;
            // It meets members that are a step behind with connections that are all new.
            cluster.restart(n)?;
            let (client, ca) = &clients[at];
            let port = cluster.ports[usize::from(n)];
            let written = || {
                let answer = ctl(port, ca, Some((*client, "client")), &["put", "k", "v"]).ok()?;
                answer.status.success().then_some(())
            };
            eventually(&format!("write through m{n} in step {at}"), SERVES_WITHIN, written)?;
        }
    }
    let last = ctl(cluster.ports[0], &new.path("ca.pem"), Some((&new, "client")), &["get", "k"])?;
    ensure!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let gone = ctl(cluster.ports[0], &new.path("ca.pem"), Some((&old, "client")), &["get", "k"])?;
    ensure!(!gone.status.success(), "the one before is believed no longer");
    Ok(())
}
