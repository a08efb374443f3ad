//! What the node shows, in the words of the endpoint.

use crate::bootstrap::Recovered;
use crate::install::ProgressView;
use crate::node::{Handle, Inspection, MemberView, MembersView};
use crate::tls::{InUse, Shown};
use admin_api::{
    Alarm, CertificatesInUse, DatabaseSize, Follower, FollowerRole, Id, Identity, LogPosition, Member, MemberStatus,
    Members, PausedReason, QuorumRecovered, Replication, Role, Side, SnapshotProgress, StreamState,
};
use mvcc::AlarmKind;
use raft::{FollowerStatus, MemberId, RoleName};
use std::time::SystemTime;

/// A member that has more than this to apply is not ready for clients yet.
const READY_LAG_ENTRIES_MAX: u64 = 5000;

/// What the member says of itself.
pub(super) fn status(node: &Handle, seen: &Inspection, quota_bytes: u64) -> MemberStatus {
    let (identity, members, store) = (node.identity(), node.members(), node.store());
    let me = members.get(identity.member);
    let raft = &seen.raft;
    let size = store.size();
    MemberStatus {
        identity: Identity {
            cluster_id: Id(identity.cluster.0),
            member_id: Id(identity.member.0),
            storage_id: Id(identity.storage.short()),
            name: identity.name.clone(),
            peer_urls: me.map(|me| me.info.peer_urls.clone()).unwrap_or_default(),
            client_urls: me.map(|me| me.client_urls.clone()).unwrap_or_default(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: role(raft.role),
        term: raft.term.0,
        leader: raft.leader.map(|id| Id(id.0)),
        log: LogPosition {
            first_index: raft.first.0,
            last_index: raft.last.index.0,
            last_term: raft.last.term.0,
            durable_index: raft.durable.index.0,
            commit_index: raft.commit.0,
            applied_index: raft.applied.0,
            config_index: raft.membership_at.0,
        },
        revision: u64::try_from(store.revision().0).unwrap_or(0),
        database: DatabaseSize { total_bytes: size.allocated, in_use_bytes: size.in_use, quota_bytes },
        alarms: alarms(node, identity.member),
        ready: raft.leader.is_some() && raft.commit.0.saturating_sub(raft.applied.0) <= READY_LAG_ENTRIES_MAX,
        installing_snapshot: seen.snapshot_wanted,
        transferring_leadership: raft.transferring,
        certificates: Vec::new(),
        recovered: None,
    }
}

/// What the member was made of.
pub(super) fn recovered(recovered: &Recovered) -> QuorumRecovered {
    QuorumRecovered {
        request: recovered.request.clone(),
        former_cluster_id: Id(recovered.former.cluster.0),
        former_member_id: recovered.former.member,
        index: recovered.index,
    }
}

/// The certificates of a member's ports.
pub(super) fn certificates(in_use: &InUse) -> Vec<CertificatesInUse> {
    let clients = in_use.towards_clients().into_iter().map(|shown| (Side::Client, shown));
    let peers = in_use.towards_peers().into_iter().map(|shown| (Side::Peer, shown));
    clients.chain(peers).map(|(side, shown)| in_use_of(side, &shown)).collect()
}

fn in_use_of(side: Side, shown: &Shown) -> CertificatesInUse {
    let end = shown.not_after.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
    CertificatesInUse {
        side,
        certificate: shown.certificate.to_string(),
        not_after_seconds: end.map(|end| end.as_secs()),
        trusted: shown.trusted.iter().map(ToString::to_string).collect(),
    }
}

fn alarms(node: &Handle, me: MemberId) -> Vec<Alarm> {
    let mine = node.store().alarms().into_iter().filter(|alarm| alarm.member == me.0);
    mine.map(|alarm| match alarm.kind {
        AlarmKind::NoSpace => Alarm::NoSpace,
        AlarmKind::Corrupt => Alarm::Corrupt,
    })
    .collect()
}

fn role(role: RoleName) -> Role {
    match role {
        RoleName::Follower => Role::Follower,
        RoleName::Learner => Role::Learner,
        RoleName::PreCandidate => Role::PreCandidate,
        RoleName::Candidate => Role::Candidate,
        RoleName::Leader => Role::Leader,
    }
}

/// The membership in force.
pub(super) fn members(view: &MembersView) -> Members {
    Members {
        cluster_id: Id(view.cluster.0),
        config_index: view.at.0,
        committed: view.committed,
        joint: view.joint,
        members: view.members.iter().map(member).collect(),
    }
}

fn member(view: &MemberView) -> Member {
    Member {
        id: Id(view.id.0),
        name: if view.name.is_empty() { view.info.name.clone() } else { view.name.clone() },
        voter: !view.learner,
        peer_urls: view.info.peer_urls.clone(),
        client_urls: view.client_urls.clone(),
    }
}

/// How far each follower is behind.
pub(super) fn replication(seen: &Inspection, members: &MembersView) -> Replication {
    let raft = &seen.raft;
    Replication {
        leader: Id(raft.id.0),
        term: raft.term.0,
        last_index: raft.last.index.0,
        commit_index: raft.commit.0,
        config_index: raft.membership_at.0,
        followers: raft.followers.iter().map(|follower| one(follower, seen, members)).collect(),
    }
}

fn one(follower: &FollowerStatus, seen: &Inspection, members: &MembersView) -> Follower {
    Follower {
        member: Id(follower.member.0),
        name: members.get(follower.member).map(|view| member(view).name).unwrap_or_default(),
        role: if follower.learner { FollowerRole::Learner } else { FollowerRole::Voter },
        state: match follower.state {
            raft::StreamState::Probe => StreamState::Probe,
            raft::StreamState::Replicate => StreamState::Replicate,
            raft::StreamState::Snapshot => StreamState::Snapshot,
        },
        paused: paused(follower.paused),
        match_index: follower.matched.index.0,
        next_index: follower.next.0,
        applied_index: follower.applied.0,
        lag_entries: follower.lag.entries,
        lag_bytes: follower.lag.bytes,
        lag_seconds: follower.lag.age.as_secs_f64(),
        lag_approximate: follower.lag.approximate,
        in_flight_messages: follower.in_flight_messages,
        in_flight_bytes: follower.in_flight_bytes,
        window_bytes: follower.window_bytes,
        credit_bytes: follower.credit_bytes,
        round_trip_seconds: follower.round_trip.map(|time| time.as_secs_f64()),
        ack_bytes_per_second: follower.ack_bytes_per_second,
        silent_for_seconds: follower.silent_for.map(|time| time.as_secs_f64()),
        rejections: follower.rejections,
        resets: follower.resets.iter().map(|(why, count)| (crate::metrics::reason(*why).to_owned(), *count)).collect(),
        snapshot: seen.snapshots.others.get(&follower.member).map(snapshot),
    }
}

fn snapshot(view: &ProgressView) -> SnapshotProgress {
    SnapshotProgress {
        phase: view.phase.name().to_owned(),
        index: view.index,
        source: view.source.clone(),
        have_bytes: view.have_bytes,
        total_bytes: view.total_bytes,
        percent: 100.0 * view.have_bytes as f64 / view.total_bytes.max(1) as f64,
        bytes_per_second: view.bytes_per_second,
        resumed: view.resumed,
    }
}

fn paused(reason: raft::PausedReason) -> Option<PausedReason> {
    match reason {
        raft::PausedReason::None => None,
        raft::PausedReason::ProbeWait => Some(PausedReason::ProbeWait),
        raft::PausedReason::WindowFull => Some(PausedReason::WindowFull),
        raft::PausedReason::NoCredit => Some(PausedReason::NoCredit),
        raft::PausedReason::Backoff => Some(PausedReason::Backoff),
        raft::PausedReason::LogRead => Some(PausedReason::LogRead),
        raft::PausedReason::Snapshot => Some(PausedReason::Snapshot),
        raft::PausedReason::Disconnected => Some(PausedReason::Disconnected),
    }
}
