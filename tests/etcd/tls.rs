//! Clients and peers behind certificates.

use admin_api::{MemberStatus, PATH_STATUS};
use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tests::cluster::{Cluster, Flavor, Ports, eventually, get};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A handshake has ten seconds.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(15);

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = TempDir::with_prefix("quorate-tls-")?;
        fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn issue(&self, name: &str) -> Result<()> {
        self.issue_until(name, SystemTime::now() + DAY, 1)
    }

    fn issue_until(&self, name: &str, until: SystemTime, serial: u64) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (SystemTime::now() - 2 * DAY).into();
        params.not_after = until.into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.path(&format!("{name}.pem")), certificate.pem())?;
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes a list of revoked certificates, `crl.pem`, with this one on it.
    fn revoke(&self, serial: u64) -> Result<()> {
        let now = SystemTime::now();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + DAY).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.path("crl.pem"), list.signed_by(&self.issuer)?.pem()?)?;
        Ok(())
    }
}

/// Runs etcdctl over TLS, with the certificate `name` if one is given.
pub(crate) fn ctl(port: u16, ca: &Path, from: Option<(&Authority, &str)>, arguments: &[&str]) -> Result<Output> {
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

/// Whether a port answers a request by HTTP of somebody with this certificate, or with none.
fn answers(port: u16, ca: &Authority, from: Option<(&Authority, &str)>) -> Result<bool> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.path("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    let config = match from {
        Some((authority, name)) => {
            let certificate = CertificateDer::from_pem_file(authority.path(&format!("{name}.pem")))?;
            let key = PrivateKeyDer::from_pem_file(authority.path(&format!("{name}.key")))?;
            config.with_client_auth_cert(vec![certificate], key)?
        }
        None => config.with_no_client_auth(),
    };
    let mut connection = ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    // In TLS 1.3 a client learns that it is refused when it reads, or not even then.
    let mut said = [0; 9];
    let request = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let told = tls.write_all(request).and_then(|()| tls.read_exact(&mut said));
    match told {
        Ok(()) => Ok(said == *b"HTTP/1.1 "),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(error.into()),
        Err(_refused) => Ok(false),
    }
}

/// etcd looked at the list of revoked certificates on one of two listeners (GHSA-3wh4-j44w-pg92).
#[test]
fn every_port_of_clients_refuses_the_same_certificates() -> Result<()> {
    let (good, other) = (Authority::new()?, Authority::new()?);
    for (authority, name) in [(&good, "server"), (&good, "client"), (&other, "stranger")] {
        authority.issue(name)?;
    }
    good.issue_until("expired", SystemTime::now() - DAY, 2)?;
    good.issue_until("revoked", SystemTime::now() + DAY, 3)?;
    good.revoke(3)?;
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let ports = Ports::take()?;
    let (grpc, http) = (ports.port(0), ports.port(1));
    let member = &mut cluster.members[0];
    for (flag, port) in
        [("listen-client-urls", grpc), ("advertise-client-urls", grpc), ("listen-client-http-urls", http)]
    {
        member.with_flag(format!("--{flag}=https://127.0.0.1:{port}"));
    }
    let files = [
        ("cert-file", "server.pem"),
        ("key-file", "server.key"),
        ("trusted-ca-file", "ca.pem"),
        ("client-crl-file", "crl.pem"),
    ];
    for (flag, file) in files {
        member.with_flag(format!("--{flag}={}", good.path(file).display()));
    }
    member.with_flag("--client-cert-auth");
    member.spawn()?;
    let ours = Some((&good, "client"));
    for port in [grpc, http] {
        eventually("answer over TLS", Duration::from_secs(30), || answers(port, &good, ours).ok()?.then_some(()))?;
        for from in [None, Some((&other, "stranger")), Some((&good, "expired")), Some((&good, "revoked"))] {
            let who = from.map(|(_, name)| name);
            ensure!(!answers(port, &good, from)?, "{who:?} was answered at port {port} of {grpc}, {http}");
        }
        ensure!(answers(port, &good, ours)?, "port {port} goes on for who may");
    }
    let (ca, revoked) = (good.path("ca.pem"), Some((&good, "revoked")));
    ensure!(ctl(grpc, &ca, ours, &["put", "k", "v"])?.status.success(), "by gRPC too");
    ensure!(!ctl(grpc, &ca, revoked, &["get", "k"])?.status.success(), "by gRPC too");
    Ok(())
}

/// etcd waited for handshakes for ever (GHSA-6vch-q96h-7gc3).
#[test]
fn hundreds_of_handshakes_that_stall_keep_nobody_out_and_end() -> Result<()> {
    let authority = Authority::new()?;
    authority.issue("server")?;
    authority.issue("client")?;
    let cluster = TlsCluster::start(&authority)?;
    let client_hello = [22, 3, 1, 2, 0, 1]; // the beginning of one
    let stalled = (0..500).map(|_| {
        let mut stream = TcpStream::connect(("127.0.0.1", cluster.ports[0]))?;
        stream.write_all(&client_hello)?;
        Ok(stream)
    });
    let stalled: Vec<TcpStream> = stalled.collect::<std::io::Result<_>>()?;
    let begun = Instant::now();
    let put = ctl(cluster.ports[0], &authority.path("ca.pem"), Some((&authority, "client")), &["put", "k", "v"])?;
    ensure!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    ensure!(begun.elapsed() < Duration::from_secs(3), "a client waited {:?}", begun.elapsed());
    for mut stream in stalled {
        stream.set_read_timeout(Some(GIVEN_UP_WITHIN.saturating_sub(begun.elapsed()).max(Duration::from_secs(1))))?;
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let open = ended.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        ensure!(!open, "a handshake is waited for after {:?}", begun.elapsed());
    }
    Ok(())
}

pub(crate) struct TlsCluster {
    pub(crate) ports: Vec<u16>,
    children: Vec<std::process::Child>,
    folder: TempDir,
    /// Where each member finds `server.pem`, `server.key` and `ca.pem`.
    files: Vec<PathBuf>,
    held: Ports,
}

impl TlsCluster {
    fn start(authority: &Authority) -> Result<Self> {
        Self::start_with(authority, vec![authority.folder.path().to_owned(); 3])
    }

    /// With certificates for each member from a folder; `authority` has the client's.
    pub(crate) fn start_with(authority: &Authority, files: Vec<PathBuf>) -> Result<Self> {
        let (held, folder) = (Ports::take()?, TempDir::with_prefix("quorate-test-")?);
        let ports = (0..3).map(|n| held.port(n * 3)).collect();
        let mut cluster = Self { ports, children: Vec::new(), folder, files, held };
        for n in 0..3 {
            let child = cluster.member(n)?;
            cluster.children.push(child);
        }
        let answers = || {
            let certificate = Some((authority, "client"));
            let answer = ctl(cluster.ports[0], &authority.path("ca.pem"), certificate, &["get", "k"]).ok()?;
            answer.status.success().then_some(())
        };
        let answered = eventually("answer over TLS", Duration::from_secs(30), answers);
        answered.with_context(|| fs::read_to_string(cluster.folder.path().join("m0.log")).unwrap_or_default())?;
        Ok(cluster)
    }

    /// What a member says of itself, on its admin endpoint.
    pub(crate) fn status(&self, n: u16) -> Result<MemberStatus> {
        Ok(serde_json::from_str(&get(&format!("127.0.0.1:{}", self.held.port(n * 3 + 2)), PATH_STATUS)?)?)
    }

    /// Kills a member and starts it again: every connection to it and from it is made anew.
    pub(crate) fn restart(&mut self, n: u16) -> Result<()> {
        let at = usize::from(n);
        self.children[at].kill()?;
        self.children[at].wait()?;
        self.children[at] = self.member(n)?;
        Ok(())
    }

    fn member(&self, n: u16) -> Result<std::process::Child> {
        let urls: Vec<String> =
            (0..3).map(|n| format!("m{n}=https://127.0.0.1:{}", self.held.port(n * 3 + 1))).collect();
        let urls = urls.join(",");
        let (client, peer) = (self.held.port(n * 3), self.held.port(n * 3 + 1));
        let file = |name: &str| self.files[usize::from(n)].join(name);
        let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
        let mut command = Command::new(tests::tree::quorate()?);
        command
            .arg("serve")
            .arg(format!("--name=m{n}"))
            .arg(format!("--data-dir={}", self.folder.path().join(format!("m{n}")).display()));
        command
            .arg(format!("--listen-client-urls=https://127.0.0.1:{client}"))
            .arg(format!("--advertise-client-urls=https://127.0.0.1:{client}"));
        command
            .arg(format!("--listen-admin-urls=http://127.0.0.1:{}", self.held.port(n * 3 + 2)))
            .arg(format!("--listen-peer-urls=https://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"));
        command.arg(format!("--initial-cluster={urls}")).args(["--client-cert-auth", "--peer-client-cert-auth"]);
        for (flag, file) in [("cert-file", &certificate), ("key-file", &key), ("trusted-ca-file", &ca)] {
            command.arg(format!("--{flag}={}", file.display())).arg(format!("--peer-{flag}={}", file.display()));
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join(format!("m{n}.log")))?;
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
