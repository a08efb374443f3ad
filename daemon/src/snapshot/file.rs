//! A snapshot in one file, or one stream: what `Maintenance.Snapshot` sends and `etcdctl snapshot save` keeps.
//!
//! ```text
//!   "quorate snapshot" │ format u16 = 1 │ zero [14]
//!   chunks, back to back, in order │ manifest
//!   zeros up to the last 16 of 512 bytes │ where the manifest begins u64 │ its length u64
//!   SHA-256 of everything before
//! ```
//!
//! Integers are little-endian. The file is ours: it is no database of etcd, and `etcdutl` does not read it. What they
//! have in common is the end: etcdctl keeps a file only if its length is a multiple of 512 and 32 bytes more, and takes
//! those for the digest of the rest.
//!
//! * The manifest comes last because the chunks are not known before; so a stream needs no second look at the store.

use super::chunk::Chunk;
use super::digest::{Digest, Hasher, SnapshotId};
use super::error::{Damage, SnapshotError};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::source::ChunkSource;
use super::take::Piece;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tonic::async_trait;

const MAGIC: &[u8; 16] = b"quorate snapshot";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 32;
const TRAILER_BYTES: usize = 16;
/// What etcdctl expects the length of a database to be a multiple of.
const PAGE_BYTES: u64 = 512;
/// How much is read at once to compute the digest of a file.
const READ_BYTES: usize = 1 << 20;

/// Writes a snapshot as one stream.
#[derive(Clone)]
pub struct SnapshotWriter {
    hasher: Hasher,
    written: u64,
}

impl Default for SnapshotWriter {
    fn default() -> Self {
        Self { hasher: Hasher::new(), written: 0 }
    }
}

impl SnapshotWriter {
    /// The bytes of the next piece; nothing comes after those of the manifest.
    #[must_use]
    pub fn piece(&mut self, piece: &Piece) -> Bytes {
        let mut out = BytesMut::new();
        if self.written == 0 {
            out.put_slice(MAGIC);
            out.put_u16_le(FORMAT);
            out.put_bytes(0, HEADER_BYTES - out.len());
        }
        match piece {
            Piece::Chunk(sealed) => out.put_slice(&sealed.bytes),
            Piece::Manifest(manifest) => self.close(&manifest.encode(), &mut out),
        }
        self.hasher.update(&out);
        self.written += out.len() as u64;
        if matches!(piece, Piece::Manifest(_)) {
            out.put_slice(self.hasher.clone().finish().as_bytes());
        }
        out.freeze()
    }

    fn close(&self, manifest: &[u8], out: &mut BytesMut) {
        let begins = self.written + out.len() as u64;
        out.put_slice(manifest);
        let end = self.written + (out.len() + TRAILER_BYTES) as u64;
        let padding = end.next_multiple_of(PAGE_BYTES) - end;
        out.put_bytes(0, usize::try_from(padding).expect("less than a page"));
        out.put_u64_le(begins);
        out.put_u64_le(manifest.len() as u64);
    }
}

/// A snapshot in one file, whose digest was right when it was opened.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: File,
    id: SnapshotId,
    manifest: Manifest,
    /// Where each chunk begins.
    places: BTreeMap<Digest, u64>,
}

impl SnapshotFile {
    /// Opens a file, reads all of it once, and compares it with the digest at its end.
    ///
    /// # Errors
    /// [`SnapshotError`] if it is no snapshot, or not what was written.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { path: path.to_owned(), source };
        let damaged = |damage: Damage| SnapshotError::damaged(path.display().to_string(), damage);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let body =
            body_length(length).ok_or_else(|| damaged(Damage::File("is too short for a snapshot, or was cut")))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(io)?;
        check_header(&header).map_err(damaged)?;
        let mut digest = [0; Digest::BYTES];
        file.read_exact_at(&mut digest, body).map_err(io)?;
        if digest_of(&file, body).map_err(io)? != Digest::from_bytes(digest) {
            return Err(damaged(Damage::File("has another SHA-256 than the one at its end: it was changed or cut")));
        }
        let bytes = read_manifest(&file, body).map_err(io)?;
        let bytes =
            bytes.ok_or_else(|| damaged(Damage::File("names a place for its manifest that it does not have")))?;
        let (id, manifest) = Manifest::decode(&bytes).map_err(|error| damaged(error.into()))?;
        let places = places(&manifest);
        Ok(Self { path: path.to_owned(), file, id, manifest, places })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// How much of a file its digest covers.
fn body_length(length: u64) -> Option<u64> {
    let body = length.checked_sub(Digest::BYTES as u64)?;
    (body >= PAGE_BYTES && body.is_multiple_of(PAGE_BYTES)).then_some(body)
}

fn check_header(header: &[u8; HEADER_BYTES]) -> Result<(), Damage> {
    match header.strip_prefix(MAGIC) {
        Some(&[low, high, ..]) if u16::from_le_bytes([low, high]) == FORMAT => Ok(()),
        Some(_) => Err(Damage::File("has a format that this version does not know")),
        None => Err(Damage::File("is no snapshot of Quorate")),
    }
}

fn digest_of(file: &File, length: u64) -> io::Result<Digest> {
    let (mut hasher, mut at, mut buffer) = (Hasher::new(), 0, vec![0; READ_BYTES]);
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        file.read_exact_at(&mut buffer[..part], at)?;
        hasher.update(&buffer[..part]);
        at += part as u64;
    }
    Ok(hasher.finish())
}

/// The bytes of the manifest, if there is room for it where the trailer says.
fn read_manifest(file: &File, body: u64) -> io::Result<Option<Vec<u8>>> {
    let mut trailer = [0; TRAILER_BYTES];
    let end = body - TRAILER_BYTES as u64;
    file.read_exact_at(&mut trailer, end)?;
    let number = |at: usize| u64::from_le_bytes(*trailer[at..].first_chunk().expect("two numbers of eight bytes"));
    let (begins, length) = (number(0), number(8));
    let fits = length <= MANIFEST_BYTES_MAX && begins.checked_add(length).is_some_and(|ends| ends <= end);
    if !fits {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).expect("bounded above")];
    file.read_exact_at(&mut bytes, begins)?;
    Ok(Some(bytes))
}

fn places(manifest: &Manifest) -> BTreeMap<Digest, u64> {
    let mut at = HEADER_BYTES as u64;
    let place = |chunk: &Chunk| {
        let begins = at;
        at += u64::from(chunk.stored_bytes);
        (chunk.digest, begins)
    };
    manifest.chunks.iter().map(place).collect()
}

#[async_trait]
impl ChunkSource for SnapshotFile {
    async fn chunk(&self, chunk: &Chunk) -> Result<Bytes, SnapshotError> {
        let at = self.places.get(&chunk.digest).ok_or_else(|| SnapshotError::Unavailable {
            object: self.name_of(chunk),
            problem: "is not in this file".to_owned(),
        })?;
        let mut bytes = vec![0; chunk.stored_bytes as usize];
        let read = self.file.read_exact_at(&mut bytes, *at);
        read.map_err(|source| SnapshotError::Io { path: self.path.clone(), source })?;
        Ok(bytes.into())
    }

    fn name_of(&self, chunk: &Chunk) -> String {
        format!("{}: chunk {}", self.path.display(), chunk.digest)
    }
}
