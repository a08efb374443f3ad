//! A request to make a new cluster of this member, because the quorum of its own is lost.

use super::problem::Refusal;
use crate::node::Handle;
use crate::recovery::{Desk, REQUEST_BYTES_MAX};
use admin_api::{Id, RecoverQuorum, RecoveryTaken};
use std::time::Duration;
use tracing::warn;

/// A member that hears of a leader within this is in the middle of an election, and has lost nothing.
const LISTEN_FOR: Duration = Duration::from_secs(3);

/// Takes the request down and ends the member, unless it was carried out before.
pub(super) async fn recover(node: &Handle, desk: &Desk, asked: RecoverQuorum) -> Result<RecoveryTaken, Refusal> {
    let RecoverQuorum { request, expected_cluster_id, expected_member_id, accept_data_loss } = asked;
    if request.is_empty() || request.len() > REQUEST_BYTES_MAX {
        return Err(Refusal::not_understood(format!("request is a word of 1 to {REQUEST_BYTES_MAX} bytes")));
    }
    if !accept_data_loss {
        return Err(Refusal::not_understood("acceptDataLoss must be true: what only other members had is lost"));
    }
    if desk.has_done(&request) {
        return Ok(RecoveryTaken { request, done: true });
    }
    let identity = node.identity();
    let (cluster, member) = (Id(identity.cluster.0), Id(identity.member.0));
    if (cluster, member) != (expected_cluster_id, expected_member_id) {
        return Err(Refusal::other_member(cluster, member));
    }
    if let Some(leader) = leader(node).await {
        return Err(Refusal::has_leader(leader));
    }
    desk.take(&request).await.map_err(|error| Refusal::broken(error.to_string()))?;
    warn!(request, "asked to recover a lost quorum: ending, so that the next start makes a new cluster of this member");
    node.end_to_recover();
    Ok(RecoveryTaken { request, done: false })
}

/// The leader that this member knows, or hears of within a moment.
async fn leader(node: &Handle) -> Option<Id> {
    let mut leadership = node.leadership();
    let known = leadership.wait_for(|known| known.leader.is_some());
    let heard = tokio::time::timeout(LISTEN_FOR, known).await.ok()?.ok()?;
    heard.leader.map(|leader| Id(leader.0))
}
