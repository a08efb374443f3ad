//! How a member comes to be one: it formats its disk, learns who the others are, and from then on starts from what
//! its disk says.
//!
//! ```text
//!   empty ─▶ Forming ──(everybody heard)──▶ Admitted ─(log created)─▶ Running
//!        └─▶ Joining ──(bound by leader)──▶ Admitted
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

pub use error::{BootstrapError, EXIT_DISK_REPLACED, EXIT_FAILED, EXIT_REMOVED, EXIT_WRONG_IDENTITY};
pub use file::IDENTITY_FILE;
pub use ids::{ClusterId, StorageId, StorageIdError};
pub use node_info::{NODE_INFO_BYTES_MAX, NodeInfo, NodeInfoError};

use crate::config::Settings;
use crate::config::settings::ClusterState;
use crate::tls::ClientTls;
use crate::transport::gate::Gate;
use crate::transport::hello::{BindReply, Introduction, KnownCluster, PROTOCOL_VERSION};
use admin_api::Id;
use file::{Admission, IdentityFile, Phase};
use form::{Forming, Founder};
use raft::{MemberId, Membership};
use std::path::{Path, PathBuf};
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
    match IdentityFile::read(directory) {
        Ok(file) => file.is_some_and(|file| matches!(file.phase, Phase::Admitted(_) | Phase::Running { .. })),
        Err(_) => true,
    }
}

/// A disk that has been formatted: what is known before the peers are heard.
#[derive(Debug)]
pub struct Formatted {
    directory: PathBuf,
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
    directory: PathBuf,
    file: IdentityFile,
}

/// Where the log of a member begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// There is one; if it is missing, it has been lost.
    Exists,
    /// It may have to be created, by a first member, with this configuration before its first entry.
    Founded(Membership),
    /// It may have to be created, empty, by a member that others send their log to; these are the others.
    Joined(KnownCluster),
}

impl Formatted {
    /// Formats the data directory if it is empty, and counts this start. The directory is claimed already.
    ///
    /// # Errors
    /// The disk fails, or belongs to a member with another name.
    pub fn open(settings: &Settings) -> Result<Self, BootstrapError> {
        if settings.bootstrap.force_new_cluster {
            return Err(BootstrapError::ForceNewCluster);
        }
        let directory = settings.data_dir.clone();
        let at = |source| BootstrapError::Io { path: directory.join(IDENTITY_FILE), source };
        let mut info = NodeInfo {
            name: settings.name.clone(),
            peer_urls: settings.advertise.peer.iter().map(ToString::to_string).collect(),
            storage: None,
        };
        let mut file = match IdentityFile::read(&directory).map_err(at)? {
            Some(file) if file.name == settings.name => file,
            Some(file) => return Err(BootstrapError::OtherName { found: file.name, given: settings.name.clone() }),
            None => format(settings, &info)?,
        };
        file.boot += 1;
        file.write(&directory).map_err(at)?;
        info.storage = Some(file.storage);
        Ok(Self { token: settings.bootstrap.token.clone(), directory, file, info })
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
                let known = form(&founder, settings, gate, tls).await?;
                // A peer that formed earlier may know a configuration that has moved on: it comes with the log.
                Admission { member: *member, founder: known.membership_at == 0, known }
            }
            Phase::Joining => join(&self.info, settings, gate, tls).await?,
        };
        self.file.phase = Phase::Admitted(admission.clone());
        self.save()?;
        let log = if admission.founder {
            let voters = admission.known.members.iter().map(|(id, info)| (MemberId(id.0), info.encode()));
            LogStart::Founded(Membership::bootstrap(voters))
        } else {
            LogStart::Joined(admission.known.clone())
        };
        Ok(self.admitted(admission.known.id, admission.member, log))
    }

    fn founder(&self, member: Id) -> Founder {
        Founder { member, storage: self.file.storage, info: self.info.clone(), token: self.token.clone() }
    }

    fn save(&self) -> Result<(), BootstrapError> {
        save(&self.file, &self.directory)
    }

    fn admitted(self, cluster: ClusterId, member: Id, log: LogStart) -> Admitted {
        let identity = Identity {
            cluster,
            member: MemberId(member.0),
            storage: self.file.storage,
            name: self.file.name.clone(),
            boot: self.file.boot,
        };
        Admitted { identity, info: self.info, log, directory: self.directory, file: self.file }
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
        foreign::weigh(self.identity.cluster, &self.info.peer_urls, &heard)
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
            save(&self.file, &self.directory)?;
        }
        Ok(())
    }
}

fn save(file: &IdentityFile, directory: &Path) -> Result<(), BootstrapError> {
    file.write(directory).map_err(|source| BootstrapError::Io { path: directory.join(IDENTITY_FILE), source })
}

fn format(settings: &Settings, info: &NodeInfo) -> Result<IdentityFile, BootstrapError> {
    let mut storage = [0; 16];
    getrandom::fill(&mut storage).map_err(BootstrapError::NoRandomness)?;
    let phase = match settings.bootstrap.state {
        ClusterState::New => Phase::Forming { member: new_member_id()? },
        ClusterState::Existing => Phase::Joining,
    };
    let storage = StorageId::from_bytes(storage);
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

async fn form(
    founder: &Founder,
    settings: &Settings,
    gate: &Gate,
    tls: Option<&ClientTls>,
) -> Result<KnownCluster, BootstrapError> {
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
                return Ok(known);
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
        for (name, introduction) in ask::introductions(members, &gate.introduction(), tls).await {
            let Some(known) = introduction.cluster else { continue };
            if let Some(member) = find(info, &known)? {
                return Ok(Admission { member, founder: false, known });
            }
            let at = members.iter().find(|member| member.name == name);
            let addresses = at.map(|member| member.peer_urls.as_slice()).unwrap_or_default();
            match ask::bind(addresses, info, tls).await {
                BindReply::Bound { member } => {
                    info!(cluster = %known.id, %member, "joined");
                    return Ok(Admission { member, founder: false, known });
                }
                BindReply::Later { why } => warn!(peer = name, why, "cannot join yet"),
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

/// This member's id, if the cluster has bound it to this disk already.
fn find(info: &NodeInfo, known: &KnownCluster) -> Result<Option<Id>, BootstrapError> {
    let mut places = known.members.iter().filter(|(_, there)| there.is_at(&info.peer_urls));
    match places.next() {
        None => Err(BootstrapError::NotAdded { cluster: known.id, urls: info.peer_urls.clone() }),
        Some((_, there)) if there.storage.is_none() => Ok(None),
        Some((id, there)) if there.storage == info.storage => Ok(Some(*id)),
        Some(_) => Err(BootstrapError::DiskReplaced),
    }
}
