//! The Cluster service: who is a member. Any member serves it; the node passes changes on to the leader.
//!
//! A change is judged twice: here, in etcd's words, against the configuration this member sees; and by the leader,
//! which refuses it if another configuration is in force by then.

use super::Api;
use super::port::Families;
use super::proto::etcdserverpb as pb;
use super::status::Refusal;
use crate::bootstrap::NodeInfo;
use crate::config::Address;
use crate::node::{MemberView, MembersView};
use raft::{Change, MemberId};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// A voter that was silent for so long does not count as reachable: etcd's own figure.
const SILENCE_MAX: Duration = Duration::from_secs(5);

impl Api {
    async fn member_add(&self, add: pb::MemberAddRequest) -> Result<pb::MemberAddResponse, Refusal> {
        let peer_urls = peer_urls(&add.peer_ur_ls)?;
        let view = self.node.members();
        refuse_taken_urls(&view, None, &peer_urls)?;
        if add.is_learner {
            refuse_another_learner(&view, self.limits.learners_max)?;
        } else if self.limits.strict_reconfig_check {
            refuse_unless_quorum_started(&view, Resize::Add)?;
            self.refuse_unless_healthy(None).await?;
        }
        let id = new_id(&view);
        // A second voter would have to acknowledge its own addition before it has a disk. See `node::promote`.
        let becomes_voter = !add.is_learner && view.members.iter().filter(|member| !member.learner).count() == 1;
        let info = NodeInfo { peer_urls, becomes_voter, ..NodeInfo::default() };
        refuse_long(&info)?;
        let change = match add.is_learner || becomes_voter {
            true => Change::AddLearner(id, info.encode()),
            false => Change::AddVoter(id, info.encode()),
        };
        self.node.change_membership(Some(view.at), vec![change]).await?;
        let member = pb::Member { id: id.0, peer_ur_ls: info.peer_urls, is_learner: add.is_learner, ..<_>::default() };
        let members = self.members_with(&member);
        Ok(pb::MemberAddResponse { header: self.header_without_revision(), member: Some(member), members })
    }

    async fn member_remove(&self, remove: pb::MemberRemoveRequest) -> Result<pb::MemberRemoveResponse, Refusal> {
        let id = MemberId(remove.id);
        let view = self.node.members();
        let member = view.get(id).ok_or(Refusal::MemberNotFound)?;
        if self.limits.strict_reconfig_check && !member.learner {
            refuse_unless_quorum_started(&view, Resize::Remove(id))?;
            self.refuse_unless_healthy(Some(id)).await?;
        }
        self.node.change_membership(Some(view.at), vec![Change::Remove(id)]).await?;
        let mut members = self.members();
        members.retain(|member| member.id != remove.id);
        Ok(pb::MemberRemoveResponse { header: self.header_without_revision(), members })
    }

    async fn member_update(&self, update: pb::MemberUpdateRequest) -> Result<pb::MemberUpdateResponse, Refusal> {
        let peer_urls = peer_urls(&update.peer_ur_ls)?;
        let id = MemberId(update.id);
        let view = self.node.members();
        let member = view.get(id).ok_or(Refusal::MemberNotFound)?;
        refuse_taken_urls(&view, Some(id), &peer_urls)?;
        let info = NodeInfo { peer_urls, ..member.info.clone() };
        refuse_long(&info)?;
        let updated = pb::Member { peer_ur_ls: info.peer_urls.clone(), ..pb::Member::from(member) };
        self.node.change_membership(Some(view.at), vec![Change::Update(id, info.encode())]).await?;
        let members = self.members_with(&updated);
        Ok(pb::MemberUpdateResponse { header: self.header_without_revision(), members })
    }

    async fn member_promote(&self, promote: pb::MemberPromoteRequest) -> Result<pb::MemberPromoteResponse, Refusal> {
        let id = MemberId(promote.id);
        let view = self.node.members();
        let member = view.get(id).ok_or(Refusal::MemberNotFound)?;
        if !member.learner {
            return Err(Refusal::MemberNotLearner);
        }
        if self.limits.strict_reconfig_check {
            refuse_unless_quorum_started(&view, Resize::Promote(id))?;
        }
        let promoted = pb::Member { is_learner: false, ..pb::Member::from(member) };
        self.node.change_membership(Some(view.at), vec![Change::Promote(id)]).await?;
        let members = self.members_with(&promoted);
        Ok(pb::MemberPromoteResponse { header: self.header_without_revision(), members })
    }

    async fn member_list(&self, list: pb::MemberListRequest) -> Result<pb::MemberListResponse, Refusal> {
        if list.linearizable {
            self.node.linearize().await?;
        }
        Ok(pb::MemberListResponse { header: self.header_without_revision(), members: self.members() })
    }

    fn members(&self) -> Vec<pb::Member> {
        self.node.members().members.iter().map(Into::into).collect()
    }

    /// The members, with `changed` as the committed change has it even if this member has not heard of it yet.
    fn members_with(&self, changed: &pb::Member) -> Vec<pb::Member> {
        let mut members = self.members();
        match members.iter_mut().find(|member| member.id == changed.id) {
            Some(member) => *member = changed.clone(),
            None => members.push(changed.clone()),
        }
        members
    }

    /// Every voter must be reachable for another to be added; a majority of those that stay for one to be removed.
    /// Only the leader knows; it is asked only where it is at hand.
    async fn refuse_unless_healthy(&self, leaving: Option<MemberId>) -> Result<(), Refusal> {
        let status = self.node.inspect().await.ok_or(Refusal::Stopped)?;
        let voters: Vec<_> = status.raft.followers.iter().filter(|follower| !follower.learner).collect();
        // One that this leader has never heard is as silent as one it has not heard for long.
        let silent = |member: &&&raft::FollowerStatus| member.silent_for.is_none_or(|silence| silence > SILENCE_MAX);
        let healthy = match leaving {
            None => !voters.iter().any(|voter| silent(&voter)),
            // Taking out a voter that is gone costs no quorum.
            Some(id) if voters.iter().any(|voter| voter.member == id && silent(&voter)) => true,
            Some(id) => {
                let staying = voters.iter().filter(|voter| voter.member != id);
                let reachable = staying.clone().filter(|voter| !silent(voter)).count();
                2 * (reachable + 1) > staying.count() + 1
            }
        };
        if healthy { Ok(()) } else { Err(Refusal::Unhealthy) }
    }
}

/// How the voters change.
#[derive(Clone, Copy)]
enum Resize {
    Add,
    Promote(MemberId),
    Remove(MemberId),
}

/// The voters as they would be must have a majority of members that have started: one that was only added cannot
/// acknowledge anything.
fn refuse_unless_quorum_started(view: &MembersView, resize: Resize) -> Result<(), Refusal> {
    let will_vote = |member: &&MemberView| match resize {
        Resize::Add => !member.learner,
        Resize::Promote(id) => !member.learner || member.id == id,
        Resize::Remove(id) => !member.learner && member.id != id,
    };
    let voters = view.members.iter().filter(will_vote);
    let started = voters.clone().filter(|member| is_started(member)).count();
    let count = voters.count() + usize::from(matches!(resize, Resize::Add));
    // A cluster of one may grow: its only member is started, or it could not answer.
    let first_growth = count == 2 && started == 1 && matches!(resize, Resize::Add);
    if started > count / 2 || first_growth { Ok(()) } else { Err(Refusal::NotEnoughStarted) }
}

/// A member publishes its name once it has started.
fn is_started(member: &MemberView) -> bool {
    !member.name.is_empty()
}

fn refuse_another_learner(view: &MembersView, learners_max: usize) -> Result<(), Refusal> {
    let learners = view.members.iter().filter(|member| member.learner).count();
    if learners >= learners_max { Err(Refusal::TooManyLearners) } else { Ok(()) }
}

/// No two members are reached under the same URL.
fn refuse_taken_urls(view: &MembersView, except: Option<MemberId>, urls: &[String]) -> Result<(), Refusal> {
    let others = view.members.iter().filter(|member| Some(member.id) != except);
    let taken: BTreeSet<&String> = others.flat_map(|member| &member.info.peer_urls).collect();
    if urls.iter().any(|url| taken.contains(url)) { Err(Refusal::PeerUrlExists) } else { Ok(()) }
}

/// More addresses than a description holds.
fn refuse_long(info: &NodeInfo) -> Result<(), Refusal> {
    if info.fits() { Ok(()) } else { Err(Refusal::MemberBadUrls) }
}

/// Peer URLs in their one written form, sorted.
///
/// # Errors
/// [`Refusal::MemberBadUrls`] if there is none, or one that is no URL of a peer.
pub fn peer_urls(urls: &[String]) -> Result<Vec<String>, Refusal> {
    let parsed: Result<BTreeSet<String>, _> =
        urls.iter().map(|url| url.trim().parse::<Address>().map(|address| address.to_string())).collect();
    match parsed {
        Ok(urls) if !urls.is_empty() => Ok(urls.into_iter().collect()),
        Ok(_) | Err(_) => Err(Refusal::MemberBadUrls),
    }
}

/// A random id that no member has or had.
fn new_id(view: &MembersView) -> MemberId {
    loop {
        let id = MemberId(getrandom::u64().expect("the system gives random numbers"));
        if id != MemberId::NONE && view.get(id).is_none() && !view.removed.contains(&id) {
            return id;
        }
    }
}

impl From<&MemberView> for pb::Member {
    fn from(member: &MemberView) -> Self {
        Self {
            id: member.id.0,
            name: member.name.clone(),
            peer_ur_ls: member.info.peer_urls.clone(),
            client_ur_ls: member.client_urls.clone(),
            is_learner: member.learner,
        }
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Families {
    async fn member_add(&self, add: Request<pb::MemberAddRequest>) -> Result<Response<pb::MemberAddResponse>, Status> {
        Ok(Response::new(self.api().member_add(add.into_inner()).await?))
    }

    async fn member_remove(
        &self,
        remove: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Ok(Response::new(self.api().member_remove(remove.into_inner()).await?))
    }

    async fn member_update(
        &self,
        update: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Ok(Response::new(self.api().member_update(update.into_inner()).await?))
    }

    async fn member_list(
        &self,
        list: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        Ok(Response::new(self.api().member_list(list.into_inner()).await?))
    }

    async fn member_promote(
        &self,
        promote: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Ok(Response::new(self.api().member_promote(promote.into_inner()).await?))
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
