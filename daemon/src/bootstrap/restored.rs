//! A disk that was restored from a snapshot: it is formatted to form a new cluster, with the store it holds.
//!
//! * Every first member is restored from the same snapshot, with the same list of members. What the list and the
//!   snapshot are goes into the token that founders compare, so members with different stores never form one cluster.
//! * The log of the new cluster begins after the snapshot's last entry, not at its own first: a member that joins later
//!   finds that the log does not reach back, and gets the store as a snapshot.

use super::file::{IdentityFile, Phase};
use super::place::Place;
use super::{BootstrapError, NodeInfo, new_member_id, new_storage_id};
use crate::config::Settings;
use crate::config::settings::{BootstrapMember, ClusterState};
use admin_api::Id;
use raft::{Index, LogId, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a disk was restored from, and the cluster it was restored for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restored {
    /// The id of the snapshot.
    pub snapshot: String,
    /// What else makes the store another one than the snapshot's: how far its revision was raised.
    pub variant: String,
    /// The index of the last log entry in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The token of the cluster to be formed.
    pub token: String,
    /// Its first members, by name, with their peer URLs.
    pub members: BTreeMap<String, Vec<String>>,
}

impl Restored {
    /// Where the log of the new cluster begins.
    pub(super) fn log_start(&self) -> LogId {
        LogId { term: Term(self.term), index: Index(self.index) }
    }

    /// The token that founders compare.
    pub(super) fn founding_token(&self) -> String {
        let Self { token, snapshot, variant, .. } = self;
        format!("{token} restored from {snapshot} {variant}")
    }
}

/// Formats the directory of a member that was restored, and returns its id. What it says of the member is not there
/// before the store is. The directory is claimed already.
///
/// # Errors
/// The disk fails, or there is no randomness.
pub fn format_restored(directory: &Path, name: &str, restored: Restored) -> Result<Id, BootstrapError> {
    let member = new_member_id()?;
    let info = NodeInfo { name: name.to_owned(), ..NodeInfo::default() };
    let mut file = IdentityFile::format(new_storage_id()?, &info, Phase::Forming { member });
    file.restored = Some(restored);
    Place::claimed(directory).write(&file)?;
    Ok(member)
}

/// A restored disk says itself which cluster it is for: the settings about forming one are set to that.
///
/// # Errors
/// The identity file cannot be read.
pub fn heed_restored(settings: &mut Settings) -> Result<(), BootstrapError> {
    let at = |source| BootstrapError::Io { path: settings.data_dir.join(super::IDENTITY_FILE), source };
    let file = Place::claimed(&settings.data_dir).read()?;
    let Some(restored) = file.and_then(|file| file.restored) else { return Ok(()) };
    let unreadable = |_| at(std::io::Error::other("a peer URL of the restored cluster cannot be read"));
    let mut members = Vec::new();
    for (name, urls) in restored.members {
        let peer_urls = urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        members.push(BootstrapMember { name, peer_urls });
    }
    let mine = members.iter().find(|member| member.name == settings.name);
    if let Some(mine) = mine {
        settings.advertise.peer.clone_from(&mine.peer_urls);
    }
    settings.bootstrap.members = members;
    settings.bootstrap.state = ClusterState::New;
    settings.bootstrap.token = restored.token;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::{Formatted, is_formed};
    use crate::config::{Mode, Wanted, load};

    fn settings(directory: &Path) -> Settings {
        let flags = ["--name=m1".to_owned(), format!("--data-dir={}", directory.display())];
        match load(Mode::Quorate, &flags, std::iter::empty(), &is_formed).expect("nothing is wrong with them") {
            Wanted::Run(checked) => checked.settings,
            Wanted::Help(_) | Wanted::Version => panic!("neither was asked for"),
        }
    }

    fn restored() -> Restored {
        let url = |port: u16| vec![format!("http://10.0.0.1:{port}")];
        Restored {
            snapshot: "ab".repeat(32),
            variant: "+0".into(),
            index: 1000,
            term: 7,
            token: "new".into(),
            members: [("m1".to_owned(), url(2380)), ("m2".to_owned(), url(2390))].into(),
        }
    }

    #[test]
    fn a_restored_disk_says_itself_whom_to_form_a_cluster_with() {
        let directory = tempfile::tempdir().expect("room");
        format_restored(directory.path(), "m1", restored()).expect("room");
        let mut settings = settings(directory.path());
        assert_eq!(settings.bootstrap.members.len(), 1, "the flags do not say");
        heed_restored(&mut settings).expect("readable");
        let names: Vec<_> = settings.bootstrap.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!((names, settings.bootstrap.token.as_str()), (vec!["m1", "m2"], "new"));
        assert_eq!(settings.advertise.peer[0].to_string(), "http://10.0.0.1:2380");
        let formatted = Formatted::open(&settings).expect("it is this member's");
        let token = formatted.gate().introduction().token;
        assert!(token.starts_with("new restored from abab"), "{token}");
    }

    #[test]
    fn stores_that_differ_have_founders_that_do_not_agree() {
        let raised = Restored { variant: "+1000".into(), ..restored() };
        let other = Restored { snapshot: "cd".repeat(32), ..restored() };
        assert_ne!(restored().founding_token(), raised.founding_token());
        assert_ne!(restored().founding_token(), other.founding_token());
    }
}
