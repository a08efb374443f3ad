//! What the members say, put together: each speaks of itself, and only a leader that hears its quorum of the others.

use crate::children::{Names, PORT_ADMIN, ordinal_of, pod_name};
use crate::member::{MemberClient, Trust};
use admin_api::{FollowerRole, MemberStatus, Members, Replication, Role, StreamState};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use plan::{Follower, MadeOf, Member, MemberId, Membership, Memory, Ordinal, Shown};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What the members said.
#[derive(Clone, Default)]
pub struct Said {
    /// Each of itself.
    pub statuses: BTreeMap<Ordinal, MemberStatus>,
    /// The leader of all.
    pub membership: Option<Membership>,
    /// The leader, to be told what to do.
    pub leader: Option<MemberClient>,
    /// Everybody who has an address, led or not.
    pub clients: BTreeMap<Ordinal, MemberClient>,
}

impl Said {
    /// What the plan needs to know of each member.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<Ordinal, Shown> {
        let shown = |status: &MemberStatus| Shown {
            member: MemberId(status.identity.member_id.0),
            corrupt: status.alarms.contains(&admin_api::Alarm::Corrupt),
            cluster: status.identity.cluster_id.0,
            last: (status.log.last_term, status.log.last_index),
            knows_leader: status.leader.is_some(),
            made_of: status.recovered.as_ref().and_then(made_of),
        };
        self.statuses.iter().map(|(ordinal, status)| (*ordinal, shown(status))).collect()
    }
}

fn made_of(recovered: &admin_api::QuorumRecovered) -> Option<MadeOf> {
    Some(MadeOf { request: recovered.request.clone()?, cluster: recovered.former_cluster_id.0 })
}

/// Asks all members at once. One that does not answer is a fact, not an error.
pub(super) async fn ask(names: &Names, pods: &BTreeMap<Ordinal, Pod>, trust: &Trust, memory: &Memory) -> Said {
    let clients: Vec<(Ordinal, MemberClient)> =
        pods.iter().filter_map(|(ordinal, pod)| Some((*ordinal, client(names, *ordinal, pod, trust)?))).collect();
    let statuses = join_all(clients.iter().map(|(ordinal, client)| async move {
        let status = client.status().await;
        (*ordinal, status)
    }));
    let mut said = Said::default();
    for (ordinal, status) in statuses.await {
        match status {
            Ok(status) => {
                said.statuses.insert(ordinal, status);
            }
            Err(error) => tracing::debug!(member = %pod_name(&names.cluster, ordinal), %error, "does not answer"),
        }
    }
    said.clients = clients.into_iter().collect();
    // Two may think that they lead. Only one of them can hear a quorum.
    for ordinal in leading(&said.statuses, memory) {
        let client = said.clients[&ordinal].clone();
        if let Some(membership) = confirmed(names, &client).await {
            said.membership = Some(membership);
            said.leader = Some(client);
            break;
        }
    }
    said
}

/// Those who think that they lead this cluster. What is left of one that was given up may lead itself.
fn leading(statuses: &BTreeMap<Ordinal, MemberStatus>, memory: &Memory) -> Vec<Ordinal> {
    let leads = |status: &MemberStatus| status.role == Role::Leader && memory.counts(status.identity.cluster_id.0);
    statuses.iter().filter(|(_, status)| leads(status)).map(|(ordinal, _)| *ordinal).collect()
}

/// What a leader says of its cluster, as soon as a quorum has confirmed that it leads.
pub async fn confirmed(names: &Names, leader: &MemberClient) -> Option<Membership> {
    let replication = leader.replication().await.ok()?;
    let members = leader.members().await.ok()?;
    membership(&names.cluster, &members, &replication)
}

fn client(names: &Names, ordinal: Ordinal, pod: &Pod, trust: &Trust) -> Option<MemberClient> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let port = u16::try_from(PORT_ADMIN).ok()?;
    Some(MemberClient::new(address, port, names.host(ordinal), trust.clone()))
}

/// `None` when the two answers speak of different configurations: the next look will not.
fn membership(cluster: &str, members: &Members, replication: &Replication) -> Option<Membership> {
    if members.config_index != replication.config_index {
        return None;
    }
    let one = |member: &admin_api::Member| {
        let follower = replication.followers.iter().find(|follower| follower.member == member.id);
        let leads = member.id == replication.leader;
        let unknown = || Follower {
            lag_entries: replication.last_index,
            lag: Duration::MAX,
            silent_for: None,
            streaming: false,
            caught_up_for: None,
        };
        let follower = (!leads).then(|| follower.map_or_else(unknown, seen));
        let role = replication.followers.iter().find(|there| there.member == member.id).map(|there| there.role);
        let voter = member.voter && role != Some(FollowerRole::Learner);
        (MemberId(member.id.0), Member { ordinal: place(cluster, member), voter, follower })
    };
    Some(Membership {
        cluster: members.cluster_id.0,
        config_index: members.config_index,
        settled: members.committed && !members.joint,
        leader: MemberId(replication.leader.0),
        members: members.members.iter().map(one).collect(),
    })
}

/// By its name; one that has not joined yet may have none, and has the address of its place.
fn place(cluster: &str, member: &admin_api::Member) -> Option<Ordinal> {
    ordinal_of(cluster, &member.name).or_else(|| {
        let url = member.peer_urls.first()?;
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        ordinal_of(cluster, host.split(['.', ':']).next()?)
    })
}

fn seen(follower: &admin_api::Follower) -> Follower {
    let seconds = |value: f64| Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX);
    Follower {
        lag_entries: follower.lag_entries,
        lag: seconds(follower.lag_seconds),
        silent_for: follower.silent_for_seconds.map(seconds),
        streaming: follower.state == StreamState::Replicate,
        caught_up_for: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin_api::Id;

    fn member(id: u64, name: &str, url: &str, voter: bool) -> admin_api::Member {
        admin_api::Member { id: Id(id), name: name.into(), voter, peer_urls: vec![url.into()], client_urls: Vec::new() }
    }

    fn two() -> (Members, Replication) {
        let members = Members {
            cluster_id: Id(0xc),
            config_index: 9,
            committed: true,
            joint: false,
            members: vec![
                member(1, "m-0", "https://m-0.m-peer.ns.svc:2380", true),
                member(2, "", "https://m-1.m-peer.ns.svc:2380", false),
            ],
        };
        let follower = admin_api::Follower {
            member: Id(2),
            role: FollowerRole::Learner,
            state: StreamState::Replicate,
            lag_entries: 5,
            lag_seconds: 0.5,
            silent_for_seconds: Some(0.1),
            ..admin_api::Follower::default()
        };
        let replication =
            Replication { leader: Id(1), config_index: 9, followers: vec![follower], ..Replication::default() };
        (members, replication)
    }

    #[test]
    fn members_have_their_places_by_name_or_by_address() {
        let (members, replication) = two();
        let seen = membership("m", &members, &replication).expect("one configuration");
        assert_eq!(seen.at(0).map(|(id, member)| (id, member.voter)), Some((MemberId(1), true)));
        let (id, learner) = seen.at(1).expect("by its address");
        assert_eq!((id, learner.voter), (MemberId(2), false));
        assert_eq!(learner.follower.as_ref().map(|follower| follower.lag_entries), Some(5));
        assert!(seen.members[&MemberId(1)].follower.is_none(), "the leader follows nobody");
    }

    #[test]
    fn a_leader_of_a_cluster_that_was_given_up_is_not_asked() {
        let leader = |cluster: u64| {
            let identity = admin_api::Identity { cluster_id: Id(cluster), ..admin_api::Identity::default() };
            MemberStatus { identity, role: Role::Leader, ..MemberStatus::default() }
        };
        let statuses = BTreeMap::from([(0, leader(7)), (1, leader(9)), (2, MemberStatus::default())]);
        assert_eq!(leading(&statuses, &Memory { cluster: Some(7), ..Memory::default() }), [0, 1]);
        let recovery = plan::Recovery {
            request: "monday".into(),
            survivor: 1,
            former: 7,
            stage: plan::RecoveryStage::Recovered { cluster: 9 },
            started: plan::Time(0),
        };
        let memory = Memory { cluster: Some(9), recovery: Some(recovery), ..Memory::default() };
        assert_eq!(leading(&statuses, &memory), [1]);
    }

    #[test]
    fn answers_about_different_configurations_are_no_answer() {
        let (members, mut replication) = two();
        replication.config_index = 10;
        assert_eq!(membership("m", &members, &replication), None);
    }

    #[test]
    fn a_member_the_leader_says_nothing_of_is_far_behind() {
        let (members, mut replication) = two();
        replication.followers.clear();
        let seen = membership("m", &members, &replication).expect("one configuration");
        let follower = seen.members[&MemberId(2)].follower.as_ref().expect("a follower");
        assert!(!follower.streaming && follower.silent_for.is_none());
    }
}
