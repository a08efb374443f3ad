//! A disk whose cluster has lost its quorum, and that becomes the only member of a new one: what the identity file says
//! of it. What is done meanwhile is in [`crate::recovery`].
//!
//! ```text
//!   Running (former) ──begin──▶ Recovering ──all is in the store──▶ Admitted (new) ──log created──▶ Running (new)
//!        ▲   └─ recovery_wanted: the next start begins
//!        └── until `begin` is durable, the former member is untouched
//! ```
//!
//! * The new ids are drawn when it begins, and kept: a start that goes on makes the same cluster as the one before it.
//! * It is done once for each request. The flag is one request for as long as it is given at every start.

use super::file::{Admission, IdentityFile, Phase};
use super::place::Place;
use super::{BootstrapError, ClusterId, NodeInfo, StorageId, form, new_member_id, new_storage_id};
use crate::config::Settings;
use crate::transport::hello::KnownCluster;
use admin_api::Id;
use raft::{Index, LogId, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tracing::info;

/// The member that a disk was before, in the cluster that had lost its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Former {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its id there.
    pub member: Id,
    /// What the disk was called there.
    pub storage: StorageId,
}

/// What a member of a new cluster was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovered {
    /// Who it was.
    pub former: Former,
    /// The word of whoever asked for it; none if it was the flag alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The index of the last entry of the former log, all of which is in the store.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The flag asked for it, and has been given at every start since: it has been heeded.
    #[serde(default)]
    pub flag: bool,
}

/// What a disk is becoming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Recovering {
    /// Whose log it still has.
    pub former: Former,
    /// The new cluster.
    pub cluster: ClusterId,
    /// The new id.
    pub member: Id,
    /// The new disk.
    pub storage: StorageId,
    /// Where the new member's peers will reach it.
    pub peer_urls: Vec<String>,
    /// As in [`Recovered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// As in [`Recovered`].
    #[serde(default)]
    pub flag: bool,
}

/// What a start has to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// It is asked for and has not begun. Nothing of this is written yet.
    Begin(Recovering),
    /// It was begun by an earlier start.
    GoOn(Recovering),
}

impl Recovered {
    /// Where the log of the new cluster begins.
    pub(super) fn log_start(&self) -> LogId {
        LogId { term: Term(self.term), index: Index(self.index) }
    }
}

/// Looks what there is to do.
///
/// # Errors
/// It is asked for, and there is nothing to make a cluster of; the directory is another member's; the disk fails.
pub(crate) fn due(place: &Place, settings: &Settings) -> Result<Due, BootstrapError> {
    let flag = settings.bootstrap.force_new_cluster;
    let Some(mut file) = place.read()? else {
        return if flag {
            Err(BootstrapError::NothingToRecover("the data directory is empty"))
        } else {
            Ok(Due::Nothing)
        };
    };
    file.refuse_other_name(&settings.name)?;
    let (former, heeded) = match &file.phase {
        Phase::Recovering(recovering) => return Ok(Due::GoOn(recovering.clone())),
        Phase::Running { cluster, member } => {
            let former = Former { cluster: *cluster, member: *member, storage: file.storage };
            (former, heed_flag(place, &mut file, flag)?)
        }
        // It has just become one, and goes on with that.
        Phase::Admitted(_) if file.recovered.is_some() => return Ok(Due::Nothing),
        Phase::Forming { .. } | Phase::Joining | Phase::Admitted(_) if flag => {
            return Err(BootstrapError::NothingToRecover("this member has not taken part in a cluster yet"));
        }
        Phase::Forming { .. } | Phase::Joining | Phase::Admitted(_) => return Ok(Due::Nothing),
    };
    let request = file.recovery_wanted.clone();
    if request.is_none() && (heeded || !flag) {
        return Ok(Due::Nothing);
    }
    Ok(Due::Begin(drawn(former, settings, request)?))
}

/// Whether the flag has been heeded already. One that is left out at a start counts anew when it is given again.
fn heed_flag(place: &Place, file: &mut IdentityFile, flag: bool) -> Result<bool, BootstrapError> {
    let Some(recovered) = file.recovered.as_mut().filter(|recovered| recovered.flag) else { return Ok(false) };
    if flag {
        info!(former = %recovered.former.cluster, "--force-new-cluster has been heeded already, and does nothing more");
    } else {
        recovered.flag = false;
        place.write(file)?;
    }
    Ok(flag)
}

/// The new member, with ids that nobody has had.
fn drawn(former: Former, settings: &Settings, request: Option<String>) -> Result<Recovering, BootstrapError> {
    let (member, storage) = (new_member_id()?, new_storage_id()?);
    let peer_urls = settings.advertise.peer.iter().map(ToString::to_string).collect();
    let flag = settings.bootstrap.force_new_cluster;
    let cluster = ClusterId(0);
    let mut drawn = Recovering { former, cluster, member, storage, peer_urls, request, flag };
    let info = drawn.info(&settings.name);
    drawn.cluster = form::cluster_id(&settings.bootstrap.token, &BTreeMap::from([(member, info)]));
    Ok(drawn)
}

impl Recovering {
    /// How the new member describes itself.
    pub(crate) fn info(&self, name: &str) -> NodeInfo {
        NodeInfo {
            name: name.to_owned(),
            peer_urls: self.peer_urls.clone(),
            storage: Some(self.storage),
            ..NodeInfo::default()
        }
    }

    /// From here on every start goes on with it.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn begin(&self, place: &Place) -> Result<(), BootstrapError> {
        let mut file = place.read()?.ok_or(BootstrapError::NothingToRecover("the identity file has gone"))?;
        file.phase = Phase::Recovering(self.clone());
        file.recovery_wanted = None;
        place.write(&file)
    }

    /// All of the former log, which ends with `last`, is in the store: from here on the disk is the new member's.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn finish(&self, place: &Place, last: LogId) -> Result<(), BootstrapError> {
        let mut file = place.read()?.ok_or(BootstrapError::NothingToRecover("the identity file has gone"))?;
        let members = BTreeMap::from([(self.member, self.info(&file.name))]);
        let known = KnownCluster { id: self.cluster, membership_at: last.index.0, members, removed: BTreeSet::new() };
        file.phase = Phase::Admitted(Admission { member: self.member, founder: true, known });
        file.storage = self.storage;
        // The snapshot that the former cluster began with says nothing of this one.
        file.restored = None;
        file.recovered = Some(Recovered {
            former: self.former,
            request: self.request.clone(),
            index: last.index.0,
            term: last.term.0,
            flag: self.flag,
        });
        place.write(&file)
    }
}

/// Has the next start make a new cluster of what is here, for a request that goes by this word.
///
/// # Errors
/// The disk fails.
pub(crate) fn want_recovery(place: &Place, request: &str) -> Result<(), BootstrapError> {
    let mut file = place.read()?.ok_or(BootstrapError::NothingToRecover("the identity file has gone"))?;
    file.recovery_wanted = Some(request.to_owned());
    place.write(&file)
}

/// Makes the directory that of a member which runs, for tests of what becomes of it.
#[cfg(test)]
pub(crate) fn make_running(place: &Place, name: &str, member: Former) {
    let info = NodeInfo { name: name.to_owned(), ..NodeInfo::default() };
    let phase = Phase::Running { cluster: member.cluster, member: member.member };
    place.write(&IdentityFile::format(member.storage, &info, phase)).expect("the disk of a test has room");
}

/// Whether it is that of this very member.
#[cfg(test)]
pub(crate) fn is_running_as(place: &Place, member: Former) -> bool {
    let file = place.read().expect("the disk of a test does not fail here").expect("there is an identity");
    file.storage == member.storage && file.phase == Phase::Running { cluster: member.cluster, member: member.member }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, Wanted, load};
    use crate::disk::SimDisk;
    use std::path::Path;
    use std::sync::Arc;

    const FORMER: Former = Former { cluster: ClusterId(9), member: Id(1), storage: StorageId::from_bytes([1; 16]) };
    const LAST: LogId = LogId { term: Term(3), index: Index(40) };

    fn settings(flag: bool) -> Settings {
        let flags = ["--name=m1".to_owned(), format!("--force-new-cluster={flag}")];
        match load(Mode::Quorate, &flags, std::iter::empty(), &|_| true).expect("nothing is wrong with them") {
            Wanted::Run(checked) => checked.settings,
            Wanted::Help(_) | Wanted::Version => panic!("neither was asked for"),
        }
    }

    fn empty() -> Place {
        Place::new(Arc::new(SimDisk::new()), Path::new("data"))
    }

    fn of(phase: Phase) -> Place {
        let place = empty();
        let info = NodeInfo { name: "m1".into(), ..NodeInfo::default() };
        place.write(&IdentityFile::format(FORMER.storage, &info, phase)).expect("no fault");
        place
    }

    fn running() -> Place {
        let place = empty();
        make_running(&place, "m1", FORMER);
        place
    }

    fn begun(place: &Place, flag: bool) -> Recovering {
        match due(place, &settings(flag)).expect("there is something") {
            Due::Begin(recovering) => recovering,
            other => panic!("not to begin: {other:?}"),
        }
    }

    /// Carries it out, as far as the identity goes.
    fn carry_out(place: &Place, flag: bool) -> Recovering {
        let recovering = begun(place, flag);
        recovering.begin(place).expect("no fault");
        recovering.finish(place, LAST).expect("no fault");
        let mut file = place.read().expect("no fault").expect("a file");
        file.phase = Phase::Running { cluster: recovering.cluster, member: recovering.member };
        place.write(&file).expect("no fault");
        recovering
    }

    #[test]
    fn what_is_asked_for_is_another_member_of_another_cluster() {
        let (one, other) = (begun(&running(), true), begun(&running(), true));
        assert_eq!(one.former, FORMER);
        for (new, former) in [(one.cluster.0, FORMER.cluster.0), (one.member.0, FORMER.member.0)] {
            assert!(new != 0 && new != former);
        }
        assert_ne!(one.storage, FORMER.storage);
        assert!(one.cluster != other.cluster && one.member != other.member && one.storage != other.storage);
    }

    #[test]
    fn once_it_has_begun_every_start_goes_on_with_the_same_ids() {
        let place = running();
        let recovering = begun(&place, true);
        assert_eq!(due(&place, &settings(false)).expect("no fault"), Due::Nothing, "nothing was written");
        recovering.begin(&place).expect("no fault");
        for flag in [false, true] {
            assert_eq!(due(&place, &settings(flag)).expect("no fault"), Due::GoOn(recovering.clone()));
        }
        recovering.finish(&place, LAST).expect("no fault");
        for flag in [true, false] {
            assert_eq!(due(&place, &settings(flag)).expect("no fault"), Due::Nothing);
        }
    }

    #[test]
    fn the_flag_is_heeded_once_until_it_has_been_left_out() {
        let place = running();
        let first = carry_out(&place, true);
        for _ in 0..3 {
            assert_eq!(due(&place, &settings(true)).expect("no fault"), Due::Nothing);
        }
        assert_eq!(due(&place, &settings(false)).expect("no fault"), Due::Nothing);
        let second = begun(&place, true);
        assert_eq!((second.former.cluster, second.former.member), (first.cluster, first.member));
    }

    #[test]
    fn a_request_is_carried_out_by_the_next_start_and_only_once() {
        let place = running();
        want_recovery(&place, "monday").expect("no fault");
        let recovering = carry_out(&place, false);
        assert_eq!((recovering.request.as_deref(), recovering.flag), (Some("monday"), false));
        assert_eq!(due(&place, &settings(false)).expect("no fault"), Due::Nothing);
        let file = place.read().expect("no fault").expect("a file");
        let recovered = file.recovered.expect("it was");
        assert_eq!((recovered.former, recovered.log_start()), (FORMER, LAST));
        assert_eq!((recovered.request.as_deref(), file.storage), (Some("monday"), recovering.storage));
    }

    #[test]
    fn a_disk_that_has_taken_part_in_nothing_is_left_alone() {
        for place in [empty(), of(Phase::Joining), of(Phase::Forming { member: Id(1) })] {
            let before = place.read().expect("no fault");
            let refused = due(&place, &settings(true)).expect_err("nothing is there");
            assert!(matches!(refused, BootstrapError::NothingToRecover(_)), "{refused}");
            assert_eq!(due(&place, &settings(false)).expect("no fault"), Due::Nothing);
            assert_eq!(place.read().expect("no fault"), before);
        }
    }

    #[test]
    fn a_directory_of_another_member_is_refused_before_anything_is_made_of_it() {
        let place = running();
        let other = Settings { name: "m2".into(), ..settings(true) };
        assert!(matches!(due(&place, &other), Err(BootstrapError::OtherName { .. })));
    }
}
