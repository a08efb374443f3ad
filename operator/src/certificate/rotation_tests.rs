//! Changes of authorities with real certificates: real handshakes between those who hold what was published before and
//! after a step, and years of renewals in simulated time.

use super::*;
use crate::children::Names;
use crate::crd::RaftCluster;
use admin_api::Side;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use plan::{RotationStep, Spread, rotate};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const STEPS: [RotationStep; 3] = [RotationStep::Announce, RotationStep::HandOver, RotationStep::Retire];

fn cluster(tls: &Value) -> RaftCluster {
    let meta = json!({ "name": "m", "namespace": "ns", "uid": "6f1c" });
    let spec = json!({ "version": "0.1.0", "tls": tls });
    let whole = json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": meta, "spec": spec });
    serde_json::from_value(whole).expect("a cluster")
}

fn side(cluster: &RaftCluster, side: Side) -> SidePlan {
    let mut plans = side_plans(cluster).expect("it reads");
    plans.remove(plans.iter().position(|plan| plan.side == side).expect("a side of our own"))
}

/// The authorities as the next look finds them: through the Secret.
fn stored(cluster: &RaftCluster, name: &str, authorities: &Authorities) -> Authorities {
    Authorities::read(name, &authorities.to_secret(cluster, name)).expect("what was written reads")
}

/// What is published after each step of a whole change, the state before it first.
fn change(cluster: &RaftCluster, plan: &SidePlan) -> Vec<Vec<Secret>> {
    let now = Timestamp::now();
    let publish = |authorities: &Authorities| {
        plan.leaves.iter().map(|leaf| leaf.make(cluster, authorities, now).expect("it is made")).collect::<Vec<_>>()
    };
    let mut authorities = Authorities::first(&plan.authority, 0, now).expect("randomness");
    let mut published = vec![publish(&authorities)];
    for step in STEPS {
        authorities = authorities.after(step, &plan.authority, 1, now).expect("randomness");
        authorities = stored(cluster, &plan.authority, &authorities);
        published.push(publish(&authorities));
    }
    published
}

fn pem(secret: &Secret, key: &str) -> Vec<u8> {
    secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone()).expect("it is there")
}

fn roots(secret: &Secret) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&pem(secret, "ca.crt")) {
        roots.add(authority.expect("PEM")).expect("an authority");
    }
    Arc::new(roots)
}

fn identity(secret: &Secret) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(&pem(secret, "tls.crt")).collect::<Result<_, _>>().expect("PEM");
    (chain, PrivateKeyDer::from_pem_slice(&pem(secret, "tls.key")).expect("PEM"))
}

/// A whole handshake with certificates on both sides, without a wire.
fn handshake(listens: &Secret, calls: &Secret, host: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(listens), Arc::clone(&provider));
    let (chain, key) = identity(listens);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build().expect("authorities"))
        .with_single_cert(chain, key)?;
    let (chain, key) = identity(calls);
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(calls))
        .with_client_auth_cert(chain, key)?;
    let name = ServerName::try_from(host.to_owned()).expect("a host");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.wants_write() || server.wants_write() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut there).expect("memory");
        }
        server.read_tls(&mut there.as_slice()).expect("memory");
        server.process_new_packets()?;
        while server.wants_write() {
            server.write_tls(&mut back).expect("memory");
        }
        client.read_tls(&mut back.as_slice()).expect("memory");
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn agree(one: &Secret, other: &Secret, host: &str) -> bool {
    handshake(one, other, host).is_ok() && handshake(other, one, host).is_ok()
}

#[test]
fn members_before_and_after_each_step_connect_and_two_steps_apart_they_do_not() {
    let cluster = cluster(&json!({}));
    let published = change(&cluster, &side(&cluster, Side::Peer));
    let host = Names::of(&cluster).host(1);
    let peer: Vec<&Secret> = published.iter().map(|all| &all[0]).collect();
    for pair in peer.windows(2) {
        assert!(agree(pair[0], pair[0], &host) && agree(pair[0], pair[1], &host) && agree(pair[1], pair[1], &host));
    }
    // What the waiting is for.
    for apart in [(0, 2), (0, 3), (1, 3)] {
        assert!(!agree(peer[apart.0], peer[apart.1], &host), "{apart:?}");
    }
}

#[test]
fn clients_that_are_a_step_late_are_served_and_believe_who_serves_them() {
    let cluster = cluster(&json!({}));
    let plan = side(&cluster, Side::Client);
    assert_eq!(plan.leaves.iter().map(SecretPlan::is_for_members).collect::<Vec<_>>(), [true, false]);
    let published = change(&cluster, &plan);
    let host = format!("{}.ns.svc", Names::of(&cluster).client_service());
    for at in 0..published.len() {
        let server = &published[at][0];
        for client in published[at.saturating_sub(1)..=at].iter().map(|all| &all[1]) {
            handshake(server, client, &host).unwrap_or_else(|error| panic!("after step {at}: {error}"));
        }
    }
    assert!(handshake(&published[2][0], &published[0][1], &host).is_err(), "it has never heard of the next one");
}

#[test]
fn what_a_secret_holds_is_told_by_digests() {
    let cluster = cluster(&json!({}));
    let published = change(&cluster, &side(&cluster, Side::Peer));
    let held: Vec<Held> = published.iter().map(|all| Held::of(&all[0]).expect("it reads")).collect();
    assert_eq!(held.iter().map(|held| held.trusted.len()).collect::<Vec<_>>(), [1, 2, 2, 1]);
    assert_eq!(held[1].trusted, held[2].trusted);
    assert!(held[1].trusted.contains(&held[0].trusted[0]) && held[1].trusted.contains(&held[3].trusted[0]));
    assert_ne!(held[0].trusted, held[3].trusted);
    let names: Vec<_> = held.iter().map(|held| &held.certificate).collect();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each step makes another certificate: {names:?}");
    assert_eq!(Held::of(&Secret::default()), None);
}

#[test]
fn a_secret_from_before_changes_were_recorded_signs_as_before_and_is_changed() {
    let cluster = cluster(&json!({}));
    let plan = side(&cluster, Side::Peer);
    let mut secret = Authorities::first(&plan.authority, 0, Timestamp::now()).unwrap().to_secret(&cluster, "x");
    secret.metadata.annotations = None;
    let there = Authorities::read(&plan.authority, &secret).expect("it reads");
    assert_eq!(there.active().name(), plan.authority);
    let step = rotate(&plan.wanted, &there.planned(), Spread::Everywhere, plan::Time(0));
    assert_eq!(step, Some(RotationStep::Announce));
    for (key, value) in [("tls.key", None), ("quorate.io/authorities", Some("{"))] {
        let mut damaged = secret.clone();
        match value {
            None => drop(damaged.data.as_mut().expect("data").remove(key)),
            Some(text) => damaged.metadata.annotations = Some([(key.to_owned(), text.to_owned())].into()),
        }
        let why = Authorities::read(&plan.authority, &damaged).err().expect("it does not read");
        assert!(why.contains(key), "{why}");
    }
}

#[test]
fn what_is_left_of_a_change_is_taken_out_of_the_secret() {
    let cluster = cluster(&json!({}));
    let plan = side(&cluster, Side::Peer);
    let mut authorities = Authorities::first(&plan.authority, 0, Timestamp::now()).unwrap();
    let mut keys = Vec::new();
    for step in STEPS {
        authorities = authorities.after(step, &plan.authority, 1, Timestamp::now()).unwrap();
        let patch = authorities.to_patch(&cluster, &plan.authority, Some("7")).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let data = patch["data"].as_object().expect("data");
        keys.push(data.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone()).collect::<Vec<_>>());
        // Whatever another step had put there goes.
        assert_eq!(data.len(), 5);
    }
    let (announced, handed_over) =
        (["next.crt", "next.key", "tls.crt", "tls.key"], ["previous.crt", "tls.crt", "tls.key"]);
    assert_eq!(keys[0], announced);
    assert_eq!(keys[1], handed_over, "the key that signed before is gone");
    assert_eq!(keys[2], ["tls.crt", "tls.key"]);
}

#[test]
fn a_request_and_how_long_steps_stand_are_the_spec_s() {
    let both = json!({ "generation": 3, "overlap": "90m" });
    let asked = cluster(&json!({ "client": { "selfSigned": both }, "peer": { "selfSigned": {} } }));
    let (client, peer) = (side(&asked, Side::Client).wanted, side(&asked, Side::Peer).wanted);
    assert_eq!((client.generation, client.overlap), (3, Duration::from_secs(90 * 60)));
    assert_eq!((peer.generation, peer.overlap), (0, Duration::ZERO), "members say themselves what they hold");
    let least = side(&cluster(&json!({})), Side::Client).wanted;
    assert_eq!((least.generation, least.overlap), (0, Duration::from_secs(24 * 3600)));
    let given = cluster(&json!({ "client": { "secretName": "given" }, "peer": { "secretName": "given" } }));
    assert_eq!(side_plans(&given), Ok(Vec::new()), "what is given is not ours to change");
}

/// Whether a certificate is believed at a moment.
fn verified(secret: &Secret, host: &str, now: Timestamp) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(secret), provider).build().expect("authorities");
    let name = ServerName::try_from(host.to_owned()).expect("a host");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().expect("after 1970")));
    verifier.verify_server_cert(&identity(secret).0[0], &[], &name, &[], at).is_ok()
}

#[test]
fn in_thirty_years_no_certificate_is_ever_over_and_authorities_change_a_handful_of_times() {
    let cluster = cluster(&json!({}));
    let plan = side(&cluster, Side::Peer);
    let (leaf, host) = (&plan.leaves[0], Names::of(&cluster).host(0));
    let mut now = Timestamp::now();
    let end = now + SignedDuration::from_hours(24 * 365 * 30);
    let mut authorities = Authorities::first(&plan.authority, 0, now).expect("randomness");
    let mut secret = leaf.make(&cluster, &authorities, now).expect("it is made");
    let (mut announced, mut made) = (0, 0);
    while now < end {
        assert!(verified(&secret, &host, now), "at {now}");
        let spread = match leaf.judge(Some(&secret), &authorities, now) {
            Keep::AsItIs => Spread::Everywhere,
            Keep::MakeAnew => Spread::Partly,
        };
        if let Some(step) = rotate(&plan.wanted, &authorities.planned(), spread, crate::wanted::time(now)) {
            authorities = authorities.after(step, &plan.authority, 0, now).expect("randomness");
            announced += u32::from(step == RotationStep::Announce);
        }
        if leaf.judge(Some(&secret), &authorities, now) == Keep::MakeAnew {
            secret = leaf.make(&cluster, &authorities, now).expect("it is made");
            made += 1;
        }
        now += SignedDuration::from_hours(24 * 7);
    }
    // One each three and a half years; a certificate each eight months, and each time its authority changes.
    assert!((8..=9).contains(&announced), "{announced} changes");
    assert!((45..=80).contains(&made), "{made} certificates");
}

#[test]
fn a_certificate_is_not_made_anew_again_and_again_under_an_authority_that_ends() {
    let cluster = cluster(&json!({}));
    let plan = side(&cluster, Side::Peer);
    let now = Timestamp::now();
    let authorities = Authorities::first(&plan.authority, 0, now).expect("randomness");
    // A month before the authority ends, nothing better can be had.
    let late = authorities.active().ends().expect("it is written") - SignedDuration::from_hours(24 * 30);
    let secret = plan.leaves[0].make(&cluster, &authorities, late).expect("it is made");
    assert_eq!(plan.leaves[0].judge(Some(&secret), &authorities, late), Keep::AsItIs);
    let early = plan.leaves[0].make(&cluster, &authorities, late - SignedDuration::from_hours(24 * 360)).unwrap();
    assert_eq!(plan.leaves[0].judge(Some(&early), &authorities, late), Keep::MakeAnew);
}
