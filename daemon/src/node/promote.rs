//! Members that were added to vote while one member voted: with two voters nothing is committed without the second, not
//! even which disk it has. So such a member comes as a learner, and the leader makes it a voter when it has caught up.

use super::{ChangeFailure, Handle, MembersView};
use crate::bootstrap::NodeInfo;
use raft::{Change, MembershipError};
use std::time::Duration;
use tracing::{info, warn};

/// How often somebody looks whether one can vote by now.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Promotes them as long as this member leads.
pub(super) async fn watch(handle: Handle) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !handle.status().is_leader() {
            continue;
        }
        let view = handle.members();
        let Some(changes) = due(&view) else { continue };
        match handle.change_membership(Some(view.at), changes).await {
            Ok(index) => info!(%index, "a member that was added to vote has become a voter"),
            Err(ChangeFailure::Stopped) => return,
            // It has yet to come near, or something else is being changed: there is another look.
            Err(ChangeFailure::Refused(
                MembershipError::Lagging { .. }
                | MembershipError::InProgress { .. }
                | MembershipError::Outdated { .. }
                | MembershipError::TooEarly
                | MembershipError::Transferring
                | MembershipError::NotLeader { .. },
            )) => {}
            Err(error) => warn!(%error, "a member that was added to vote cannot be promoted, will try again"),
        }
    }
}

/// What makes a voter of the first member that is to be one and has a disk.
fn due(view: &MembersView) -> Option<Vec<Change>> {
    let waits = |info: &NodeInfo| info.becomes_voter && info.storage.is_some();
    let member = view.members.iter().find(|member| member.learner && waits(&member.info))?;
    let info = NodeInfo { becomes_voter: false, ..member.info.clone() };
    Some(vec![Change::Promote(member.id), Change::Update(member.id, info.encode())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::StorageId;
    use crate::node::solo::Solo;
    use raft::MemberId;

    const SECOND: MemberId = MemberId(8);

    fn second(becomes_voter: bool, bound: bool) -> NodeInfo {
        let storage = bound.then(|| StorageId::from_bytes([8; 16]));
        NodeInfo { peer_urls: vec!["http://127.0.0.1:2390".into()], storage, becomes_voter, ..NodeInfo::default() }
    }

    /// A member that leads, and a learner that describes itself so.
    async fn with_learner(info: NodeInfo) -> Handle {
        let handle = Solo::start().handle();
        handle.change_membership(None, vec![Change::AddLearner(SECOND, info.encode())]).await.expect("it is taken");
        handle
    }

    #[tokio::test]
    async fn a_learner_that_was_added_to_vote_becomes_a_voter_once_it_has_a_disk() {
        let handle = with_learner(second(true, true)).await;
        let watching = tokio::spawn(watch(handle.clone()));
        let voter = async {
            while handle.members().get(SECOND).is_none_or(|member| member.learner) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(20 * LOOK_EVERY, voter).await.expect("it is promoted");
        assert_eq!(handle.members().get(SECOND).expect("it is there").info, second(false, true), "it happens once");
        watching.abort();
    }

    #[tokio::test]
    async fn nobody_else_is_promoted() {
        for info in [second(true, false), second(false, true)] {
            let handle = with_learner(info.clone()).await;
            assert_eq!(due(&handle.members()), None, "{info:?}");
        }
    }
}
