//! Real handshakes, over an in-memory pipe and over loopback.

use super::test_authority::{Authority, mutual};
use super::*;
use crate::config::settings::{Tls, TlsIdentity, TlsVersion};
use std::fs;
use std::io;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::server::TlsStream;

type Accepted = TlsStream<DuplexStream>;

/// One member's settings, signed by `ca`.
fn member(ca: &Authority, dir: &Path, name: &str) -> Tls {
    mutual(ca.leaf(name, &["localhost"]).save(dir, name), ca.save(dir, name))
}

/// A handshake and one byte each way, so that both sides know that the other agreed.
async fn talk(
    server: &ServerTls,
    client: &ClientTls,
) -> io::Result<(Accepted, impl AsyncReadExt + AsyncWriteExt + use<>)> {
    let (near, far) = duplex(64 * 1024);
    let accepting = async {
        let mut stream = server.accept(far).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        stream.read_u8().await?;
        io::Result::Ok(stream)
    };
    let calling = async {
        let mut stream = client.connect("localhost", near).await?;
        stream.write_all(b"?").await?;
        stream.flush().await?;
        stream.read_u8().await?;
        io::Result::Ok(stream)
    };
    let (accepted, called) = tokio::join!(accepting, calling);
    Ok((accepted?, called?))
}

async fn refusal(server: &Tls, client: &Tls) -> String {
    let (server, client) =
        (ServerTls::new(server, ALPN_CLIENTS).unwrap(), ClientTls::new(client, ALPN_CLIENTS).unwrap());
    match talk(&server, &client).await {
        Ok(_) => panic!("they should not have agreed"),
        Err(error) => error.to_string(),
    }
}

async fn agreed(server: &Tls, client: &Tls) -> Accepted {
    let (server, client) =
        (ServerTls::new(server, ALPN_CLIENTS).unwrap(), ClientTls::new(client, ALPN_CLIENTS).unwrap());
    talk(&server, &client).await.unwrap().0
}

#[tokio::test]
async fn what_a_side_tells_of_its_certificates_is_what_handshakes_use() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let settings = member(&old, dir.path(), "m1");
    let ca_file = settings.trusted_ca_file.clone().unwrap();
    let server = ServerTls::new(&settings, ALPN_CLIENTS).unwrap();
    let client = ClientTls::new(&settings, ALPN_CLIENTS).unwrap();
    let in_use = InUse::new(vec![server.clone(), server], (None, Some(client)));
    let (clients, peers) = (in_use.towards_clients(), in_use.towards_peers());
    assert_eq!(clients, peers, "one Secret, two ends");
    let [before] = &clients[..] else { panic!("one: {clients:?}") };
    assert_eq!(before.trusted.len(), 1);
    let left = before.not_after.unwrap().duration_since(std::time::SystemTime::now()).unwrap();
    assert!(left < std::time::Duration::from_secs(24 * 3600), "{left:?}");

    // Another authority is trusted, too.
    let both = fs::read_to_string(&ca_file).unwrap() + &fs::read_to_string(new.save(dir.path(), "new")).unwrap();
    fs::write(&ca_file, both).unwrap();
    let [after] = &in_use.towards_clients()[..] else { panic!("one") };
    assert_eq!((after.trusted.len(), after.certificate), (2, before.certificate));
    assert!(before.trusted.iter().all(|digest| after.trusted.contains(digest)));

    // What cannot be used is not told of.
    fs::write(&ca_file, "nothing").unwrap();
    assert_eq!(in_use.towards_clients().first(), Some(after));
    new.leaf("m1", &["localhost"]).save(dir.path(), "m1");
    new.save(dir.path(), "m1");
    let [last] = &in_use.towards_peers()[..] else { panic!("one") };
    assert!(last.certificate != after.certificate && last.trusted.len() == 1);
    assert_eq!(InUse::default().towards_clients(), []);
}

#[tokio::test]
async fn members_of_one_authority_talk_and_know_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let stream = agreed(&member(&ca, dir.path(), "m1"), &member(&ca, dir.path(), "m2")).await;
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(common_name(&chain[0]).unwrap(), "m2");
    assert_eq!(stream.get_ref().1.alpn_protocol().unwrap(), b"h2");
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_no_port() {
    let dir = tempfile::tempdir().unwrap();
    let (peers, clients) = (Authority::new("peers"), Authority::new("clients"));
    let m1 = member(&peers, dir.path(), "m1");
    // A client that even trusts the members' authority, so that only the server can refuse.
    let mut stranger = member(&clients, dir.path(), "stranger");
    stranger.trusted_ca_file.clone_from(&m1.trusted_ca_file);
    assert!(refusal(&m1, &stranger).await.contains("UnknownIssuer"), "the member does not know who signed it");
    let suspicious = member(&clients, dir.path(), "suspicious");
    let mut welcoming = m1.clone();
    welcoming.trusted_ca_file.clone_from(&suspicious.trusted_ca_file);
    assert!(refusal(&welcoming, &suspicious).await.contains("UnknownCA"), "the caller does not know who signed it");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let m1 = member(&ca, dir.path(), "m1");
    let mut late = m1.clone();
    late.identity = TlsIdentity::Files(ca.expired_leaf("late", &["localhost"]).save(dir.path(), "late"));
    let refused = refusal(&m1, &late).await;
    assert!(refused.contains("certificate expired"), "{refused}");
}

#[tokio::test]
async fn no_certificate_is_refused_where_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let m1 = member(&ca, dir.path(), "m1");
    let server = ServerTls::new(&m1, ALPN_CLIENTS).unwrap();
    let roots = load::roots(m1.trusted_ca_file.as_ref().unwrap()).unwrap();
    let provider = protocol::provider(&m1);
    let bare = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let bare = bare.with_root_certificates(roots).with_no_client_auth();
    let (near, far) = duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(bare));
    let (accepted, _) = tokio::join!(server.accept(far), connector.connect("localhost".try_into().unwrap(), near));
    assert!(accepted.unwrap_err().to_string().contains("peer sent no certificates"));
}

#[tokio::test]
async fn a_name_that_is_not_allowed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let (mut m1, m2) = (member(&ca, dir.path(), "m1"), member(&ca, dir.path(), "m2"));
    m1.allowed_cns = vec!["m2".into(), "m3".into()];
    agreed(&m1, &m2).await;
    m1.allowed_cns = vec!["m3".into()];
    assert!(refusal(&m1, &m2).await.contains("ApplicationVerificationFailure"));
    m1.allowed_cns.clear();
    m1.allowed_hostnames = vec!["localhost".into()];
    agreed(&m1, &m2).await;
    m1.allowed_hostnames = vec!["elsewhere".into()];
    assert!(refusal(&m1, &m2).await.contains("ApplicationVerificationFailure"));
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_once_the_list_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let mut m1 = member(&ca, dir.path(), "m1");
    let mut m2 = member(&ca, dir.path(), "m2");
    m2.identity = TlsIdentity::Files(ca.numbered_leaf("m2", &["localhost"], 66).save(dir.path(), "m2"));
    let list = dir.path().join("crl");
    fs::write(&list, ca.revoke(65)).unwrap();
    m1.crl_file = Some(list.clone());
    let (server, client) = (ServerTls::new(&m1, ALPN_CLIENTS).unwrap(), ClientTls::new(&m2, ALPN_CLIENTS).unwrap());
    talk(&server, &client).await.unwrap();
    fs::write(&list, ca.revoke(66)).unwrap();
    let Err(refused) = talk(&server, &client).await else { panic!("revoked, and yet let in") };
    assert!(refused.to_string().contains("Revoked"), "{refused}");
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_while_old_ones_live() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let (m1, m2) = (member(&ca, dir.path(), "m1"), member(&ca, dir.path(), "m2"));
    let (server, client) = (ServerTls::new(&m1, ALPN_CLIENTS).unwrap(), ClientTls::new(&m2, ALPN_CLIENTS).unwrap());
    let (mut old_near, mut old_far) = talk(&server, &client).await.unwrap();
    let renewed = ca.leaf("m2-renewed", &["localhost"]);
    renewed.save(dir.path(), "m2");
    let (new, _open) = talk(&server, &client).await.unwrap();
    assert_eq!(common_name(&new.get_ref().1.peer_certificates().unwrap()[0]).unwrap(), "m2-renewed");
    old_far.write_all(b"still here").await.unwrap();
    old_far.flush().await.unwrap();
    let mut heard = [0; 10];
    old_near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

#[tokio::test]
async fn a_half_done_renewal_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let (m1, m2) = (member(&ca, dir.path(), "m1"), member(&ca, dir.path(), "m2"));
    let (server, client) = (ServerTls::new(&m1, ALPN_CLIENTS).unwrap(), ClientTls::new(&m2, ALPN_CLIENTS).unwrap());
    fs::write(dir.path().join("m1.crt"), ca.leaf("m1", &["localhost"]).cert).unwrap(); // and not its key
    talk(&server, &client).await.unwrap();
}

/// etcd spoke what was old and weak unless told otherwise (TOB-ETCD-015).
#[tokio::test]
async fn a_version_below_the_least_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let (mut m1, mut m2) = (member(&ca, dir.path(), "m1"), member(&ca, dir.path(), "m2"));
    m1.version_min = TlsVersion::Tls13;
    m2.version_max = TlsVersion::Tls12;
    refusal(&m1, &m2).await;
    m1.version_min = TlsVersion::Tls12;
    let stream = agreed(&m1, &m2).await;
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

/// As above (TOB-ETCD-015).
#[tokio::test]
async fn only_the_cipher_suites_named_are_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let (mut m1, mut m2) = (member(&ca, dir.path(), "m1"), member(&ca, dir.path(), "m2"));
    m2.version_max = TlsVersion::Tls12;
    m1.cipher_suites = vec!["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".into()];
    let stream = agreed(&m1, &m2).await;
    let spoken = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(spoken, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    m2.cipher_suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".into()];
    refusal(&m1, &m2).await;
}

#[tokio::test]
async fn members_with_certificates_of_their_own_making_talk() {
    let dir = tempfile::tempdir().unwrap();
    let own = |name: &str| Tls {
        identity: TlsIdentity::SelfSigned {
            dir: dir.path().join(name),
            hosts: vec!["localhost".into()],
            valid_for: Duration::from_secs(3600),
        },
        trusted_ca_file: None,
        client_auth: false,
        ..mutual(Authority::new("x").leaf("x", &[]).save(dir.path(), "x"), dir.path().join("unused"))
    };
    agreed(&own("m1"), &own("m2")).await;
}

/// etcd waited for ever (GHSA-6vch-q96h-7gc3).
#[tokio::test]
async fn a_caller_that_stalls_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerTls::new(&member(&Authority::new("ca"), dir.path(), "m1"), ALPN_CLIENTS).unwrap();
    let (_silent, far) = duplex(64);
    let accepted = server.accept_within(Duration::from_millis(20), far).await;
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_bad_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("ca");
    let good = member(&ca, dir.path(), "m1");
    let refused = |tls: &Tls| {
        ServerTls::new(tls, ALPN_CLIENTS).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR")
    };
    let mut missing = good.clone();
    missing.trusted_ca_file = Some(dir.path().join("none"));
    assert_eq!(refused(&missing), "DIR/none: No such file or directory (os error 2)");
    fs::write(dir.path().join("m1.ca"), "hello").unwrap();
    assert_eq!(refused(&good), "DIR/m1.ca: holds no PEM certificate");
    ca.save(dir.path(), "m1");
    fs::write(dir.path().join("m1.key"), ca.leaf("other", &[]).key).unwrap();
    assert!(refused(&good).starts_with("DIR/m1.key: does not go with its certificate"), "{}", refused(&good));
}
