//! A claim is lost with its data. What starts in its place is not the member that the cluster knows: it says so, says
//! what to do, and that helps.

use crate::{WRITES_AGAIN_WITHIN, scenario};
use anyhow::{Context, Result, ensure};
use quorate::bootstrap::EXIT_DISK_REPLACED;
use quorate::etcd::proto::etcdserverpb::{MemberAddRequest, MemberRemoveRequest};
use tests::client::Client;
use tests::kube::Quorate;
use tests::kube::fault::pod;
use tests::kube::quorate::{MEMBERS, READY_WITHIN, pod_name};

#[test]
fn a_member_whose_claim_is_lost_is_refused_until_it_is_removed_and_added() -> Result<()> {
    scenario("claim-lost", lose_a_claim)
}

fn lose_a_claim(quorate: &Quorate) -> Result<()> {
    let load = quorate.load(13);
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    let leader = quorate.wait_caught_up(50)?;
    let lost = (leader + 1) % MEMBERS;
    let old = quorate.status(lost)?.identity;
    let name = pod_name(lost);
    pod::delete_with_claim(quorate.space(), &name, &format!("data-{name}"))?;
    let code = Some(i32::from(EXIT_DISK_REPLACED));
    quorate.space().wait_for(
        &format!("{name} ending with code {EXIT_DISK_REPLACED}"),
        READY_WITHIN,
        || Ok(pod::last_exit_code(&quorate.pod(lost)?)),
        |ended| *ended == code,
    )?;
    let log = quorate
        .space()
        .kubectl(&["logs", &name])
        .or_else(|_| quorate.space().kubectl(&["logs", "--previous", &name]))?;
    ensure!(log.contains("disk was replaced; remove and add it"), "{log}");
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;

    replace(quorate, leader, old.member_id.0, &old.peer_urls)?;
    // What waits for its next start after several failures need not be waited for.
    pod::delete_now(quorate.space(), &name)?;
    quorate.wait_member_ready(lost)?;
    let new = quorate.status(lost)?.identity;
    ensure!(new.member_id != old.member_id && new.storage_id != old.storage_id, "{new:?} {old:?}");
    quorate.wait_caught_up(50)?;
    load.wait_acknowledged(100, WRITES_AGAIN_WITHIN)?;
    load.stop_and_judge_at(&quorate.dials())?;
    Ok(())
}

/// What the log says to do, as any client of etcd does it.
fn replace(quorate: &Quorate, at: usize, member: u64, peer_urls: &[String]) -> Result<()> {
    let dials = quorate.dials();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut client = Client::dial(dials.get(at).context("a member")?)?;
        client.cluster.member_remove(MemberRemoveRequest { id: member }).await.context("member remove")?;
        let add = MemberAddRequest { peer_ur_ls: peer_urls.to_vec(), ..MemberAddRequest::default() };
        client.cluster.member_add(add).await.context("member add")?;
        Ok(())
    })
}
