//! A data directory in the wrong place: it belongs to one cluster, and the settings put it where another cluster has
//! a member.
//!
//! * Only peers that the settings name and this member's own configuration does not know are asked, once: at an
//!   ordinary start there are none. Whoever does not answer proves nothing.
//! * An address that was handed on to another cluster proves nothing either. That cluster must have a member at this
//!   member's own peer URLs.
//! * Nor does the cluster that this member was of before it lost its quorum: what is left of it comes back some day.

use super::{BootstrapError, ClusterId};
use crate::config::settings::BootstrapMember;
use crate::transport::hello::{Introduction, KnownCluster};
use std::collections::BTreeMap;

/// The peers in the settings that are in no configuration this member knows.
pub(super) fn strangers(members: &[BootstrapMember], known: &KnownCluster) -> Vec<BootstrapMember> {
    let is_known = |member: &&BootstrapMember| {
        let urls: Vec<String> = member.peer_urls.iter().map(ToString::to_string).collect();
        known.members.values().any(|info| info.is_at(&urls))
    };
    members.iter().filter(|member| !is_known(member)).cloned().collect()
}

/// Refuses if one of the peers heard belongs to another cluster that has a member where this one is.
pub(super) fn weigh(
    mine: ClusterId,
    former: Option<ClusterId>,
    urls: &[String],
    heard: &BTreeMap<String, Introduction>,
) -> Result<(), BootstrapError> {
    for (peer, introduction) in heard {
        let other = |theirs: &&KnownCluster| theirs.id != mine && former != Some(theirs.id);
        let Some(theirs) = introduction.cluster.as_ref().filter(other) else { continue };
        if theirs.members.values().any(|info| info.is_at(urls)) {
            return Err(BootstrapError::OtherCluster { mine, peer: peer.clone(), theirs: theirs.id });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{NodeInfo, StorageId};
    use super::*;
    use crate::transport::hello::PROTOCOL_VERSION;
    use admin_api::Id;
    use std::collections::BTreeSet;

    const MINE: ClusterId = ClusterId(1);
    const FORMER: ClusterId = ClusterId(3);
    const URL: &str = "http://127.0.0.1:1";

    fn info(url: &str) -> NodeInfo {
        NodeInfo { peer_urls: vec![url.into()], ..NodeInfo::default() }
    }

    fn cluster(id: ClusterId, urls: &[&str]) -> KnownCluster {
        let members = (1..).map(Id).zip(urls.iter().map(|url| info(url))).collect();
        KnownCluster { id, membership_at: 0, members, removed: BTreeSet::new() }
    }

    fn heard(cluster: Option<KnownCluster>) -> BTreeMap<String, Introduction> {
        let introduction = Introduction {
            version: PROTOCOL_VERSION,
            member: Some(Id(2)),
            storage: StorageId::from_bytes([2; 16]),
            info: info("http://127.0.0.1:2"),
            token: "token".into(),
            cluster,
        };
        BTreeMap::from([("m2".to_owned(), introduction)])
    }

    fn judged(cluster: Option<KnownCluster>) -> Result<(), BootstrapError> {
        weigh(MINE, Some(FORMER), &[URL.to_owned()], &heard(cluster))
    }

    #[test]
    fn another_cluster_with_a_member_at_this_place_is_refused() {
        let refused = judged(Some(cluster(ClusterId(2), &[URL, "http://127.0.0.1:2"])));
        assert!(matches!(refused, Err(BootstrapError::OtherCluster { mine: MINE, theirs: ClusterId(2), .. })));
    }

    #[test]
    fn a_peer_of_this_cluster_or_of_none_or_at_a_handed_on_address_proves_nothing() {
        assert!(judged(None).is_ok());
        assert!(judged(Some(cluster(MINE, &[URL, "http://127.0.0.1:2"]))).is_ok());
        assert!(judged(Some(cluster(ClusterId(2), &["http://127.0.0.1:3", "http://127.0.0.1:2"]))).is_ok());
    }

    #[test]
    fn what_is_left_of_the_cluster_that_this_one_was_made_of_is_no_reason_to_stop() {
        assert!(judged(Some(cluster(FORMER, &[URL, "http://127.0.0.1:2"]))).is_ok());
    }

    #[test]
    fn only_peers_outside_of_the_own_configuration_are_strangers() {
        let member = |n: u16| BootstrapMember {
            name: format!("m{n}"),
            peer_urls: vec![format!("http://127.0.0.1:{n}").parse().expect("an address")],
        };
        let named = [member(1), member(2)];
        assert_eq!(strangers(&named, &cluster(MINE, &[URL, "http://127.0.0.1:2"])), []);
        assert_eq!(strangers(&named, &cluster(MINE, &[URL])), [member(2)]);
    }
}
