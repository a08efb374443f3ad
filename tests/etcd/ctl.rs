//! The real etcdctl.

use crate::{ctl, ctl_fails};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use tests::cluster::{Cluster, Flavor};

fn json(cluster: &Cluster, arguments: &[&str]) -> Result<Value> {
    let mut all = arguments.to_vec();
    all.extend(["-w", "json"]);
    Ok(serde_json::from_str(&ctl(cluster, &all)?)?)
}

#[test]
fn keys_and_values() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    assert_eq!(json(&cluster, &["get", "nothing"])?["header"]["revision"], 1, "an empty store is at revision 1");
    for (key, value) in [("a", "1"), ("b", "2"), ("b/x", "3"), ("c", "4")] {
        assert_eq!(ctl(&cluster, &["put", key, value])?, "OK\n");
    }
    assert_eq!(ctl(&cluster, &["get", "b"])?, "b\n2\n");
    assert_eq!(ctl(&cluster, &["get", "b", "--prefix"])?, "b\n2\nb/x\n3\n");
    assert_eq!(ctl(&cluster, &["get", "b", "c"])?, "b\n2\nb/x\n3\n", "the end of a range is left out");
    assert_eq!(
        ctl(&cluster, &["get", "b", "--from-key", "--keys-only"])?.split_whitespace().collect::<Vec<_>>(),
        ["b", "b/x", "c"]
    );
    assert_eq!(
        ctl(&cluster, &["get", "", "--prefix", "--order=DESCEND", "--limit=2", "--print-value-only"])?,
        "4\n3\n"
    );
    assert_eq!(ctl(&cluster, &["get", "a", "--rev=2", "--print-value-only"])?, "1\n");
    assert_eq!(ctl(&cluster, &["put", "a", "11", "--prev-kv"])?, "OK\na\n1\n");
    assert_eq!(ctl(&cluster, &["get", "a", "--rev=2", "--print-value-only"])?, "1\n", "history stays");
    let limited = json(&cluster, &["get", "", "--prefix", "--limit=1"])?;
    assert_eq!((&limited["count"], &limited["more"]), (&4.into(), &true.into()), "the count knows no limit");
    assert_eq!(ctl(&cluster, &["del", "b", "--prefix", "--prev-kv"])?, "2\nb\n2\nb/x\n3\n");
    assert_eq!(ctl(&cluster, &["del", "b"])?, "0\n");
    let kv = &json(&cluster, &["get", "a"])?["kvs"][0];
    assert_eq!((&kv["create_revision"], &kv["mod_revision"], &kv["version"]), (&2.into(), &6.into(), &2.into()));
    Ok(())
}

fn txn(cluster: &Cluster, script: &str) -> Result<String> {
    let mut child = tests::cluster::etcdctl_command()?
        .args(["txn"])
        .env("ETCDCTL_ENDPOINTS", cluster.endpoints())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input was asked for")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "etcdctl txn ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn transactions() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    ctl(&cluster, &["put", "k", "old"])?;
    let said = txn(&cluster, "value(\"k\") = \"old\"\n\nput k new\nget k\n\nget k\n\n")?;
    assert!(said.starts_with("SUCCESS"), "{said}");
    assert!(said.contains("k\nnew"), "a read in a transaction sees its earlier write: {said}");
    let said = txn(&cluster, "mod(\"k\") = \"2\"\n\nput k newer\n\nget k\n\n")?;
    assert!(said.starts_with("FAILURE") && said.contains("k\nnew"), "{said}");
    let said = txn(&cluster, "ver(\"k\") > \"1\"\ncreate(\"gone\") = \"0\"\n\ndel k\n\n\n")?;
    assert!(said.starts_with("SUCCESS"), "{said}");
    assert_eq!(ctl(&cluster, &["get", "k"])?, "");
    Ok(())
}

#[test]
fn compaction() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    for n in 0..10 {
        ctl(&cluster, &["put", "k", &n.to_string()])?;
    }
    assert_eq!(ctl(&cluster, &["compact", "6", "--physical"])?, "compacted revision 6\n");
    assert_eq!(
        ctl(&cluster, &["get", "k", "--rev=6", "--print-value-only"])?,
        "4\n",
        "the compacted revision itself stays readable"
    );
    let said = ctl_fails(&cluster, &["get", "k", "--rev=5"])?;
    assert!(said.contains("etcdserver: mvcc: required revision has been compacted"), "{said}");
    let said = ctl_fails(&cluster, &["get", "k", "--rev=99"])?;
    assert!(said.contains("etcdserver: mvcc: required revision is a future revision"), "{said}");
    let said = ctl_fails(&cluster, &["compact", "3"])?;
    assert!(said.contains("etcdserver: mvcc: required revision has been compacted"), "{said}");
    Ok(())
}

#[test]
fn endpoints() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    ctl(&cluster, &["put", "k", "v"])?;
    let all = json(&cluster, &["endpoint", "status"])?;
    let all = all.as_array().context("one status for each")?;
    assert_eq!(all.len(), 3);
    let field = |name: &str| all.iter().map(|one| one["Status"][name].clone()).collect::<Vec<_>>();
    assert!(field("version").iter().all(|version| version == "3.7.3"));
    assert!(field("leader").iter().all(|leader| *leader == all[0]["Status"]["leader"] && leader.as_u64() > Some(0)));
    let ids: std::collections::BTreeSet<u64> =
        all.iter().filter_map(|one| one["Status"]["header"]["member_id"].as_u64()).collect();
    assert_eq!(ids.len(), 3, "each answers with its own id");
    let health = json(&cluster, &["endpoint", "health"])?;
    assert!(health.as_array().context("one for each")?.iter().all(|one| one["health"] == true), "{health}");
    let hashes = json(&cluster, &["endpoint", "hashkv"])?;
    let hashes: Vec<&Value> =
        hashes.as_array().context("one for each")?.iter().map(|one| &one["HashKV"]["hash"]).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    assert!(ctl(&cluster, &["defrag"])?.contains("Finished defragmenting"));
    assert_eq!(ctl(&cluster, &["alarm", "list"])?, "");
    Ok(())
}

#[test]
fn members_and_leadership() -> Result<()> {
    let mut cluster = Cluster::start(Flavor::Quorate, 3, &[])?;
    let listed = json(&cluster, &["member", "list"])?;
    let members = listed["members"].as_array().context("a list")?;
    assert_eq!(members.len(), 3);
    assert!(
        members.iter().all(|member| member["clientURLs"].as_array().is_some_and(|urls| !urls.is_empty())),
        "{listed}"
    );

    let leader = cluster.leader()?;
    let target = (leader + 1) % 3;
    let id =
        members.iter().find(|member| member["name"] == cluster.members[target].name.as_str()).context("listed")?["ID"]
            .as_u64();
    let hex = format!("{:x}", id.context("an id")?);
    let follower = cluster.members[target].client.clone();
    let refused = tests::cluster::etcdctl(&follower, &["move-leader", &hex])?;
    assert!(!refused.status.success(), "only the leader hands over");
    let moved = ctl(&cluster, &["move-leader", &hex])?;
    assert!(moved.contains("Leadership transferred"), "{moved}");
    assert_eq!(cluster.leader()?, target);

    let joining = cluster.joining("m4", &[])?;
    let url = format!("http://{}", cluster.members[joining].peer);
    assert!(ctl(&cluster, &["member", "add", "m4", "--learner", "--peer-urls", &url])?.contains("added to cluster"));
    let said = ctl_fails(&cluster, &["member", "add", "m5", "--learner", "--peer-urls", &url])?;
    assert!(said.contains("Peer URLs already exists"), "{said}");
    let listed = json(&cluster, &["member", "list"])?;
    let learner = listed["members"].as_array().and_then(|all| all.iter().find(|member| member["isLearner"] == true));
    let id = learner.and_then(|member| member["ID"].as_u64()).context("a learner is listed")?;
    let said = ctl_fails(&cluster, &["member", "promote", &format!("{id:x}")])?;
    assert!(said.contains("can only promote a learner member which is in sync with leader"), "{said}");
    assert!(
        ctl(&cluster, &["member", "update", &format!("{id:x}"), "--peer-urls", "http://127.0.0.1:1"])?
            .contains("updated")
    );
    assert!(ctl(&cluster, &["member", "remove", &format!("{id:x}")])?.contains("removed"));
    let said = ctl_fails(&cluster, &["member", "remove", "1234"])?;
    assert!(said.contains("member not found"), "{said}");
    Ok(())
}

#[test]
fn limits_answer_with_the_words_of_the_contract() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &["--max-txn-ops=4", "--max-request-bytes=10000"])?;
    let said = ctl_fails(&cluster, &["put", "k", &"x".repeat(11_000)])?;
    assert!(said.contains("etcdserver: request is too large"), "{said}");
    let said = ctl_fails(&cluster, &["put", "", "v"])?;
    assert!(said.contains("key is not provided"), "{said}");
    let said = ctl_fails(&cluster, &["put", "missing", "--ignore-value"])?;
    assert!(said.contains("etcdserver: key not found"), "{said}");
    Ok(())
}

#[test]
fn a_full_quota_raises_the_alarm_and_deletions_still_work() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &["--quota-backend-bytes=2000000"])?;
    let value = "x".repeat(100_000);
    let refused = (0..200).find_map(|n| {
        let output = cluster.etcdctl(&["put", &format!("k{n}"), &value]).ok()?;
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    let refused = refused.context("the quota is enforced")?;
    assert!(refused.contains("etcdserver: mvcc: database space exceeded"), "{refused}");
    assert!(ctl(&cluster, &["alarm", "list"])?.contains("NOSPACE"));
    assert!(ctl(&cluster, &["get", "k0", "--keys-only"])?.contains("k0"));
    assert!(ctl(&cluster, &["del", "", "--prefix"])?.trim().parse::<u32>()? > 0);
    let revision = json(&cluster, &["get", "x"])?["header"]["revision"].to_string();
    ctl(&cluster, &["compact", "--physical", &revision])?;
    ctl(&cluster, &["defrag"])?;
    ctl(&cluster, &["alarm", "disarm"])?;
    assert_eq!(ctl(&cluster, &["put", "again", "there is room"])?, "OK\n");
    Ok(())
}
