//! Backup and restore as a person does them: `etcdctl snapshot save`, `quorate snapshot`, `quorate restore`.

use crate::{ctl, ctl_fails};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tests::cluster::{Cluster, Flavor, Member};
use tests::tree;

fn quorate(arguments: &[&str]) -> Result<Output> {
    std::process::Command::new(tree::quorate()?).args(arguments).output().context("run quorate")
}

/// Runs quorate and returns what it printed.
fn runs(arguments: &[&str]) -> Result<String> {
    let output = quorate(arguments)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "quorate {}: {out}{err}", arguments.join(" "));
    Ok(out.into_owned())
}

/// Runs quorate, which must fail, and returns what it complained about.
fn fails(arguments: &[&str]) -> Result<String> {
    let output = quorate(arguments)?;
    ensure!(!output.status.success(), "quorate {} succeeded", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Keys that were changed, deleted and compacted.
fn fill(cluster: &Cluster) -> Result<()> {
    for n in 0..30 {
        ctl(cluster, &["put", &format!("key{}", n % 20), &format!("{n:04}").repeat(2000)])?;
    }
    ctl(cluster, &["del", "key7"])?;
    ctl(cluster, &["compact", "12", "--physical"])?;
    ctl(cluster, &["put", "last", "word"])?;
    Ok(())
}

/// The hash of the keys at a revision, which every member must have.
fn hash(cluster: &Cluster, revision: i64) -> Result<Value> {
    let all: Value =
        serde_json::from_str(&ctl(cluster, &["endpoint", "hashkv", &format!("--rev={revision}"), "-w", "json"])?)?;
    let hashes: Vec<Value> =
        all.as_array().context("one for each")?.iter().map(|one| one["HashKV"]["hash"].clone()).collect();
    ensure!(hashes.iter().all(|hash| *hash == hashes[0] && hash.is_u64()), "{hashes:?}");
    Ok(hashes[0].clone())
}

fn header(cluster: &Cluster) -> Result<Value> {
    let got: Value = serde_json::from_str(&ctl(cluster, &["get", "last", "-w", "json"])?)?;
    Ok(got["header"].clone())
}

fn restore(place: &str, member: &Member, list: &str, more: &[&str]) -> Result<String> {
    let (data, url) = (member.data(), format!("http://{}", member.peer));
    fs::create_dir_all(data.parent().context("it is in a folder")?)?;
    let data = text(&data)?;
    let flags = ["restore", place, "--name", &member.name, "--data-dir", data, "--initial-advertise-peer-urls", &url];
    runs(&[&flags[..], &["--initial-cluster", list, "--initial-cluster-token", "test"], more].concat())
}

fn list(cluster: &Cluster) -> String {
    let urls = cluster.members.iter().map(|member| format!("{}=http://{}", member.name, member.peer));
    urls.collect::<Vec<_>>().join(",")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("paths of tests are text")
}

#[test]
fn what_etcdctl_saves_becomes_a_new_cluster_of_another_size() -> Result<()> {
    let old = Cluster::start(Flavor::Quorate, 1, &[])?;
    fill(&old)?;
    let (revision, before) = (33, hash(&old, 33)?);
    let backup = old.folder().join("backup.db");
    let saved = ctl(&old, &["snapshot", "save", text(&backup)?])?;
    assert!(saved.contains("Snapshot saved at"), "{saved}");
    ctl(&old, &["put", "after", "the backup"])?;

    let mut new = Cluster::planned(Flavor::Quorate, 3, &[])?;
    let list = list(&new);
    for member in &new.members {
        let said = restore(text(&backup)?, member, &list, &[])?;
        assert!(said.contains("revision     33") && said.contains("restored: member"), "{said}");
    }
    new.start_all()?;
    assert_eq!(hash(&new, revision)?, before);
    assert_eq!(ctl(&new, &["get", "last", "--print-value-only"])?, "word\n");
    assert_eq!(ctl(&new, &["get", "after"])?, "");
    let said = ctl_fails(&new, &["get", "key1", "--rev=11"])?;
    assert!(said.contains("required revision has been compacted"), "{said}");
    let (was, is) = (header(&old)?, header(&new)?);
    assert_ne!(was["cluster_id"], is["cluster_id"], "it is another cluster");
    let listed = ctl(&new, &["member", "list"])?;
    assert_eq!((listed.lines().count(), listed.matches("started").count()), (3, 3), "{listed}");
    assert!(!listed.contains(&old.members[0].client), "nothing is left of the old member: {listed}");

    ctl(&new, &["put", "life", "goes on"])?;
    for member in &mut new.members {
        member.kill()?;
    }
    new.start_all()?;
    assert_eq!(ctl(&new, &["get", "life", "--print-value-only"])?, "goes on\n");
    assert_eq!(hash(&new, revision)?, before);
    Ok(())
}

#[test]
fn a_store_of_backups_is_listed_checked_restored_and_thinned_out() -> Result<()> {
    let mut old = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let spare = old.joining("never-started", &[])?;
    let endpoint = format!("http://{}", old.members[spare].client);
    old.members[0].with_flag(format!("--listen-admin-urls={endpoint}"));
    old.members[0].spawn()?;
    old.members[0].wait_ready()?;
    fill(&old)?;
    let before = hash(&old, 0)?;
    let store = old.folder().join("backups");
    fs::create_dir(&store)?;
    let store = text(&store)?.to_owned();
    let take = ["snapshot", "take", "--endpoints", &endpoint, "--to", &store];
    let first = runs(&take)?;
    assert!(first.contains(" 0 bytes were there already"), "{first}");
    let first = first.split(':').next().context("an id")?.to_owned();
    ctl(&old, &["put", "second", "snapshot"])?;
    runs(&take)?;
    let listed = runs(&["snapshot", "ls", &store])?;
    assert_eq!(listed.lines().count(), 3, "a line of heads and two snapshots: {listed}");
    assert!(listed.contains(&first[..12]), "{listed}");
    assert!(runs(&["snapshot", "inspect", &store, &first])?.contains("revision     33"));
    assert_eq!(runs(&["snapshot", "verify", &store, "--all"])?.lines().count(), 2);

    let new = Cluster::planned(Flavor::Quorate, 1, &[])?;
    spoilt_is_refused(&store, &first, &new)?;
    let mut new = new;
    let more = ["--bump-revision", "1000000", "--mark-compacted"];
    let list = list(&new);
    restore(&store, &new.members[0], &list, &more)?;
    let again = restore(&store, &new.members[0], &list, &more).expect_err("it has a store now").to_string();
    assert!(again.contains("is not empty"), "{again}");
    new.start_all()?;
    assert_eq!(ctl(&new, &["get", "second", "--print-value-only"])?, "snapshot\n");
    assert_eq!(header(&new)?["revision"], 1_000_034);
    let said = ctl_fails(&new, &["get", "last", "--rev=32"])?;
    assert!(said.contains("required revision has been compacted"), "{said}");

    let kept = fails(&["snapshot", "delete", &store, &newest(&store)?])?;
    assert!(kept.contains("is the newest snapshot of its cluster"), "{kept}");
    assert!(runs(&["snapshot", "delete", &store, &first])?.contains("is deleted, with "));
    assert_eq!(runs(&["snapshot", "ls", &store])?.lines().count(), 2);
    runs(&["snapshot", "verify", &store])?;
    assert_eq!(hash(&old, 33)?, before, "nothing of this has touched the member");
    Ok(())
}

#[test]
fn an_encrypted_store_is_of_use_with_its_key_alone() -> Result<()> {
    let mut old = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let spare = old.joining("never-started", &[])?;
    let endpoint = format!("http://{}", old.members[spare].client);
    let (store, key, other) = (old.folder().join("backups"), old.folder().join("key"), old.folder().join("other"));
    fs::create_dir(&store)?;
    fs::write(&key, "5a".repeat(32))?;
    fs::write(&other, "a5".repeat(32))?;
    let (store, key, other) = (text(&store)?.to_owned(), text(&key)?.to_owned(), text(&other)?.to_owned());
    old.members[0].with_flag(format!("--listen-admin-urls={endpoint}"));
    old.members[0].spawn()?;
    old.members[0].wait_ready()?;
    fill(&old)?;
    let before = hash(&old, 33)?;
    let take = ["snapshot", "take", "--endpoints", &endpoint, "--to", &store];
    let with_key = ["--encryption-key-file", &key];
    let plain = runs(&take)?;
    let plain = plain.split(':').next().context("an id")?;
    ctl(&old, &["put", "more", "to say"])?;
    let first = runs(&[&take[..], &with_key].concat())?;
    assert!(first.contains(" 0 bytes were there already"), "nothing is shared with what is not encrypted: {first}");
    ctl(&old, &["put", "second", "snapshot"])?;
    runs(&[&take[..], &with_key].concat())?;
    let refused = fails(&take)?;
    assert!(refused.contains("without a key the next snapshot would not be"), "{refused}");

    for wrong in [&[][..], &["--encryption-key-file", &other]] {
        for command in [&["snapshot", "inspect", &store][..], &["snapshot", "verify", &store], &["restore", &store]] {
            let refused = fails(&[command, wrong].concat())?;
            assert!(refused.contains("manifests/") && refused.contains("is encrypted with key "), "{refused}");
        }
    }
    let listed = runs(&[&["snapshot", "ls", &store][..], &with_key].concat())?;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let told = runs(&[&["snapshot", "inspect", &store][..], &with_key].concat())?;
    assert!(told.contains("encrypted    with key "), "{told}");
    assert_eq!(runs(&[&["snapshot", "verify", &store, "--all"][..], &with_key].concat())?.lines().count(), 3);

    let mut new = Cluster::planned(Flavor::Quorate, 1, &[])?;
    let list = list(&new);
    let refused = fails(&[&["restore", &store, plain][..], &with_key].concat())?;
    assert!(refused.contains("is not encrypted, so whoever can write"), "{refused}");
    restore(&store, &new.members[0], &list, &with_key)?;
    new.start_all()?;
    assert_eq!(hash(&new, 33)?, before);
    assert_eq!(ctl(&new, &["get", "second", "--print-value-only"])?, "snapshot\n");
    let said = runs(&["snapshot", "delete", &store, plain])?;
    assert!(
        said.contains("its chunks are left for the next deletion: ") && said.contains("no key was given"),
        "{said}"
    );
    Ok(())
}

fn newest(store: &str) -> Result<String> {
    let listed = runs(&["snapshot", "ls", store])?;
    Ok(listed.lines().last().and_then(|line| line.split_whitespace().next()).context("a snapshot")?.to_owned())
}

/// Every file of a snapshot, changed, cut or gone, is named, and nothing is written.
fn spoilt_is_refused(store: &str, id: &str, new: &Cluster) -> Result<()> {
    let digests = runs(&["snapshot", "inspect", store, id, "--chunks"])?;
    let digests: Vec<&str> =
        digests.lines().filter_map(|line| line.strip_prefix("chunk")?.split_whitespace().next()).collect();
    ensure!(!digests.is_empty(), "a snapshot has chunks");
    let data = new.members[0].data();
    let is_part = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        digests.contains(&&*name) || name.ends_with(&format!("-{id}"))
    };
    for path in files(Path::new(store))?.iter().filter(is_part) {
        let whole = fs::read(path)?;
        let name = path.strip_prefix(store)?.display().to_string();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for bytes in [Some(&flipped[..]), Some(&whole[..whole.len() - 1]), Some(b""), None] {
            match bytes {
                Some(bytes) => fs::write(path, bytes)?,
                None => fs::remove_file(path)?,
            }
            let verified = fails(&["snapshot", "verify", store, id])?;
            let restored = fails(&["restore", store, id, "--data-dir", text(&data)?])?;
            // A snapshot is there when its manifest is.
            let named: &str = if path.exists() || !name.contains(id) { &name } else { id };
            ensure!(verified.contains(named) && restored.contains(named), "{name}: {verified} {restored}");
            ensure!(!data.exists(), "nothing was written");
        }
        fs::write(path, whole)?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { all.extend(files(&path)?) } else { all.push(path) }
    }
    Ok(all)
}
