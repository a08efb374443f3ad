//! How a member comes to be one: it formats its disk, learns who the others are, and from then on starts from what
//! its disk says.
//!
//! ```text
//!   empty ─▶ Forming ──(everybody heard)────────▶ Admitted ─(log created)─▶ Running
//!        │      └─(a place was added for it)─┐
//!        └─▶ Joining ──(bound by leader)─────┴▶ Admitted
//!
//!   Running ─(its quorum is lost, and somebody asks)─▶ Recovering ─▶ Admitted, to a new cluster
//! ```
//!
//! * A disk gets a random storage id once, and the cluster binds the member id to it. Whoever comes with the same
//!   name or id and another disk is refused: its votes and acknowledgements would be forgotten ones.
//! * A cluster is formed only while disks are empty; afterwards the settings about forming are looked at only to
//!   refuse a data directory that was put in the place of another cluster's member.

mod ask;
mod error;
mod file;
mod foreign;
mod form;
mod ids;
mod node_info;
mod place;
mod recovered;
mod restored;

pub use error::{
    BootstrapError, EXIT_DAMAGED, EXIT_DISK_REPLACED, EXIT_FAILED, EXIT_RECOVERING, EXIT_REMOVED, EXIT_WRONG_IDENTITY,
};
pub use file::{IDENTITY_FILE, IdentityFile};
pub use ids::{ClusterId, StorageId, StorageIdError};
pub use node_info::{NODE_INFO_BYTES_MAX, NodeInfo, NodeInfoError};
pub use place::Place;
pub(crate) use recovered::{Due, Recovering, due, want_recovery};
pub use recovered::{Former, Recovered};
#[cfg(test)]
pub(crate) use recovered::{is_running_as, make_running};
pub use restored::{Restored, format_restored, heed_restored};

use crate::config::Settings;
use crate::config::settings::ClusterState;
use crate::disk::RealDisk;
use crate::tls::ClientTls;
use crate::transport::gate::Gate;
use crate::transport::hello::{BindReply, Introduction, KnownCluster, PROTOCOL_VERSION};
use admin_api::Id;
use file::{Admission, Phase};
use form::{Forming, Founder};
use raft::{LogId, MemberId, Membership};
use std::path::Path;
use std::time::Duration;
use tracing::{info, warn};

/// The pause between two rounds of asking. Members of a new cluster start within seconds of each other.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often it is said again who is being waited for.
const SAY_EVERY: u32 = 25;

/// Who this member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id, for good.
    pub member: MemberId,
    /// Its disk.
    pub storage: StorageId,
    /// Its name.
    pub name: String,
    /// How often the process has started on this disk, this time included.
    pub boot: u64,
}

/// Whether the data directory belongs to a member of a cluster: what the settings say about forming one is history.
/// An unreadable directory is none that could be formed anew either; opening it will say why.
#[must_use]
pub fn is_formed(directory: &Path) -> bool {
    match IdentityFile::read(&RealDisk::read_only(directory)) {
        Ok(file) => file.is_some_and(|file| {
            let formed = matches!(file.phase, Phase::Admitted(_) | Phase::Running { .. } | Phase::Recovering(_));
            file.restored.is_some() || formed
        }),
        Err(_) => true,
    }
}

/// A disk that has been formatted: what is known before the peers are heard.
#[derive(Debug)]
pub struct Formatted {
    place: Place,
    file: IdentityFile,
    info: NodeInfo,
    token: String,
}

/// A member of a cluster, ready for its log.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// How it describes itself.
    pub info: NodeInfo,
    /// Where its log begins.
    pub log: LogStart,
    place: Place,
    file: IdentityFile,
}

/// Where the log of a member begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// There is one; if it is missing, it has been lost.
    Exists,
    /// It may have to be created, by a first member, with this configuration before its first entry.
    Founded(Membership),
    /// It may have to be created, by a first member of a cluster whose store was restored: it begins after the
    /// snapshot's last entry, with this configuration.
    Restored(LogId, Membership),
    /// It may have to be created, by the only member of a cluster that was made of a member of another: it begins after
    /// that one's last entry, with this configuration. What is there of the former log goes before.
    Recovered(LogId, Membership, Former),
    /// It may have to be created, empty, by a member that others send their log to; these are the others.
    Joined(KnownCluster),
}

impl Formatted {
    /// Formats the data directory if it is empty, and counts this start. The directory is claimed already.
    ///
    /// # Errors
    /// The disk fails, or belongs to a member with another name.
    pub fn open(settings: &Settings) -> Result<Self, BootstrapError> {
        Self::open_in(Place::claimed(&settings.data_dir), settings)
    }

    /// The same in a directory that is not the file system's.
    ///
    /// # Errors
    /// As [`Formatted::open`].
    pub(crate) fn open_in(place: Place, settings: &Settings) -> Result<Self, BootstrapError> {
        let mut info = NodeInfo {
            name: settings.name.clone(),
            peer_urls: settings.advertise.peer.iter().map(ToString::to_string).collect(),
            ..NodeInfo::default()
        };
        let mut file = match place.read()? {
            Some(file) => file,
            None => format(settings, &info)?,
        };
        file.refuse_other_name(&settings.name)?;
        if matches!(file.phase, Phase::Recovering(_)) {
            return Err(BootstrapError::Recovering);
        }
        file.boot += 1;
        place.write(&file)?;
        info.storage = Some(file.storage);
        let token = file.restored.as_ref().map_or_else(|| settings.bootstrap.token.clone(), Restored::founding_token);
        Ok(Self { token, place, file, info })
    }

    /// What this member tells whoever asks before it belongs to a cluster; its own gate, still closed.
    #[must_use]
    pub fn gate(&self) -> Gate {
        let (member, cluster) = match &self.file.phase {
            Phase::Forming { member } => (Some(*member), None),
            Phase::Joining => (None, None),
            Phase::Admitted(admission) => (Some(admission.member), Some(admission.known.clone())),
            // The configuration follows when the log has been read.
            Phase::Running { member, .. } => (Some(*member), None),
            Phase::Recovering(recovering) => (Some(recovering.member), None),
        };
        let introduction = Introduction {
            version: PROTOCOL_VERSION,
            member,
            storage: self.file.storage,
            info: self.info.clone(),
            token: self.token.clone(),
            cluster,
        };
        Gate::new(introduction, self.file.boot)
    }

    /// Waits until this member belongs to a cluster. The peer port must be served meanwhile.
    ///
    /// # Errors
    /// The cluster refuses it, or the disk fails.
    pub async fn admit(
        mut self,
        settings: &Settings,
        gate: &Gate,
        tls: Option<&ClientTls>,
    ) -> Result<Admitted, BootstrapError> {
        let admission = match &self.file.phase {
            Phase::Running { cluster, member } => {
                let (cluster, member) = (*cluster, *member);
                return Ok(self.admitted(cluster, member, LogStart::Exists));
            }
            Phase::Admitted(admission) => admission.clone(),
            Phase::Forming { member } => {
                let founder = self.founder(*member);
                // Where the log of the cluster begins; only its first members know a configuration of that time.
                let first = self.file.restored.as_ref().map_or(0, |restored| restored.log_start().index.0);
                match form(&founder, settings, gate, tls).await? {
                    // A peer that formed earlier may know a configuration that has moved on: it comes with the log.
                    Some(known) => {
                        let founder = known.membership_at == 0 || known.membership_at == first;
                        Admission { member: *member, founder, known }
                    }
                    None => join(&self.info, settings, gate, tls).await?,
                }
            }
            Phase::Joining => join(&self.info, settings, gate, tls).await?,
            Phase::Recovering(_) => return Err(BootstrapError::Recovering),
        };
        self.file.phase = Phase::Admitted(admission.clone());
        self.save()?;
        let log = if admission.founder {
            let voters = admission.known.members.iter().map(|(id, info)| (MemberId(id.0), info.encode()));
            let membership = Membership::bootstrap(voters);
            match (&self.file.recovered, &self.file.restored) {
                (Some(recovered), _) => LogStart::Recovered(recovered.log_start(), membership, recovered.former),
                (None, Some(restored)) => LogStart::Restored(restored.log_start(), membership),
                (None, None) => LogStart::Founded(membership),
            }
        } else {
            LogStart::Joined(admission.known.clone())
        };
        Ok(self.admitted(admission.known.id, admission.member, log))
    }

    fn founder(&self, member: Id) -> Founder {
        Founder { member, storage: self.file.storage, info: self.info.clone(), token: self.token.clone() }
    }

    fn save(&self) -> Result<(), BootstrapError> {
        self.place.write(&self.file)
    }

    fn admitted(self, cluster: ClusterId, member: Id, log: LogStart) -> Admitted {
        let identity = Identity {
            cluster,
            member: MemberId(member.0),
            storage: self.file.storage,
            name: self.file.name.clone(),
            boot: self.file.boot,
        };
        Admitted { identity, info: self.info, log, place: self.place, file: self.file }
    }
}

impl Admitted {
    /// Refuses a data directory that was put where another cluster has a member. `known` is what its log says; a
    /// member that is new has none, and was judged when it was admitted.
    ///
    /// # Errors
    /// A peer that the settings name says so.
    pub async fn refuse_wrong_place(
        &self,
        settings: &Settings,
        known: &KnownCluster,
        gate: &Gate,
        tls: Option<&ClientTls>,
    ) -> Result<(), BootstrapError> {
        if self.log != LogStart::Exists {
            return Ok(());
        }
        let strangers = foreign::strangers(&settings.bootstrap.members, known);
        let heard = ask::introductions(&strangers, &gate.introduction(), tls).await;
        let former = self.recovered().map(|recovered| recovered.former.cluster);
        foreign::weigh(self.identity.cluster, former, &self.info.peer_urls, &heard)
    }

    /// What its cluster was made of, if that was a member of another one.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.file.recovered.as_ref()
    }

    /// Where its identity is kept.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The log has been created and is durable: from now on it must be there.
    ///
    /// # Errors
    /// The disk fails.
    pub fn log_created(&mut self) -> Result<(), BootstrapError> {
        let Identity { cluster, member, .. } = self.identity;
        let phase = Phase::Running { cluster, member: Id(member.0) };
        if self.file.phase != phase {
            self.file.phase = phase;
            self.place.write(&self.file)?;
        }
        Ok(())
    }
}

fn format(settings: &Settings, info: &NodeInfo) -> Result<IdentityFile, BootstrapError> {
    let phase = match settings.bootstrap.state {
        ClusterState::New => Phase::Forming { member: new_member_id()? },
        ClusterState::Existing => Phase::Joining,
    };
    let storage = new_storage_id()?;
    info!(name = settings.name, %storage, ?phase, "formatting the data directory");
    Ok(IdentityFile::format(storage, info, phase))
}

/// An id that nobody has had or will have.
///
/// # Errors
/// The operating system gives no randomness.
pub fn new_member_id() -> Result<Id, BootstrapError> {
    // Zero names nobody.
    getrandom::u64().map(|id| Id(id.max(1))).map_err(BootstrapError::NoRandomness)
}

/// A name that no disk has had or will have.
fn new_storage_id() -> Result<StorageId, BootstrapError> {
    let mut storage = [0; 16];
    getrandom::fill(&mut storage).map_err(BootstrapError::NoRandomness)?;
    Ok(StorageId::from_bytes(storage))
}

/// The cluster that this member is one of the first of; none when it is to join.
async fn form(
    founder: &Founder,
    settings: &Settings,
    gate: &Gate,
    tls: Option<&ClientTls>,
) -> Result<Option<KnownCluster>, BootstrapError> {
    let members = &settings.bootstrap.members;
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    if !names.contains(&settings.name) {
        return Err(BootstrapError::NotNamed(settings.name.clone()));
    }
    let (mut heard, mut said) = (std::collections::BTreeMap::new(), Vec::new());
    for round in 0_u32.. {
        heard.extend(ask::introductions(members, &gate.introduction(), tls).await);
        match form::weigh(founder, &names, &heard)? {
            Forming::Formed(known) => {
                info!(cluster = %known.id, member = %founder.member, members = known.members.len(), "formed");
                return Ok(Some(known));
            }
            Forming::Expected => {
                info!("the cluster is formed and has a place for this member");
                return Ok(None);
            }
            Forming::Waiting(missing) if missing != said || round % SAY_EVERY == 0 => {
                info!(?missing, "waiting for the other first members");
                said = missing;
            }
            Forming::Waiting(_) => {}
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    unreachable!("the rounds are counted up to 4 billion, which is 27 years")
}

async fn join(
    info: &NodeInfo,
    settings: &Settings,
    gate: &Gate,
    tls: Option<&ClientTls>,
) -> Result<Admission, BootstrapError> {
    let members = &settings.bootstrap.members;
    for round in 0_u32.. {
        let heard = ask::introductions(members, &gate.introduction(), tls).await;
        let clusters = heard.into_iter().filter_map(|(name, heard)| Some((name, heard.cluster?)));
        // Of two clusters, where one was made of a member of the other, the one with a place for this member is meant.
        let (meant, others): (Vec<_>, Vec<_>) =
            clusters.map(|(name, known)| (find(info, &known), name, known)).partition(|(found, ..)| found.is_ok());
        let meant = if meant.is_empty() { others } else { meant };
        for (found, name, known) in meant {
            // What a peer shows of its cluster may be taken back; what it answers is committed.
            let replaced = match found {
                Ok(()) => false,
                Err(BootstrapError::DiskReplaced) => true,
                Err(other) => return Err(other),
            };
            let at = members.iter().find(|member| member.name == name);
            let addresses = at.map(|member| member.peer_urls.as_slice()).unwrap_or_default();
            match ask::bind(addresses, info, tls).await {
                BindReply::Bound { member } => {
                    info!(cluster = %known.id, %member, "joined");
                    return Ok(Admission { member, founder: false, known });
                }
                BindReply::Later { why } => warn!(peer = name, why, "cannot join yet"),
                BindReply::Never { .. } if replaced => return Err(BootstrapError::DiskReplaced),
                BindReply::Never { why } => return Err(BootstrapError::BindRefused(why)),
            }
        }
        if round % SAY_EVERY == 0 {
            info!("waiting for a member of the cluster to join");
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    unreachable!("the rounds are counted up to 4 billion, which is 27 years")
}

/// Whether the cluster, as a peer shows it, has a place for this member.
fn find(info: &NodeInfo, known: &KnownCluster) -> Result<(), BootstrapError> {
    match known.members.values().find(|there| there.is_at(&info.peer_urls)) {
        None => Err(BootstrapError::NotAdded { cluster: known.id, urls: info.peer_urls.clone() }),
        Some(there) if there.storage.is_none() || there.storage == info.storage => Ok(()),
        Some(_) => Err(BootstrapError::DiskReplaced),
    }
}
