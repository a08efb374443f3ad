//! What a configuration entry says of a member besides its id: how to reach it and which disk is its own.
//!
//! It travels as JSON inside the membership entry, so that a later version may add fields that this one ignores.

use super::StorageId;
use bytes::Bytes;
use raft::planted::{Bug, is_planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most bytes a node's description may take: a name, a handful of URLs.
pub const NODE_INFO_BYTES_MAX: usize = 16 << 10;

/// A member's description in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// Its name; empty for a member that was added and has not started yet.
    #[serde(default)]
    pub name: String,
    /// Where its peers reach it.
    #[serde(default)]
    pub peer_urls: Vec<String>,
    /// The disk that is bound to the id; none for a member that was added and has not started yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    /// It was added to vote, and is a learner until it can: the leader promotes it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub becomes_voter: bool,
}

/// The bytes in a configuration are not a node's description.
#[derive(Debug, thiserror::Error)]
#[error("node description: {0}")]
pub struct NodeInfoError(#[from] serde_json::Error);

impl NodeInfo {
    /// Whether it is reached at exactly these URLs, in whatever order.
    #[must_use]
    pub fn is_at(&self, peer_urls: &[String]) -> bool {
        let set = |urls: &[String]| urls.iter().cloned().collect::<BTreeSet<_>>();
        !peer_urls.is_empty() && set(&self.peer_urls) == set(peer_urls)
    }

    /// Whether a process with this disk may be the member: with the one that is bound to the id, or with any while none
    /// is. Any other has forgotten what the member has promised.
    #[must_use]
    pub fn takes(&self, storage: StorageId) -> bool {
        self.storage.is_none_or(|bound| bound == storage) || is_planted(Bug::WipedRejoins)
    }

    /// The form in which the configuration carries it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers always serialize").into()
    }

    /// Whether members could read it in a configuration. One that they cannot read has no addresses, and is bound to no
    /// disk: it must never come there.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.encode().len() <= NODE_INFO_BYTES_MAX
    }

    /// Reads what [`NodeInfo::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else, or longer than [`NODE_INFO_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeInfoError> {
        if bytes.len() > NODE_INFO_BYTES_MAX {
            return Err(NodeInfoError(serde::de::Error::custom("too long")));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_takes_the_disk_it_is_bound_to_or_any_while_it_is_bound_to_none() {
        let [mine, another] = [7, 8].map(|byte| StorageId::from_bytes([byte; 16]));
        let bound = NodeInfo { storage: Some(mine), ..NodeInfo::default() };
        assert!(bound.takes(mine) && NodeInfo::default().takes(another));
        assert!(!bound.takes(another));
    }

    #[test]
    fn a_description_survives_the_configuration() {
        let info = NodeInfo {
            name: "m1".into(),
            peer_urls: vec!["http://127.0.0.1:2380".into()],
            storage: Some(StorageId::from_bytes([7; 16])),
            becomes_voter: true,
        };
        assert_eq!(NodeInfo::decode(&info.encode()).expect("just encoded"), info);
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let info = NodeInfo::decode(br#"{"name":"a","zone":"eu"}"#).expect("unknown fields are no error");
        assert_eq!(info, NodeInfo { name: "a".into(), ..NodeInfo::default() });
    }

    #[test]
    fn bytes_that_are_no_description_are_refused() {
        assert!(NodeInfo::decode(b"\xff\x00").is_err());
        assert!(NodeInfo::decode(&vec![b' '; NODE_INFO_BYTES_MAX + 1]).is_err());
        for (urls, fits) in [(500, true), (800, false)] {
            let info = NodeInfo { peer_urls: vec!["http://a.member:2380".into(); urls], ..NodeInfo::default() };
            assert_eq!((info.fits(), NodeInfo::decode(&info.encode()).is_ok()), (fits, fits), "{urls} URLs");
        }
    }
}
