//! Snapshots of real stores, whole and spoilt in every way that an object can be.

use super::*;
use crate::bootstrap::ClusterId;
use crate::disk::{Disk, SimDisk};
use crate::store::{Options, RedbBackend};
use bytes::Bytes;
use mvcc::{Apply, Backend, Body, Command, MemoryBackend, Put, Rebirth, RequestId, Revision, Store};
use objects::{Directory, ObjectStore};
use raft::planted::{Bug, plant};
use raft::{Index, LogId, MemberId, Membership, SnapshotPoint, Term};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tonic::async_trait;

pub(super) const CLUSTER: ClusterId = ClusterId(0xC1);

/// A store with `keys` keys whose values are of `value_bytes` that do not compress.
pub(super) fn filled(backend: Arc<dyn Backend>, keys: u64, value_bytes: usize) -> Store {
    let store = Store::open(backend).expect("new");
    write(&store, 0..keys, value_bytes);
    store
}

/// Puts keys, and flushes from time to time.
pub(super) fn write(store: &Store, keys: impl Iterator<Item = u64>, value_bytes: usize) {
    let mut index = store.applied();
    for key in keys {
        index += 1;
        let put = Put { key: name(key), value: noise(key ^ index << 40, value_bytes), ..Put::default() };
        let command = Command { id: RequestId::default(), body: Body::Put(put) };
        store.apply(&[Apply { index, command: &command, answered: false }]).expect("no fault");
        if store.buffered_bytes() > 16 << 20 {
            store.flush(1000).expect("no fault");
        }
    }
}

fn name(key: u64) -> Bytes {
    format!("/registry/things/{:016x}", key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into()
}

pub(super) fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let words = (0..bytes.div_ceil(8)).flat_map(|_| next().to_le_bytes());
    words.take(bytes).collect::<Vec<_>>().into()
}

/// A snapshot in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks(pub(super) BTreeMap<Digest, Bytes>);

#[async_trait]
impl ChunkSource for Chunks {
    async fn chunk(&self, chunk: &Chunk) -> Result<Bytes, SnapshotError> {
        let problem = "is not there".to_owned();
        self.0.get(&chunk.digest).cloned().ok_or(SnapshotError::Unavailable { object: self.name_of(chunk), problem })
    }

    fn name_of(&self, chunk: &Chunk) -> String {
        format!("chunk {}", chunk.digest)
    }
}

/// Takes a snapshot, piece by piece.
pub(super) fn pieces(store: &Store) -> Vec<Piece> {
    let image = store.image().expect("no fault");
    let membership = Membership::bootstrap([(MemberId(1), Bytes::from_static(b"{}"))]);
    let last = LogId { term: Term(2), index: Index(image.applied()) };
    let point = SnapshotPoint { last, membership_at: Index(0), membership };
    let mut take = Take::new(&image, CLUSTER, point, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let mut pieces = Vec::new();
    while let Some(sealed) = take.next_chunk().expect("no fault") {
        pieces.push(Piece::Chunk(sealed));
    }
    pieces.push(Piece::Manifest(take.finish()));
    pieces
}

pub(super) fn taken(store: &Store) -> (Manifest, Chunks) {
    let (mut chunks, mut manifest) = (Chunks::default(), None);
    for piece in pieces(store) {
        match piece {
            Piece::Chunk(sealed) => drop(chunks.0.insert(sealed.chunk.digest, sealed.bytes)),
            Piece::Manifest(last) => manifest = Some(last),
        }
    }
    (manifest.expect("the last piece"), chunks)
}

fn small() -> Store {
    filled(Arc::new(MemoryBackend::new()), 3000, 1000)
}

async fn refused(manifest: &Manifest, chunks: &Chunks) -> String {
    let refused = verify(manifest, chunks, |_| ()).await.expect_err("it is spoilt");
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let restored = restore_into(disk.clone(), manifest, chunks, Rebirth::Same, |_| ()).await;
    assert_eq!(restored.expect_err("it is spoilt").to_string(), refused.to_string());
    let left = RedbBackend::open(&*disk, Options::default()).expect("sound");
    assert_eq!(Store::open(Arc::new(left)).expect("no store was made").applied(), 0);
    refused.to_string()
}

#[tokio::test]
async fn what_was_taken_is_verified_and_restored_to_the_same_store() {
    let store = small();
    let (manifest, chunks) = taken(&store);
    assert!(manifest.chunks.len() > 3, "{} chunks", manifest.chunks.len());
    let mut seen = 0;
    let image = verify(&manifest, &chunks, |_| seen += 1).await.expect("sound");
    assert_eq!((seen, image.revision.0, image.applied), (manifest.chunks.len(), 3001, 3000));

    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    restore_into(disk.clone(), &manifest, &chunks, Rebirth::Same, |_| ()).await.expect("sound");
    let restored = Store::open(Arc::new(RedbBackend::open(&*disk, Options::default()).expect("sound"))).expect("sound");
    assert_eq!(restored.hash_kv(Revision::ZERO).expect("readable"), store.hash_kv(Revision::ZERO).expect("readable"));
    assert_eq!(restored.state_hash(), store.state_hash());
    assert_eq!(taken(&restored).0.chunks, manifest.chunks, "another member has the same chunks");
}

#[tokio::test]
async fn every_spoilt_chunk_is_refused_by_its_name() {
    let (manifest, chunks) = taken(&small());
    for (place, chunk) in manifest.chunks.iter().enumerate() {
        let (named, other) =
            (format!("chunk {}: ", chunk.digest), manifest.chunks[(place + 1) % manifest.chunks.len()]);
        let spoilt = |bytes: Option<Bytes>| {
            let mut chunks = chunks.clone();
            match bytes {
                Some(bytes) => drop(chunks.0.insert(chunk.digest, bytes)),
                None => drop(chunks.0.remove(&chunk.digest)),
            }
            chunks
        };
        let bytes = &chunks.0[&chunk.digest];
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 4;
        let cases = [
            (Some(flipped.into()), "has the digest"),
            (Some(bytes.slice(..bytes.len() - 1)), "bytes instead of"),
            (Some([bytes, &b"x"[..]].concat().into()), "bytes instead of"),
            (Some(Bytes::new()), "has 0 bytes instead of"),
            (Some(chunks.0[&other.digest].clone()), "has"),
            (None, "is not there"),
        ];
        for (bytes, reason) in cases {
            let refused = refused(&manifest, &spoilt(bytes)).await;
            assert!(refused.starts_with(&named) && refused.contains(reason), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_manifest_that_says_another_thing_than_its_chunks_is_refused() {
    type Change = fn(&mut Manifest);
    let (manifest, chunks) = taken(&small());
    let changed = |change: Change| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest
    };
    let cases: [(Change, &str); 7] = [
        (|manifest| manifest.chunks.swap(0, 1), "revisions do not ascend"),
        (|manifest| _ = manifest.chunks.remove(1), "blocks are missing"),
        (|manifest| _ = manifest.chunks.pop(), "is the last, and does not end the image"),
        (|manifest| manifest.chunks.push(manifest.chunks[0]), "ends the image, and chunks follow"),
        (|manifest| manifest.revision += 1, "says revision 3002, and the chunks hold 3001"),
        (|manifest| manifest.last.index.0 += 1, "says index 3001, and the chunks hold 3000"),
        (|manifest| manifest.state_hash ^= 1, "says state hash"),
    ];
    for (change, reason) in cases {
        let refused = refused(&changed(change), &chunks).await;
        assert!(refused.contains(reason), "{refused}, and not {reason}");
    }
}

#[tokio::test]
async fn a_new_cluster_begins_with_the_keys_and_leaves_the_members_behind() {
    let store = small();
    let (manifest, chunks) = taken(&store);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let rebirth = Rebirth::NewCluster { revision_bump: 1000, mark_compacted: true };
    let summary = restore_into(disk.clone(), &manifest, &chunks, rebirth, |_| ()).await.expect("sound");
    assert_eq!((summary.revision.0, summary.compacted.0), (4001, 4001));
    let restored = Store::open(Arc::new(RedbBackend::open(&*disk, Options::default()).expect("sound"))).expect("sound");
    assert_eq!((restored.revision().0, restored.keys(), restored.members().len()), (4001, 3000, 0));
    write(&restored, 0..1, 10);
    assert_eq!(restored.revision().0, 4002);
}

/// Makes a store of a snapshot whose first chunk is that of another store: sound by itself, with the same rows, and
/// other values in them. Whether the keys and values are those of the snapshot, if one was made.
fn restored_with_anothers_chunk(bug: Option<Bug>) -> Result<bool, SnapshotError> {
    let stores = [0, 1].map(|seed| {
        let store = Store::open(Arc::new(MemoryBackend::new())).expect("new");
        for index in 1..=3000 {
            let put = Put { key: name(index), value: noise(index << 1 | seed, 1000), ..Put::default() };
            let command = Command { id: RequestId::default(), body: Body::Put(put) };
            store.apply(&[Apply { index, command: &command, answered: false }]).expect("no fault");
        }
        store.flush(0).expect("no fault");
        store
    });
    let [(manifest, mut chunks), (other, theirs)] = stores.each_ref().map(taken);
    assert!(manifest.chunks.len() > 1 && manifest.chunks[0].raw_bytes == other.chunks[0].raw_bytes);
    chunks.0.insert(manifest.chunks[0].digest, theirs.0[&other.chunks[0].digest].clone());
    let backend = Arc::new(MemoryBackend::new());
    let mut restoring = Restoring::new(&manifest, &*backend);
    plant(bug);
    let given = manifest
        .chunks
        .iter()
        .try_for_each(|chunk| restoring.chunk(&chunk.digest.to_string(), &chunks.0[&chunk.digest]));
    plant(None);
    given?;
    restoring.finish(Rebirth::Same)?;
    let restored = Store::open(backend).expect("it was finished");
    let [restored, taken] = [&restored, &stores[0]].map(|store| store.hash_kv(Revision::ZERO).expect("readable"));
    Ok(restored == taken)
}

#[test]
fn a_sound_chunk_of_another_store_is_refused() {
    let refused = restored_with_anothers_chunk(None).expect_err("it is another's");
    assert!(refused.is_damage(), "{refused}");
}

#[cfg(debug_assertions)]
#[test]
fn a_restore_that_skips_the_digests_is_found() {
    let same = restored_with_anothers_chunk(Some(Bug::Unverified)).expect("nothing else tells them apart");
    assert!(!same, "{} lives", Bug::Unverified.name());
}

/// One per cent of the keys of a store of a hundred megabytes change; the next snapshot shares the rest.
#[tokio::test]
async fn the_next_snapshot_uploads_what_changed() {
    const KEYS: u64 = 50_000;
    const VALUE_BYTES: usize = 2000;
    let (folder, objects) = (tempfile::tempdir().expect("room"), tempfile::tempdir().expect("room"));
    let disk = crate::disk::RealDisk::open(&folder.path().join("data")).expect("ours");
    let backend = RedbBackend::open(&disk, Options::default()).expect("new");
    let store = filled(Arc::new(backend), KEYS, VALUE_BYTES);
    let objects: Arc<dyn ObjectStore> = Arc::new(Directory::open(objects.path()).await.expect("ours"));
    let snapshots = SnapshotStore::new(objects, None);

    let first = uploaded(&snapshots, &store).await;
    write(&store, (0..KEYS).step_by(100), VALUE_BYTES);
    let second = uploaded(&snapshots, &store).await;
    let share = 100.0 * second.0 as f64 / first.0 as f64;
    println!("first snapshot: {} bytes; after changing 1 % of the keys: {} bytes, {share:.2} %", first.0, second.0);
    assert!(first.0 > 100_000_000 && first.1 == 0, "{first:?}");
    assert!(share < 5.0 && second.1 > first.0 * 95 / 100, "{second:?}");
    for name in snapshots.list(Some(CLUSTER)).await.expect("readable") {
        let opened = snapshots.open(&name).await.expect("sound");
        verify(&opened.manifest, &opened.chunks, |_| ()).await.expect("sound");
    }
}

/// Bytes that were uploaded, and bytes that were there already.
async fn uploaded(snapshots: &SnapshotStore, store: &Store) -> (u64, u64) {
    let mut upload = snapshots.upload(CLUSTER).await.expect("nobody collects");
    for piece in pieces(store) {
        match piece {
            Piece::Chunk(sealed) => upload.chunk(sealed).await.expect("room"),
            Piece::Manifest(manifest) => drop(upload.publish(&manifest).await.expect("room")),
        }
    }
    let bytes = (upload.uploaded_bytes, upload.shared_bytes);
    upload.end().await;
    bytes
}

fn written(store: &Store) -> Vec<u8> {
    let mut writer = SnapshotWriter::default();
    pieces(store).iter().flat_map(|piece| writer.piece(piece)).collect()
}

fn opened(bytes: &[u8]) -> Result<SnapshotFile, SnapshotError> {
    let folder = tempfile::tempdir().expect("room");
    let path = folder.path().join("backup.db");
    std::fs::write(&path, bytes).expect("room");
    SnapshotFile::open(&path)
}

#[tokio::test]
async fn a_file_is_the_whole_snapshot_and_etcdctl_takes_its_length() {
    let store = small();
    let bytes = written(&store);
    assert_eq!(bytes.len() % 512, 32);
    let file = opened(&bytes).expect("sound");
    assert_eq!((file.manifest(), file.id()), (&taken(&store).0, taken(&store).0.id()));
    verify(file.manifest(), &file, |_| ()).await.expect("sound");
}

#[test]
fn a_file_that_was_changed_or_cut_anywhere_is_refused() {
    let bytes = written(&filled(Arc::new(MemoryBackend::new()), 10, 100));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        let refused = opened(&flipped).expect_err("changed").to_string();
        assert!(refused.contains("backup.db: "), "{refused}");
        assert!(opened(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(opened(&bytes[..bytes.len() - 512]).is_err());
}

/// Whoever changes a file can compute its digest anew; the manifest and the chunks still have to fit.
#[tokio::test]
async fn a_file_with_a_false_digest_that_is_right_is_refused_by_what_is_in_it() {
    let sound = written(&filled(Arc::new(MemoryBackend::new()), 10, 100));
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound[..sound.len() - Digest::BYTES].to_vec();
        change(&mut bytes);
        bytes.extend(Digest::of(&bytes).as_bytes());
        opened(&bytes)
    };
    let file = resealed(&|bytes| bytes[40] ^= 1).expect("its digest is right");
    let refused = verify(file.manifest(), &file, |_| ()).await.expect_err("a chunk is not").to_string();
    assert!(refused.contains("backup.db: chunk ") && refused.contains("has the digest"), "{refused}");
    let end = sound.len() - Digest::BYTES;
    for (at, reason) in [
        (end - 16, "no manifest"),
        (end - 9, "does not have"),
        (end - 1, "does not have"),
        (3, "no snapshot"),
        (16, "format"),
    ] {
        let refused = resealed(&|bytes| bytes[at] ^= 1).expect_err("it is not sound").to_string();
        assert!(refused.contains(reason), "{at}: {refused}");
    }
}

#[tokio::test]
async fn a_snapshot_of_a_member_is_taken_while_it_writes() {
    let solo = crate::node::solo::Solo::start();
    let node = solo.handle();
    let put = |n: u64| Body::Put(Put { key: name(n), value: noise(n, 100), ..Put::default() });
    for n in 0..100 {
        node.propose(put(n)).await.expect("it leads");
    }
    let mut taking = Taking::start(&node, Pace { bytes_per_second: Some(1 << 30) }).await.expect("it runs");
    node.propose(put(100)).await.expect("writes go on");
    let (mut chunks, mut last) = (Chunks::default(), None);
    while let Some(piece) = taking.next().await {
        match piece.expect("no fault") {
            Piece::Chunk(sealed) => drop(chunks.0.insert(sealed.chunk.digest, sealed.bytes)),
            Piece::Manifest(manifest) => last = Some(manifest),
        }
    }
    let manifest = last.expect("the last piece");
    let image = verify(&manifest, &chunks, |_| ()).await.expect("sound");
    assert_eq!((image.revision.0, manifest.last.term), (101, Term(3)));
    assert_eq!(manifest.cluster, node.identity().cluster);
}
