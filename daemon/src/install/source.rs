//! Where chunks come from: object storage, other members, the leader, in this order. One is used at a time; what it
//! does not give, the next one does.
//!
//! Object storage is not trusted, and not searched: a member says from the log which snapshot is the newest there, and
//! its name is the digest of its manifest. The leader is asked for it first, for nobody knows a later one, and that is
//! all that it sends.

use super::progress::{ProgressView, SourceKind};
use super::wire::{Answer, Ask};
use crate::bootstrap::NodeInfo;
use crate::node::Handle;
use crate::snapshot::{Manifest, SnapshotError, SnapshotName, StoredChunks};
use crate::stage::Stored;
use crate::transport::frame::{FRAME_BYTES_MAX, FrameKind};
use crate::transport::{ConnectError, Connection, Local, open_snapshot_lane};
use admin_api::Id;
use bytes::Bytes;
use objects::ObjectName;
use raft::{Index, MemberId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take. A chunk waits for its turn at the giver's limit of bytes per second, and a member that
/// is there answers much sooner.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often a member that makes a snapshot ready is asked whether it is.
const READY_EVERY: Duration = Duration::from_millis(200);
/// How long it may take: reading a state of several GiB once, at half speed.
const READY_MAX: Duration = Duration::from_secs(120);

/// How long object storage may take to give a manifest, tries that failed included: an outage is then left to the
/// members.
const MANIFEST_MAX: Duration = Duration::from_secs(30);

/// A place to fetch from.
#[derive(Clone)]
pub(super) enum Source {
    /// Object storage.
    Objects(Arc<Stored>),
    /// A member.
    Member {
        /// Which.
        id: MemberId,
        /// It led when the sources were ordered.
        leads: bool,
    },
}

impl Source {
    /// Under what it is counted.
    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Objects(_) => SourceKind::Objects,
            Self::Member { leads: false, .. } => SourceKind::Member,
            Self::Member { leads: true, .. } => SourceKind::Leader,
        }
    }
}

/// Who gives the chunks of a snapshot that was found.
pub(super) enum Holder {
    /// Object storage.
    Objects(StoredChunks),
    /// A member.
    Member(MemberId),
}

/// Why a source did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The member has no address, or is none any more.
    #[error("{0} has no address")]
    NoAddress(Id),
    /// The link.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// It did not become ready in time.
    #[error("no snapshot was made ready in time")]
    NotReady,
    /// It gives too little.
    #[error("too slow: {arrived} bytes arrived within {within:?}")]
    Slow {
        /// What arrived.
        arrived: u64,
        /// In this time.
        within: Duration,
    },
    /// What it has was fetched before, and made no state.
    #[error("its snapshot was whole and could not be used")]
    Useless,
    /// Its answer makes no sense.
    #[error("an answer that makes no sense")]
    Nonsense,
    /// It has not applied that far, has no such snapshot, or not any more.
    #[error("it has no such snapshot")]
    Nothing,
    /// Object storage says so.
    #[error("{0}")]
    Objects(#[from] SnapshotError),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(_) => f.write_str("objects"),
            Self::Member { id, .. } => fmt::Display::fmt(&Id(id.0), f),
        }
    }
}

/// What calls go by.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) node: Handle,
    pub(super) local: Arc<Local>,
    /// Whom there is to ask. A member that joins knows them before its log does.
    pub(super) members: Arc<BTreeMap<MemberId, NodeInfo>>,
}

impl Way {
    /// The sources there are now, best first: members that do not lead before the one that does.
    pub(super) fn sources(&self, stored: Option<&Arc<Stored>>) -> Vec<Source> {
        let objects = stored.cloned().map(Source::Objects);
        let members = self.others().map(|(id, leads)| Source::Member { id, leads });
        let (leader, others): (Vec<_>, Vec<_>) = members.partition(|it| it.kind() == SourceKind::Leader);
        objects.into_iter().chain(others).chain(leader).collect()
    }

    /// The other members, and whether each of them leads.
    fn others(&self) -> impl Iterator<Item = (MemberId, bool)> {
        let (me, leader) = (self.node.identity().member, self.node.status().leader);
        self.members.keys().copied().filter(move |id| *id != me).map(move |id| (id, Some(id) == leader))
    }

    /// A connection to a member, for questions about snapshots.
    pub(super) async fn open(&self, member: MemberId) -> Result<Lane, SourceError> {
        let info = self.members.get(&member).ok_or(SourceError::NoAddress(Id(member.0)))?;
        let connection = open_snapshot_lane(&self.local, member, info).await?;
        connection.map(|connection| Lane { connection }).ok_or(SourceError::NoAddress(Id(member.0)))
    }

    /// The snapshot a source has that covers this entry, and who gives its chunks.
    pub(super) async fn describe(&self, source: &Source, at_least: Index) -> Result<(Manifest, Holder), SourceError> {
        match source {
            Source::Objects(stored) => {
                let name = self.name_staged(at_least).await?;
                let slow = |_| SourceError::Slow { arrived: 0, within: MANIFEST_MAX };
                let opened = timeout(MANIFEST_MAX, stored.open(&name)).await.map_err(slow)??;
                Ok((opened.manifest, Holder::Objects(opened.chunks)))
            }
            Source::Member { id, .. } => {
                let manifest = self.open(*id).await?.describe(at_least).await?;
                Ok((manifest, Holder::Member(*id)))
            }
        }
    }

    /// The newest snapshot in object storage that covers this entry, as the leader knows it from the log; or another
    /// member, if the leader does not answer.
    async fn name_staged(&self, at_least: Index) -> Result<SnapshotName, SourceError> {
        let (leader, others): (Vec<_>, Vec<_>) = self.others().partition(|(_, leads)| *leads);
        let mut answer = Err(SourceError::Nothing);
        for (id, _) in leader.into_iter().chain(others) {
            answer = async { self.open(id).await?.staged(at_least).await }.await;
            if matches!(answer, Ok(_) | Err(SourceError::Nothing)) {
                break;
            }
        }
        answer
    }

    /// Tells the leader how far this member has come.
    pub(super) async fn tell(&self, view: ProgressView) -> Result<(), SourceError> {
        let leader = self.node.status().leader.ok_or(SourceError::Nothing)?;
        self.open(leader).await?.ask(&Ask::Progress { view }).await.map(drop)
    }
}

/// A connection to a member that answers questions about snapshots.
pub(super) struct Lane {
    connection: Connection,
}

impl Lane {
    async fn ask(&mut self, ask: &Ask) -> Result<(Answer, Bytes), SourceError> {
        self.connection.say(FrameKind::SnapshotAsk, ask).await?;
        let next = timeout(ANSWER_MAX, self.connection.next(FRAME_BYTES_MAX));
        let frame = next.await.map_err(|_| ConnectError::TimedOut)??.ok_or(SourceError::Nonsense)?;
        if frame.kind != FrameKind::SnapshotAnswer {
            return Err(SourceError::Nonsense);
        }
        let answer = serde_json::from_slice(&frame.head).map_err(|_| SourceError::Nonsense)?;
        Ok((answer, frame.records))
    }

    async fn describe(&mut self, at_least: Index) -> Result<Manifest, SourceError> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            match self.ask(&Ask::Describe { index: at_least.0 }).await? {
                (Answer::Manifest, bytes) => {
                    let (_, manifest) = Manifest::decode(&bytes).map_err(|_| SourceError::Nonsense)?;
                    return Ok(manifest);
                }
                (Answer::Preparing, _) if Instant::now() < deadline => sleep(READY_EVERY).await,
                (Answer::Preparing, _) => return Err(SourceError::NotReady),
                (Answer::Behind | Answer::Gone, _) => return Err(SourceError::Nothing),
                (Answer::Chunk | Answer::Staged | Answer::Noted, _) => return Err(SourceError::Nonsense),
            }
        }
    }

    /// What is said to be the newest snapshot in object storage.
    async fn staged(&mut self, at_least: Index) -> Result<SnapshotName, SourceError> {
        match self.ask(&Ask::Staged { index: at_least.0 }).await? {
            (Answer::Staged, name) => {
                let text = str::from_utf8(&name).map_err(|_| SourceError::Nonsense)?;
                let object = ObjectName::new(text).map_err(|_| SourceError::Nonsense)?;
                SnapshotName::of(&object).ok_or(SourceError::Nonsense)
            }
            (Answer::Gone, _) => Err(SourceError::Nothing),
            _ => Err(SourceError::Nonsense),
        }
    }

    /// The stored bytes of one chunk.
    pub(super) async fn chunk(&mut self, snapshot: &str, number: u32) -> Result<Bytes, SourceError> {
        match self.ask(&Ask::Chunk { snapshot: snapshot.to_owned(), number }).await? {
            (Answer::Chunk, bytes) => Ok(bytes),
            (Answer::Gone | Answer::Behind, _) => Err(SourceError::Nothing),
            (Answer::Manifest | Answer::Staged | Answer::Preparing | Answer::Noted, _) => Err(SourceError::Nonsense),
        }
    }
}
