//! Snapshots, in object storage and as one file, and the keys they are encrypted with.

use super::{ME, again, file_with, membership, verdict};
use crate::fuzz::{Target, Verdict};
use crate::sim::write::Write;
use bytes::Bytes;
use futures::FutureExt;
use mvcc::{Command, MemoryBackend, Store};
use quorate::bootstrap::ClusterId;
use quorate::snapshot::{
    Chunk, Digest, Key, Kind, Manifest, Piece, SEAL_BYTES, SealedChunk, SnapshotFile, SnapshotWriter, Take, verify,
};
use raft::{Index, LogId, SnapshotPoint};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub(super) const TARGETS: &[Target] = &[
    Target::new("manifest", manifest_samples, decode_manifest),
    Target::new("chunk", chunk_samples, decode_chunk),
    Target::new("sealed-object", sealed_samples, decode_sealed).mended(mend_sealed),
    Target::new("snapshot-file", file_samples, decode_file).mended(mend_file).slow(),
    Target::new("backup-keys", keys_samples, decode_keys),
];

const CLUSTER: ClusterId = ClusterId(0xaa);

/// A small store as a snapshot.
fn pieces() -> Vec<Piece> {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    for id in 1..40 {
        let payload = Write::put(id, u8::try_from(id % 5).expect("small")).encode(ME, 30);
        let command = Command::decode(&payload).expect("our own");
        store.apply(&[mvcc::Apply { index: id, command: &command, answered: false }]).expect("memory does not fail");
    }
    let image = store.image().expect("memory does not fail");
    let last = LogId::new(3, image.applied());
    let point = SnapshotPoint { last, membership_at: Index(1), membership: membership() };
    let mut take = Take::new(&image, CLUSTER, point, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let mut pieces = Vec::new();
    while let Some(chunk) = take.next_chunk().expect("memory does not fail") {
        pieces.push(Piece::Chunk(chunk));
    }
    pieces.push(Piece::Manifest(take.finish()));
    pieces
}

/// The manifest of a small store.
pub(super) fn manifest() -> Manifest {
    match pieces().pop() {
        Some(Piece::Manifest(manifest)) => manifest,
        other => panic!("it comes last, and not {other:?}"),
    }
}

fn manifest_samples() -> Vec<Vec<u8>> {
    let chunk = |byte| Chunk { digest: Digest::from_bytes([byte; Digest::BYTES]), stored_bytes: 9, raw_bytes: 10 };
    let many = Manifest { chunks: (0..20).map(chunk).collect(), ..manifest() };
    vec![manifest().encode().to_vec(), many.encode().to_vec()]
}

fn decode_manifest(bytes: &[u8]) -> Verdict {
    let Ok((id, found)) = Manifest::decode(bytes) else { return Verdict::Refused };
    // Sums of hostile lengths.
    assert!(found.stored_bytes() > 0 && found.raw_bytes() > 0, "a snapshot has chunks, and none is empty");
    if found.encode() == bytes {
        assert_eq!(found.id(), id, "the same bytes have the same digest");
    }
    again(&found, Manifest::decode(&found.encode()).map(|(_, manifest)| manifest))
}

// Chunks. Before a chunk here: what its manifest says of its length when it is unpacked, u32 little-endian.

fn chunk_samples() -> Vec<Vec<u8>> {
    let blocks: [&[u8]; 3] = [b"as it is", &[7; 3000], &b"again and again, ".repeat(90)];
    let with_length = |block: &[u8]| {
        let sealed = SealedChunk::seal(block);
        [&sealed.chunk.raw_bytes.to_le_bytes()[..], &sealed.bytes].concat()
    };
    blocks.map(with_length).to_vec()
}

fn decode_chunk(bytes: &[u8]) -> Verdict {
    let Some((length, stored)) = bytes.split_first_chunk() else { return Verdict::Refused };
    let stored = Bytes::copy_from_slice(stored);
    let stored_bytes = u32::try_from(stored.len()).expect("inputs are short");
    let chunk = Chunk { digest: Digest::of(&stored), stored_bytes, raw_bytes: u32::from_le_bytes(*length) };
    let Ok(block) = chunk.open(&stored) else { return Verdict::Refused };
    assert_eq!(block.len(), chunk.raw_bytes as usize, "it is as long as the manifest says");
    let sealed = SealedChunk::seal(&block);
    again(&block, sealed.chunk.open(&sealed.bytes))
}

// Objects under a key.

const SALT_AT: usize = 16;
const PLAIN_AT: usize = SALT_AT + Digest::BYTES;
const MANIFEST: Kind = Kind::Manifest(Index(39));

fn key() -> Key {
    Key::new(&[9; backup_keys::SECRET_BYTES])
}

/// The salt in the header; that of a chunk is its name.
fn salt(bytes: &[u8]) -> Option<Digest> {
    bytes.get(SALT_AT..PLAIN_AT).map(|salt| Digest::from_bytes(salt.try_into().expect("as long as a digest")))
}

fn sealed_samples() -> Vec<Vec<u8>> {
    let chunk = SealedChunk::seal(&[7; 300]);
    let name = key().chunk_name(CLUSTER, &chunk.chunk.digest);
    let manifest = key().seal(CLUSTER, MANIFEST, &Digest::of(b"random"), &manifest().encode());
    vec![key().seal(CLUSTER, Kind::Chunk, &name, &chunk.bytes).to_vec(), manifest.to_vec()]
}

/// Seals whatever stands there, under the salt that stands there, as what it says it is.
fn mend_sealed(bytes: &mut [u8]) {
    let Some(plain_bytes) = bytes.len().checked_sub(usize::try_from(SEAL_BYTES).expect("a few")) else { return };
    let kind = if bytes[6] == 1 { MANIFEST } else { Kind::Chunk };
    let salt = salt(bytes).expect("the header is there");
    let sealed = key().seal(CLUSTER, kind, &salt, &bytes[PLAIN_AT..PLAIN_AT + plain_bytes]);
    bytes.copy_from_slice(&sealed);
}

fn decode_sealed(bytes: &[u8]) -> Verdict {
    let salt = salt(bytes);
    for (kind, name) in [(MANIFEST, None), (Kind::Chunk, salt.as_ref())] {
        if let Ok(plain) = key().open(CLUSTER, kind, name, bytes) {
            let salt = salt.expect("what opens has a header");
            assert_eq!(key().seal(CLUSTER, kind, &salt, &plain), bytes, "there is one way to seal it");
            return Verdict::Accepted;
        }
    }
    Verdict::Refused
}

// One file.

fn file_samples() -> Vec<Vec<u8>> {
    let mut writer = SnapshotWriter::default();
    vec![pieces().iter().flat_map(|piece| writer.piece(piece)).collect()]
}

fn mend_file(bytes: &mut [u8]) {
    if let Some(body) = bytes.len().checked_sub(Digest::BYTES) {
        let digest = Digest::of(&bytes[..body]);
        bytes[body..].copy_from_slice(digest.as_bytes());
    }
}

fn decode_file(bytes: &[u8]) -> Verdict {
    let file = file_with(bytes);
    let Ok(snapshot) = SnapshotFile::open(file.path()) else { return Verdict::Refused };
    let verified = verify(snapshot.manifest(), &snapshot, |_| {}).now_or_never();
    verdict(&verified.expect("a file is there at once"))
}

// Keys.

fn keys_samples() -> Vec<Vec<u8>> {
    let hexadecimal = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let base64 = "//////////////////////////////////////////8=";
    vec![
        hexadecimal.as_bytes().to_vec(),
        format!("# since November\n{base64}\r\n\n{hexadecimal} # before\n").into_bytes(),
    ]
}

fn decode_keys(bytes: &[u8]) -> Verdict {
    let Ok(secrets) = backup_keys::secrets(&String::from_utf8_lossy(bytes)) else { return Verdict::Refused };
    assert!((1..=backup_keys::KEYS_MAX).contains(&secrets.len()), "{} keys", secrets.len());
    let hexadecimal =
        |secret: &backup_keys::Secret| secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let written: Vec<String> = secrets.iter().map(hexadecimal).collect();
    again(&secrets, backup_keys::secrets(&written.join("\n")))
}
