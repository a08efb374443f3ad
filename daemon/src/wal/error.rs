//! Why the log cannot be opened, and why it cannot go on.

use raft::{Index, LogId, MemberId};
use std::io;

/// Which log this is: the header of every segment says so, and another one's is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub member: MemberId,
    /// The disk it was formatted on.
    pub storage: [u8; 16],
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("{doing} {file}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// There is no log where one is expected. The disk has been wiped or is another one.
    #[error("there is no log: the disk was wiped or replaced; remove the member and add a new one")]
    Missing,
    /// It is the log of another cluster, member or disk.
    #[error("{file} belongs to {found}, this is {expected}")]
    Foreign {
        /// The segment.
        file: String,
        /// Whose it is.
        found: Identity,
        /// Who asks.
        expected: Identity,
    },
    /// A segment that must be there is not.
    #[error("segment {missing} is missing: the log needs everything from segment {first} to {last}")]
    MissingSegment {
        /// The first that is not there.
        missing: u64,
        /// The first that is needed.
        first: u64,
        /// The last there is.
        last: u64,
    },
    /// Bytes that had been durable are not what was written.
    #[error("{file} is corrupt at offset {offset}, after entry {after}: {problem}")]
    Corrupt {
        /// The segment.
        file: String,
        /// The byte where the sound part ends.
        offset: u64,
        /// The last sound entry before it.
        after: LogId,
        /// What is wrong.
        problem: Problem,
    },
    /// A later version wrote it.
    #[error("{file} has format version {version}, this program reads {ours}")]
    Version {
        /// The segment.
        file: String,
        /// Its version.
        version: u32,
        /// Ours.
        ours: u32,
    },
    /// A new log could not be begun.
    #[error("beginning a log: {0}")]
    Create(WalError),
}

impl OpenError {
    /// Whether what was written has changed or is gone. What another version wrote, whole, has not; nor has what the disk
    /// only refused to show.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { problem, .. } => !matches!(
                problem,
                Problem::Control { .. } | Problem::Record { why: raft::RecordError::Unknown { .. }, .. }
            ),
            Self::MissingSegment { .. } => true,
            Self::Io { .. } | Self::Missing | Self::Foreign { .. } | Self::Version { .. } | Self::Create(_) => false,
        }
    }
}

/// What is wrong with bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file ends too early.
    #[error("the file ends")]
    Ends,
    /// No batch starts here.
    #[error("no batch of this segment starts here")]
    NoBatch,
    /// A batch starts here and does not follow from the one before it.
    #[error("the batch continues chain {stored:#010x}, the one before it ends {expected:#010x}")]
    Chain {
        /// What it says.
        stored: u32,
        /// What it should say.
        expected: u32,
    },
    /// The batch's checksum is wrong.
    #[error("the batch checksum is {stored:#010x}, its bytes give {computed:#010x}")]
    BatchChecksum {
        /// What it says.
        stored: u32,
        /// What its bytes say.
        computed: u32,
    },
    /// The batch names lengths that cannot be.
    #[error("the batch names impossible lengths")]
    Lengths,
    /// A record in it is not sound.
    #[error("record {nth} of the batch: {why}")]
    Record {
        /// Which, from 0.
        nth: u32,
        /// What is wrong with it.
        why: raft::RecordError,
    },
    /// A control record in it is not of this version.
    #[error("control record of unknown kind {kind}")]
    Control {
        /// The kind.
        kind: u8,
    },
    /// A control record is cut short.
    #[error("a control record is cut short")]
    ControlShort,
    /// The segment's header is not sound.
    #[error("the segment header's checksum does not match")]
    Header,
    /// The file holds another segment than its name says.
    #[error("the file holds segment {found}")]
    Misnamed {
        /// The segment in the header.
        found: u64,
    },
    /// The segment does not follow from the one before it.
    #[error("the next segment follows one that ends at {expected}, this one ends at {found}")]
    SegmentEnd {
        /// Where the next segment says that this one ends.
        expected: u64,
        /// Where it does.
        found: u64,
    },
    /// The file has lost its end.
    #[error("the file had {expected} bytes when the segment began, and has {found}")]
    Shortened {
        /// Its length then.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// The entries do not follow each other.
    #[error("entry {found} follows entry {last}")]
    Gap {
        /// The entry.
        found: LogId,
        /// The one before it.
        last: LogId,
    },
    /// What the segment says of the log so far is not what the log says.
    #[error("the checkpoint of the segment contradicts the segments before it")]
    Checkpoint,
    /// What the segment says of the log cannot be true of any log.
    #[error("what the segment says of the log contradicts itself")]
    Contradiction,
    /// The first segment there is does not say what came before it.
    #[error("the segment does not begin with a checkpoint")]
    NoCheckpoint,
    /// Entries that should be in the log are in no segment.
    #[error("entry {first} is in no segment")]
    Lost {
        /// The first one.
        first: Index,
    },
}

/// Why the log cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A write, a sync or a new segment failed: what is on the disk is not known.
    #[error("{doing} {file}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// There is no room for the entries, and none was made when it was asked for.
    #[error("the disk is full")]
    DiskFull,
    /// It failed before; nothing is tried again.
    #[error("the log has failed before")]
    Poisoned,
}

/// Why entries could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are below the start of the log.
    #[error("entry {0} has been compacted")]
    Compacted(Index),
    /// They are not written yet, or not any more.
    #[error("entry {0} is not in the log")]
    Absent(Index),
    /// The disk failed or its bytes are not what was written.
    #[error("segment {segment} at {offset}: {why}")]
    Unreadable {
        /// The segment.
        segment: u64,
        /// The byte.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cluster {:x} member {:x} disk {:032x}",
            self.cluster,
            self.member.0,
            u128::from_be_bytes(self.storage)
        )
    }
}
