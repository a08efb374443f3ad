//! What must hold after every line, whatever the scene is about.

use super::cluster::Cluster;
use raft::{Index, LogId};

/// # Errors
/// The rule that is broken.
pub(crate) fn check(cluster: &mut Cluster) -> Result<(), String> {
    for id in cluster.running() {
        let member = &cluster.members[&id];
        let status = member.raft.as_ref().expect("it runs").status(member.clock);
        if status.commit > status.last.index || status.applied > status.commit {
            return Err(format!("{id}: applied {} commit {} last {}", status.applied, status.commit, status.last));
        }
        if status.durable.index > member.disk.last().index {
            return Err(format!("{id} believes {} durable, its disk ends at {}", status.durable, member.disk.last()));
        }
        // Everybody applies the same entries at the same places, for good.
        for applied in member.applied.clone() {
            let known = *cluster.committed.entry(applied.index.0).or_insert(applied);
            if known != applied {
                return Err(format!("{id} applied {applied} where {known} was applied before"));
            }
        }
    }
    durable_on_quorum(cluster)?;
    log_matching(cluster)
}

/// What anybody has applied is on the disks of a majority of the voters of some configuration it could have been
/// committed under: the one in force at the member that applied it, or the one before.
fn durable_on_quorum(cluster: &Cluster) -> Result<(), String> {
    let Some((_, last)) = cluster.committed.last_key_value() else { return Ok(()) };
    let holds = |id: &raft::MemberId| {
        cluster
            .members
            .get(id)
            .is_some_and(|member| member.disk.start.index >= last.index || member.disk.id_at(last.index) == Some(*last))
    };
    let enough = cluster.members.values().flat_map(|member| member.disk.memberships()).any(|(_, membership)| {
        let voters = &membership.voters;
        voters.iter().filter(|id| holds(id)).count() > voters.len() / 2
    });
    if enough { Ok(()) } else { Err(format!("{last} was applied and is not on a quorum of disks")) }
}

/// If two logs hold an entry of the same place and term, everything before it is the same too.
fn log_matching(cluster: &Cluster) -> Result<(), String> {
    let disks: Vec<_> = cluster.members.values().map(|member| &member.disk).collect();
    for (at, one) in disks.iter().enumerate() {
        for other in &disks[at + 1..] {
            let common = one.last().index.min(other.last().index);
            let mut agree = false;
            for index in (1..=common.0).rev().map(Index) {
                let (Some(a), Some(b)): (Option<LogId>, Option<LogId>) = (one.id_at(index), other.id_at(index)) else {
                    break;
                };
                if agree && a != b {
                    return Err(format!("logs agree later but hold {a} and {b}"));
                }
                agree |= a == b;
            }
        }
    }
    Ok(())
}
