//! The manifest: what a snapshot is of, and the chunks it consists of, in order.
//!
//! ```text
//!   magic "QSNP" │ format u16 = 1 │ zero u16
//!   cluster u64 │ index u64 │ term u64 │ membership index u64 │ revision u64 │ state hash u64 │ created u64 (µs since 1970)
//!   daemon version: length u32 │ text        membership: length u32 │ bytes, as in a log entry
//!   chunks: count u32 │ (digest 32 bytes │ stored bytes u32 │ raw bytes u32) × count
//! ```
//!
//! Integers are little-endian. The digest of these bytes is the snapshot's id, so whoever knows the id needs to trust
//! nobody: the manifest is the one, its chunks are the ones it names, and the rows in them are checked for what else a
//! store relies on.
//!
//! * Another format, a length beyond its bound, or a byte too many or too few is refused.
//! * A later format gets another number; a reader keeps the old ones. Format 2 is this one, encrypted: `seal` says how.

use super::chunk::{CHUNK_RAW_BYTES_MAX, CHUNK_STORED_BYTES_MAX, Chunk};
use super::digest::{Digest, SnapshotId};
use crate::bootstrap::ClusterId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{Index, LogId, Membership, Term};

const MAGIC: &[u8; 4] = b"QSNP";
/// The format that this program writes.
const FORMAT: u16 = 1;

/// `CARGO_PKG_VERSION` of whoever took it is shorter.
const VERSION_BYTES_MAX: usize = 64;

/// Far more members than a cluster has, each with as large a description as is allowed.
const MEMBERSHIP_BYTES_MAX: usize = 4 << 20;

/// A terabyte of blocks of one megabyte.
const CHUNKS_MAX: usize = 1 << 20;

const CHUNK_RECORD_BYTES: usize = Digest::BYTES + 4 + 4;

/// The longest manifest: what is read of one that claims to be longer is nothing.
pub const MANIFEST_BYTES_MAX: u64 =
    (128 + VERSION_BYTES_MAX + MEMBERSHIP_BYTES_MAX + CHUNKS_MAX * CHUNK_RECORD_BYTES) as u64;

/// What a snapshot is of, and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster it was taken of.
    pub cluster: ClusterId,
    /// The last log entry that is in it.
    pub last: LogId,
    /// The newest revision in it.
    pub revision: i64,
    /// The hash of everything applied up to [`Manifest::last`]; the same on every member.
    pub state_hash: u64,
    /// When it was taken, in microseconds since 1970.
    pub created_us: u64,
    /// The version of the daemon that took it.
    pub daemon_version: String,
    /// Where the membership stands in the log.
    pub membership_at: Index,
    /// The membership in force at [`Manifest::last`].
    pub membership: Membership,
    /// Its chunks, in the order of the image's blocks.
    pub chunks: Vec<Chunk>,
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// They do not begin like one.
    #[error("is no manifest of a snapshot")]
    Magic,
    /// They are of a version that is not known here.
    #[error("has format {0}; this version reads format {FORMAT}")]
    Format(u16),
    /// They end too early or go on too long.
    #[error("is cut short or has bytes left over")]
    Length,
    /// A field is beyond its bound, or holds what it cannot.
    #[error("has a field that cannot be: {0}")]
    Field(&'static str),
    /// They are a manifest, but of another snapshot.
    #[error("has the digest {found} instead of {expected}")]
    Digest {
        /// The snapshot that was asked for.
        expected: SnapshotId,
        /// The snapshot that the bytes are of.
        found: SnapshotId,
    },
}

impl Manifest {
    /// Its bytes; the module says how they are laid out.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256 + self.chunks.len() * CHUNK_RECORD_BYTES);
        out.put_slice(MAGIC);
        out.put_u16_le(FORMAT);
        out.put_u16_le(0);
        let revision = self.revision.cast_unsigned();
        let (last, at) = (self.last, self.membership_at);
        for number in [self.cluster.0, last.index.0, last.term.0, at.0, revision, self.state_hash, self.created_us] {
            out.put_u64_le(number);
        }
        put_part(self.daemon_version.as_bytes(), &mut out);
        put_part(&self.membership.encode(), &mut out);
        out.put_u32_le(length(self.chunks.len()));
        for chunk in &self.chunks {
            out.put_slice(chunk.digest.as_bytes());
            out.put_u32_le(chunk.stored_bytes);
            out.put_u32_le(chunk.raw_bytes);
        }
        out.freeze()
    }

    /// The manifest in `bytes`, and its id.
    ///
    /// # Errors
    /// [`ManifestError`] if they are none, or one that this version does not read.
    pub fn decode(bytes: &[u8]) -> Result<(SnapshotId, Self), ManifestError> {
        let id = SnapshotId(Digest::of(bytes));
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(ManifestError::Magic)?;
        let (format, zero) = (rest.try_get_u16_le()?, rest.try_get_u16_le()?);
        if (format, zero) != (FORMAT, 0) {
            return Err(ManifestError::Format(format));
        }
        let manifest = Self::take(&mut rest)?;
        if !rest.is_empty() {
            return Err(ManifestError::Length);
        }
        manifest.check()?;
        Ok((id, manifest))
    }

    fn take(rest: &mut &[u8]) -> Result<Self, ManifestError> {
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = rest.try_get_u64_le()?;
        }
        let [cluster, index, term, membership_at, revision, state_hash, created_us] = numbers;
        let version = take_part(rest, VERSION_BYTES_MAX, "the daemon's version is too long")?;
        let membership = take_part(rest, MEMBERSHIP_BYTES_MAX, "the membership is too long")?;
        Ok(Self {
            cluster: ClusterId(cluster),
            last: LogId { term: Term(term), index: Index(index) },
            revision: revision.cast_signed(),
            state_hash,
            created_us,
            daemon_version: text(version)?,
            membership_at: Index(membership_at),
            membership: Membership::decode(Bytes::copy_from_slice(membership))
                .map_err(|_| ManifestError::Field("the membership cannot be read"))?,
            chunks: take_chunks(rest)?,
        })
    }

    fn check(&self) -> Result<(), ManifestError> {
        let wrong = |what| Err(ManifestError::Field(what));
        match self {
            _ if self.revision < 1 => wrong("the revision is below 1"),
            _ if self.membership_at > self.last.index => wrong("the membership is newer than the snapshot"),
            _ if self.membership.voters.is_empty() => wrong("the membership has no voter"),
            _ if self.chunks.is_empty() => wrong("it has no chunks"),
            _ => Ok(()),
        }
    }

    /// Its id, where it is kept as it is.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        SnapshotId(Digest::of(&self.encode()))
    }

    /// What all of its chunks take, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).sum()
    }

    /// What its chunks unpack to, in bytes.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.raw_bytes)).sum()
    }
}

impl From<bytes::TryGetError> for ManifestError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Length
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("every part of a manifest is bounded far below")
}

fn put_part(part: &[u8], out: &mut BytesMut) {
    out.put_u32_le(length(part.len()));
    out.put_slice(part);
}

fn take_part<'a>(rest: &mut &'a [u8], bytes_max: usize, too_long: &'static str) -> Result<&'a [u8], ManifestError> {
    let length = rest.try_get_u32_le()? as usize;
    if length > bytes_max {
        return Err(ManifestError::Field(too_long));
    }
    let (part, after) = rest.split_at_checked(length).ok_or(ManifestError::Length)?;
    *rest = after;
    Ok(part)
}

/// It is printed to terminals.
fn text(bytes: &[u8]) -> Result<String, ManifestError> {
    match str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(ManifestError::Field("the daemon's version is no plain text")),
    }
}

fn take_chunks(rest: &mut &[u8]) -> Result<Vec<Chunk>, ManifestError> {
    let count = rest.try_get_u32_le()? as usize;
    if count > CHUNKS_MAX {
        return Err(ManifestError::Field("it has too many chunks"));
    }
    if rest.len() != count * CHUNK_RECORD_BYTES {
        return Err(ManifestError::Length);
    }
    (0..count).map(|_| take_chunk(rest)).collect()
}

fn take_chunk(rest: &mut &[u8]) -> Result<Chunk, ManifestError> {
    let mut digest = [0; Digest::BYTES];
    rest.try_copy_to_slice(&mut digest)?;
    let (stored_bytes, raw_bytes) = (rest.try_get_u32_le()?, rest.try_get_u32_le()?);
    if stored_bytes > CHUNK_STORED_BYTES_MAX || raw_bytes > CHUNK_RAW_BYTES_MAX {
        return Err(ManifestError::Field("a chunk is too large"));
    }
    if stored_bytes == 0 || raw_bytes == 0 {
        return Err(ManifestError::Field("a chunk is empty"));
    }
    Ok(Chunk { digest: Digest::from_bytes(digest), stored_bytes, raw_bytes })
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
