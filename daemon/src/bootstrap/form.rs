//! Forming a cluster: every first member must have heard every other one once.
//!
//! * What is formed follows from what was heard alone, so all of them form the same: the members' ids, names, URLs
//!   and disks, and a cluster id that is a hash of them and the token.
//! * A member that finds a peer already formed adopts what that peer formed, if it is in it with this very disk.
//!   With another disk it must not take part: it would vote twice with one voice.
//! * A place that was added for it since, and that no disk has taken, it joins like any member that was added: it has
//!   never voted, so nothing of it can be forgotten.

use super::{BootstrapError, ClusterId, NodeInfo, StorageId};
use crate::transport::hello::{Introduction, KnownCluster};
use admin_api::Id;
use std::collections::{BTreeMap, BTreeSet};

/// This member, as it takes part.
#[derive(Clone, Debug)]
pub(super) struct Founder {
    pub(super) member: Id,
    pub(super) storage: StorageId,
    pub(super) info: NodeInfo,
    pub(super) token: String,
}

/// What the introductions heard so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Forming {
    /// Everybody has been heard.
    Formed(KnownCluster),
    /// The others have formed long ago, and a place at this member's address waits for a disk.
    Expected,
    /// These names have not been heard.
    Waiting(Vec<String>),
}

/// Weighs what was heard from the other first members, by name.
pub(super) fn weigh(
    founder: &Founder,
    names: &[String],
    heard: &BTreeMap<String, Introduction>,
) -> Result<Forming, BootstrapError> {
    if let Some(adopted) = adopt_one(founder, heard.values().filter_map(|introduction| introduction.cluster.as_ref())) {
        return adopted;
    }
    let mut members = BTreeMap::from([(founder.member, founder.info.clone())]);
    let mut missing = Vec::new();
    for name in names.iter().filter(|name| **name != founder.info.name) {
        match heard.get(name).filter(|introduction| introduction.token == founder.token) {
            Some(Introduction { member: Some(member), info, .. }) => {
                members.insert(*member, info.clone());
            }
            _ => missing.push(name.clone()),
        }
    }
    if !missing.is_empty() {
        return Ok(Forming::Waiting(missing));
    }
    let id = cluster_id(&founder.token, &members);
    Ok(Forming::Formed(KnownCluster { id, membership_at: 0, members, removed: BTreeSet::new() }))
}

/// The peers may speak of more than one cluster, where one has lost its quorum and one of its members has become
/// another: the one that has a place for this member is meant. None if they speak of none.
fn adopt_one<'a>(
    founder: &Founder,
    formed: impl Iterator<Item = &'a KnownCluster>,
) -> Option<Result<Forming, BootstrapError>> {
    formed.map(|known| adopt(founder, known)).reduce(|first, next| if first.is_ok() { first } else { next.or(first) })
}

/// A cluster that is formed already: this member is in it with this disk, or must stay away.
fn adopt(founder: &Founder, known: &KnownCluster) -> Result<Forming, BootstrapError> {
    if known.removed.contains(&founder.member) {
        return Err(BootstrapError::Removed);
    }
    match known.members.get(&founder.member) {
        Some(info) if info.storage == Some(founder.storage) => {
            // What the peer knows may have moved on. The first configuration comes with the log.
            Ok(Forming::Formed(known.clone()))
        }
        Some(_) => Err(BootstrapError::DiskReplaced),
        None if known.members.values().any(|info| is_for(founder, info)) => Ok(Forming::Expected),
        None => Err(match known.members.values().any(|info| is_me(founder, info)) {
            true => BootstrapError::DiskReplaced,
            false => BootstrapError::FormedWithoutMe { cluster: known.id },
        }),
    }
}

/// A place at this member's address that no disk has taken, or this one, before a crash.
fn is_for(founder: &Founder, place: &NodeInfo) -> bool {
    let free = place.storage.is_none_or(|storage| storage == founder.storage);
    free && place.is_at(&founder.info.peer_urls)
}

fn is_me(founder: &Founder, info: &NodeInfo) -> bool {
    info.name == founder.info.name || info.is_at(&founder.info.peer_urls)
}

/// FNV-1a: stable for ever, and as good as anything over random member ids.
pub(super) fn cluster_id(token: &str, members: &BTreeMap<Id, NodeInfo>) -> ClusterId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(token.as_bytes());
    for (id, info) in members {
        add(&id.0.to_le_bytes());
        add(&info.encode());
    }
    // Zero names no cluster.
    ClusterId(hash.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::hello::PROTOCOL_VERSION;

    fn storage(n: u8) -> StorageId {
        StorageId::from_bytes([n; 16])
    }

    fn founder(n: u8) -> Founder {
        let info = NodeInfo {
            name: format!("m{n}"),
            peer_urls: vec![format!("http://127.0.0.1:{n}")],
            storage: Some(storage(n)),
            ..NodeInfo::default()
        };
        Founder { member: Id(n.into()), storage: storage(n), info, token: "token".into() }
    }

    fn introduction(n: u8) -> Introduction {
        let Founder { member, storage, info, token } = founder(n);
        Introduction { version: PROTOCOL_VERSION, member: Some(member), storage, info, token, cluster: None }
    }

    fn heard(others: &[u8]) -> BTreeMap<String, Introduction> {
        others.iter().map(|n| (format!("m{n}"), introduction(*n))).collect()
    }

    fn names() -> Vec<String> {
        ["m1", "m2", "m3"].map(String::from).to_vec()
    }

    fn formed(forming: Result<Forming, BootstrapError>) -> KnownCluster {
        match forming.expect("no refusal") {
            Forming::Formed(known) => known,
            other => panic!("not formed: {other:?}"),
        }
    }

    #[test]
    fn all_members_form_the_same_cluster_once_all_were_heard() {
        let first = formed(weigh(&founder(1), &names(), &heard(&[2, 3])));
        assert_eq!(first, formed(weigh(&founder(2), &names(), &heard(&[1, 3]))));
        assert_eq!(first.members.keys().copied().collect::<Vec<_>>(), [Id(1), Id(2), Id(3)]);
    }

    #[test]
    fn a_member_that_was_not_heard_is_waited_for() {
        let waiting = weigh(&founder(1), &names(), &heard(&[3])).expect("no refusal");
        assert_eq!(waiting, Forming::Waiting(vec!["m2".into()]));
    }

    #[test]
    fn another_token_is_not_heard_and_makes_another_cluster() {
        let mut others = heard(&[2, 3]);
        others.get_mut("m2").expect("heard").token = "other".into();
        assert_eq!(weigh(&founder(1), &names(), &others).expect("no refusal"), Forming::Waiting(vec!["m2".into()]));
        let alone = |token: &str| {
            formed(weigh(&Founder { token: token.into(), ..founder(1) }, &["m1".into()], &BTreeMap::new())).id
        };
        assert_ne!(alone("a"), alone("b"));
    }

    #[test]
    fn a_formed_peer_is_believed_if_it_knows_this_very_disk() {
        let known = formed(weigh(&founder(1), &names(), &heard(&[2, 3])));
        let mut others = heard(&[1]);
        others.get_mut("m1").expect("heard").cluster = Some(known.clone());
        assert_eq!(formed(weigh(&founder(2), &names(), &others)), known);
    }

    #[test]
    fn of_two_clusters_the_one_that_has_a_place_for_this_disk_is_meant() {
        let former = formed(weigh(&founder(1), &names(), &heard(&[2, 3])));
        let place = NodeInfo { name: String::new(), storage: None, ..founder(2).info };
        let members = BTreeMap::from([(Id(71), founder(1).info), (Id(72), place)]);
        let new = KnownCluster { id: ClusterId(7), membership_at: 9, members, removed: BTreeSet::new() };
        let wiped = Founder { member: Id(9), storage: storage(9), ..founder(2) };
        for (first, third) in [(&former, &new), (&new, &former)] {
            let mut others = heard(&[1, 3]);
            others.get_mut("m1").expect("heard").cluster = Some(first.clone());
            others.get_mut("m3").expect("heard").cluster = Some(third.clone());
            assert_eq!(weigh(&wiped, &names(), &others).expect("no refusal"), Forming::Expected);
        }
    }

    #[test]
    fn a_replaced_disk_is_refused_until_a_place_is_added_for_it() {
        let known = formed(weigh(&founder(1), &names(), &heard(&[2, 3])));
        let mut others = heard(&[1]);
        others.get_mut("m1").expect("heard").cluster = Some(known);
        let same_id = Founder { storage: storage(9), ..founder(2) };
        let same_name = Founder { member: Id(9), storage: storage(9), ..founder(2) };
        for wiped in [same_id, same_name] {
            assert!(matches!(weigh(&wiped, &names(), &others), Err(BootstrapError::DiskReplaced)));
        }
        let mut added = others.clone();
        let known = added.get_mut("m1").and_then(|heard| heard.cluster.as_mut()).expect("formed");
        known.members.remove(&Id(2));
        let place = NodeInfo { name: String::new(), storage: None, ..founder(2).info };
        known.members.insert(Id(77), place);
        let anew = Founder { member: Id(9), storage: storage(9), ..founder(2) };
        assert_eq!(weigh(&anew, &names(), &added).expect("no refusal"), Forming::Expected);
        let crashed = Founder { info: NodeInfo { storage: Some(storage(9)), ..anew.info.clone() }, ..anew };
        let known = added.get_mut("m1").and_then(|heard| heard.cluster.as_mut()).expect("formed");
        known.members.insert(Id(77), crashed.info.clone());
        assert_eq!(weigh(&crashed, &names(), &added).expect("no refusal"), Forming::Expected);
        let stranger = Founder { member: Id(9), ..founder(9) };
        assert!(matches!(weigh(&stranger, &names(), &others), Err(BootstrapError::FormedWithoutMe { .. })));
    }
}
