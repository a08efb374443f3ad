//! Clients and peers behind certificates.

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = TempDir::with_prefix("quorate-tls-")?;
        fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn issue(&self, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.path(&format!("{name}.pem")), certificate.pem())?;
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}

/// Runs etcdctl over TLS, with the certificate `name` if one is given.
fn ctl(port: u16, ca: &Path, from: Option<(&Authority, &str)>, arguments: &[&str]) -> Result<Output> {
    let mut command = tests::cluster::etcdctl_command()?;
    command.args(["--command-timeout=3s", "--dial-timeout=2s"]);
    command.arg(format!("--endpoints=https://127.0.0.1:{port}")).arg(format!("--cacert={}", ca.display()));
    if let Some((authority, name)) = from {
        command.arg(format!("--cert={}", authority.path(&format!("{name}.pem")).display()));
        command.arg(format!("--key={}", authority.path(&format!("{name}.key")).display()));
    }
    Ok(command.args(arguments).output()?)
}

#[test]
fn three_members_with_mutual_tls_take_the_right_certificate_and_no_other() -> Result<()> {
    let (good, other) = (Authority::new()?, Authority::new()?);
    for (authority, name) in [(&good, "server"), (&good, "client"), (&other, "client")] {
        authority.issue(name)?;
    }
    let cluster = TlsCluster::start(&good)?;
    let ca = good.path("ca.pem");
    let put = ctl(cluster.ports[0], &ca, Some((&good, "client")), &["put", "k", "v"])?;
    ensure!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let got = ctl(cluster.ports[1], &ca, Some((&good, "client")), &["get", "k"])?;
    assert_eq!(String::from_utf8_lossy(&got.stdout), "k\nv\n");
    ensure!(!ctl(cluster.ports[0], &ca, None, &["get", "k"])?.status.success(), "no certificate, no answer");
    ensure!(
        !ctl(cluster.ports[0], &ca, Some((&other, "client")), &["get", "k"])?.status.success(),
        "a stranger's certificate"
    );
    Ok(())
}

struct TlsCluster {
    ports: Vec<u16>,
    children: Vec<std::process::Child>,
    folder: TempDir,
    held: tests::cluster::Ports,
}

impl TlsCluster {
    fn start(authority: &Authority) -> Result<Self> {
        let (held, folder) = (tests::cluster::Ports::take()?, TempDir::with_prefix("quorate-test-")?);
        let urls: Vec<String> = (0..3).map(|n| format!("m{n}=https://127.0.0.1:{}", held.port(n * 3 + 1))).collect();
        let mut cluster =
            Self { ports: (0..3).map(|n| held.port(n * 3)).collect(), children: Vec::new(), folder, held };
        for n in 0..3 {
            let child = cluster.member(authority, n, &urls.join(","))?;
            cluster.children.push(child);
        }
        let answers = || {
            let certificate = Some((authority, "client"));
            let answer = ctl(cluster.ports[0], &authority.path("ca.pem"), certificate, &["get", "k"]).ok()?;
            answer.status.success().then_some(())
        };
        let answered = tests::cluster::eventually("answer over TLS", Duration::from_secs(30), answers);
        answered.with_context(|| fs::read_to_string(cluster.folder.path().join("m0.log")).unwrap_or_default())?;
        Ok(cluster)
    }

    fn member(&self, authority: &Authority, n: u16, urls: &str) -> Result<std::process::Child> {
        let (client, peer) = (self.held.port(n * 3), self.held.port(n * 3 + 1));
        let (certificate, key, ca) =
            (authority.path("server.pem"), authority.path("server.key"), authority.path("ca.pem"));
        let mut command = Command::new(tests::tree::quorate()?);
        command
            .arg("serve")
            .arg(format!("--name=m{n}"))
            .arg(format!("--data-dir={}", self.folder.path().join(format!("m{n}")).display()));
        command
            .arg(format!("--listen-client-urls=https://127.0.0.1:{client}"))
            .arg(format!("--advertise-client-urls=https://127.0.0.1:{client}"));
        command
            .arg(format!("--listen-metrics-urls=http://127.0.0.1:{}", self.held.port(n * 3 + 2)))
            .arg(format!("--listen-peer-urls=https://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"));
        command.arg(format!("--initial-cluster={urls}")).args(["--client-cert-auth", "--peer-client-cert-auth"]);
        for (flag, file) in [("cert-file", &certificate), ("key-file", &key), ("trusted-ca-file", &ca)] {
            command.arg(format!("--{flag}={}", file.display())).arg(format!("--peer-{flag}={}", file.display()));
        }
        let log = fs::File::create(self.folder.path().join(format!("m{n}.log")))?;
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }
}

impl Drop for TlsCluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let ended = child.kill().and_then(|()| child.wait());
            if let Err(error) = ended {
                eprintln!("could not end a member: {error}");
            }
        }
    }
}
