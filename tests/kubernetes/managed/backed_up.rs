//! Snapshots in an object store, encrypted, with everything secret from Secrets that come after the cluster: nothing is
//! staged before, nobody restarts when they come, the store may go away under load, and a member that has lost its volume
//! comes back from the store.

use super::scenario;
use crate::WRITES_AGAIN_WITHIN;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::kind::Cluster;
use tests::kind::servers::S3;
use tests::kube::fault::pod;
use tests::kube::operator::{CHANGED_WITHIN, Managed, claim_name, pod_name};

const BUCKET: &str = "quorate-backups";
const PREFIX: &str = "db";
/// The Secret with the store's keys, and the one with the keys that members encrypt with.
const STORE_SECRET: &str = "store";
const KEYS_SECRET: &str = "backup-keys";
/// Where the operator puts the second one.
const KEYS_FILE: &str = "/etc/quorate/backup-encryption/keys";
/// An encryption key: what is in a test is no secret.
const KEY: &str = "5f3a7c9be20d4186aa51c0f7d8e6b394175c2ad0936ef84b7d21c05ea8f9b316";

/// The kubelet looks at Secrets about once a minute, and members at its files every minute.
const SECRET_SEEN_WITHIN: Duration = Duration::from_secs(240);
/// Some of the intervals below.
const STAGED_WITHIN: Duration = Duration::from_secs(90);
/// Another member takes the place and has fetched the snapshot.
const REPAIRED_WITHIN: Duration = Duration::from_secs(180);

fn spec(store: &S3) -> Value {
    json!({
        "objectStore": {
            "s3": {
                "endpoint": store.endpoint(), "region": S3::REGION, "bucket": BUCKET, "prefix": PREFIX,
                "credentialsSecretRef": { "name": STORE_SECRET },
            },
            "encryption": { "keySecretRef": { "name": KEYS_SECRET } },
        },
        // Snapshots often, and a log that is cut close behind them: a newcomer has to fetch one.
        "config": { "extra": {
            "backup-interval": "5s", "log-segment-bytes": "65536", "snapshot-count": "1",
            "snapshot-catchup-entries": "50", "log-tail-bytes": "65536",
        } },
    })
}

#[test]
fn encrypted_snapshots_are_staged_when_their_secrets_come_and_bring_a_lost_member_back() -> Result<()> {
    let mut store = S3::start(&Cluster::current()?.host_address()?)?;
    store.bucket(BUCKET)?;
    let spec = spec(&store);
    scenario("backed-up", 3, &spec, |managed, _| {
        let pods = managed.pods()?;
        waits_for_its_secrets(managed, &store)?;
        let load = managed.load(&[0, 1, 2], 31);
        staged(managed)?;
        ensure!(managed.pods()? == pods, "a member was restarted for a Secret");
        only_who_has_the_key_reads(managed, &store)?;

        store.stop();
        managed.space().wait("a member that says the store is away", STAGED_WITHIN, || {
            Ok((0..3).any(|at| figure(managed, at, "quorate_backup_failing").is_ok_and(|on| on > 0.0)).then_some(()))
        })?;
        load.wait_acknowledged(200, WRITES_AGAIN_WITHIN).context("writes without the store")?;
        store.resume()?;
        staged(managed)?;

        let follower = comes_back_from_the_store(managed)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0, 1, 2]))?;
        let fetched = figure(managed, follower, "quorate_snapshot_fetched_bytes_total{source=\"objects\"}")?;
        ensure!(fetched > 0.0, "place {follower} has fetched nothing from the store");
        eprintln!("{} writes, {fetched} bytes from the store, stall {:?}", report.acknowledged, report.longest_stall);
        Ok(())
    })
}

/// It serves, and says what it lacks; then both Secrets come.
fn waits_for_its_secrets(managed: &Managed, store: &S3) -> Result<()> {
    let is = |status: &'static str, reason: &'static str| {
        let says = move || managed.condition("ObjectStoreReady");
        let asked = move |said: &(String, String)| *said == (status.to_owned(), reason.to_owned());
        managed.space().wait_for(reason, WRITES_AGAIN_WITHIN, says, asked)
    };
    is("False", "SecretMissing")?;
    let literal = |key: &str, value: &str| format!("--from-literal={key}={value}");
    let (id, secret) = (literal("ACCESS_KEY_ID", S3::ACCESS_KEY), literal("ACCESS_SECRET_KEY", S3::SECRET_KEY));
    managed.space().kubectl(&["create", "secret", "generic", STORE_SECRET, &id, &secret])?;
    is("False", "SecretMissing")?;
    ensure!(objects(store)?.is_empty(), "something was staged without a key");
    managed.space().kubectl(&["create", "secret", "generic", KEYS_SECRET, &literal("backup.key", KEY)])?;
    is("True", "SecretsPresent").map(drop)
}

/// Waits for a snapshot of what is written by now.
fn staged(managed: &Managed) -> Result<()> {
    let begun = Instant::now();
    let last = (0..3).filter_map(|at| figure(managed, at, "quorate_last_index").ok()).fold(0.0, f64::max);
    managed.space().wait("a newer snapshot in the store", SECRET_SEEN_WITHIN, || {
        let index = (0..3).filter_map(|at| figure(managed, at, "quorate_backup_index").ok()).fold(0.0, f64::max);
        Ok((index > last).then_some(()))
    })?;
    eprintln!("a snapshot newer than entry {last} is staged after {:?}", begun.elapsed());
    Ok(())
}

/// Every object is opaque, and the program itself reads them with the key alone.
fn only_who_has_the_key_reads(managed: &Managed, store: &S3) -> Result<()> {
    let found = objects(store)?;
    ensure!(found.len() >= 2, "a manifest and a chunk: {found:?}");
    for object in &found {
        let bytes = fs::read(object).with_context(|| format!("{}", object.display()))?;
        ensure!(!String::from_utf8_lossy(&bytes).contains("chunk"), "{} can be read", object.display());
    }
    let place = format!(
        "s3://{BUCKET}/{PREFIX}?endpoint={}&region={}&credentials-dir=/etc/quorate/object-store",
        store.endpoint(),
        S3::REGION
    );
    let inside = pod_name(0);
    let verify = ["exec", &inside, "--", "/quorate", "snapshot", "verify", &place];
    let told = managed.space().kubectl(&[&verify[..], &["--encryption-key-file", KEYS_FILE]].concat())?;
    eprintln!("verified: {}", told.trim());
    let without = managed.space().kubectl(&verify).err().context("it was read without the key")?;
    ensure!(format!("{without:#}").contains("key"), "the key is not what is missing: {without:#}");
    Ok(())
}

/// A follower's pod and claim go; the one in its place fetches a snapshot.
fn comes_back_from_the_store(managed: &Managed) -> Result<usize> {
    let leader = managed.leader()?;
    let follower = (0..3).find(|at| *at != leader).context("a follower")?;
    let ids = managed.ids(leader)?;
    let begun = Instant::now();
    pod::delete_with_claim(managed.space(), &pod_name(follower), &claim_name(follower))?;
    managed.space().wait("another member in its place", REPAIRED_WITHIN, || {
        let now = managed.ids(managed.leader()?)?;
        ensure!(now.iter().any(|id| !ids.contains(id)), "no new member");
        Ok(Some(()))
    })?;
    managed.wait_settled(CHANGED_WITHIN)?;
    eprintln!("place {follower} is back after {:?}", begun.elapsed());
    Ok(follower)
}

/// The value of a series on the page of a member.
fn figure(managed: &Managed, at: usize, series: &str) -> Result<f64> {
    let page = managed.metrics(at)?;
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.with_context(|| format!("no {series} at place {at}"))
}

/// The files in which the store keeps the cluster's objects.
fn objects(store: &S3) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![store.objects().join(BUCKET).join(PREFIX)];
    while let Some(folder) = folders.pop().filter(|folder| Path::is_dir(folder)) {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}
