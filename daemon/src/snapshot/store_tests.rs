use super::super::chunk::SealedChunk;
use super::super::tests::{CLUSTER, filled, noise, pieces, write};
use super::super::{Piece, SnapshotStore, verify};
use super::*;
use mvcc::{MemoryBackend, Store};
use objects::{Attributes, Cursor, Directory, Error, Page};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

/// A directory that keeps the names of what was put, and can be told that its clock is ahead.
#[derive(Debug)]
struct Watched {
    inner: Directory,
    put: Mutex<Vec<String>>,
    ahead: Mutex<Duration>,
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.note(name);
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        self.note(name);
        self.inner.put_if_absent(name, bytes).await
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        self.inner.get(name, bytes_max).await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        self.inner.get_range(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        self.inner.head(name).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        let ahead = *self.ahead.lock().expect("tests do not panic here");
        let mut page = self.inner.list(prefix, after).await?;
        page.objects.iter_mut().for_each(|object| object.attributes.modified -= ahead);
        Ok(page)
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.inner.delete(name).await
    }
}

impl Watched {
    fn note(&self, name: &ObjectName) {
        self.put.lock().expect("tests do not panic here").push(name.to_string());
    }

    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut *self.put.lock().expect("tests do not panic here"))
    }
}

struct Scene {
    folder: tempfile::TempDir,
    objects: Arc<Watched>,
    snapshots: SnapshotStore,
    store: Store,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("room");
        let inner = Directory::open(folder.path()).await.expect("ours");
        let objects = Arc::new(Watched { inner, put: Mutex::default(), ahead: Mutex::default() });
        let snapshots = SnapshotStore::new(objects.clone(), None);
        Self { folder, objects, snapshots, store: filled(Arc::new(MemoryBackend::new()), 3000, 1000) }
    }

    /// As it is, and encrypted.
    async fn both() -> [Self; 2] {
        let mut sealed = Self::new().await;
        sealed.snapshots = sealed.with_keys("a", &[1]);
        [Self::new().await, sealed]
    }

    /// The same store for somebody with these keys.
    fn with_keys(&self, file: &str, keys: &[u8]) -> SnapshotStore {
        let path = self.folder.path().with_extension(file);
        let text: String = keys.iter().map(|key| format!("{key:064x}\n")).collect();
        std::fs::write(&path, text).expect("room");
        let keys = KeyFile::open(&path).expect("keys");
        std::fs::remove_file(&path).expect("ours");
        SnapshotStore::new(self.objects.clone(), Some(keys))
    }

    async fn uploaded(&self) -> SnapshotName {
        self.uploaded_by(&self.snapshots).await
    }

    async fn uploaded_by(&self, snapshots: &SnapshotStore) -> SnapshotName {
        let mut upload = snapshots.upload(CLUSTER).await.expect("nobody collects");
        let mut name = None;
        for piece in pieces(&self.store) {
            match piece {
                Piece::Chunk(sealed) => upload.chunk(sealed).await.expect("room"),
                Piece::Manifest(manifest) => name = Some(upload.publish(&manifest).await.expect("room")),
            }
        }
        upload.end().await;
        name.expect("the last piece")
    }

    async fn verified(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        let opened = self.snapshots.open(name).await?;
        verify(&opened.manifest, &opened.chunks, |_| ()).await.map(drop)
    }

    async fn chunks(&self) -> BTreeSet<String> {
        let listed = self.snapshots.listed(name::chunks_of(CLUSTER)).await.expect("readable");
        listed.iter().map(|chunk| chunk.name.to_string()).collect()
    }

    /// Changes the bytes of an object behind the store's back.
    fn spoil(&self, object: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.folder.path().join(object);
        let mut bytes = std::fs::read(&path).expect("it is there");
        change(&mut bytes);
        std::fs::write(&path, bytes).expect("room");
    }
}

#[tokio::test]
async fn the_manifest_comes_last_and_chunks_are_uploaded_once() {
    for scene in Scene::both().await {
        let first = scene.uploaded().await;
        let noted = scene.objects.noted();
        assert_eq!(noted.last(), Some(&first.object().to_string()));
        write(&scene.store, 0..1, 100);
        let second = scene.uploaded().await;
        let noted: Vec<_> = scene.objects.noted().into_iter().filter(|name| name.starts_with("chunks/")).collect();
        assert!(noted.len() <= 3, "the chunk with the last revisions and the one with the head: {noted:?}");
        assert_eq!(scene.snapshots.list(Some(CLUSTER)).await.expect("readable"), [first, second]);
        assert_eq!(scene.snapshots.list(None).await.expect("readable"), [first, second]);
        assert_eq!(scene.snapshots.list(Some(ClusterId(9))).await.expect("readable"), []);
        scene.verified(&first).await.expect("sound");
        scene.verified(&second).await.expect("sound");
    }
}

#[tokio::test]
async fn every_object_that_is_spoilt_is_named() {
    for scene in Scene::both().await {
        let name = scene.uploaded().await;
        let objects: Vec<String> = scene.chunks().await.into_iter().chain([name.object().to_string()]).collect();
        for object in objects {
            let whole = std::fs::read(scene.folder.path().join(&object)).expect("it is there");
            let changes: [fn(&mut Vec<u8>); 4] = [
                |bytes| *bytes.last_mut().expect("no object is empty") ^= 1,
                |bytes| bytes[0] ^= 0x80,
                |bytes| bytes.truncate(bytes.len() - 1),
                |bytes| bytes.push(0),
            ];
            for change in changes {
                scene.spoil(&object, change);
                let refused = scene.verified(&name).await.expect_err("it is spoilt");
                assert!(refused.is_damage() && refused.to_string().contains(&object), "{refused}");
                scene.spoil(&object, |bytes| bytes.clone_from(&whole));
            }
            std::fs::remove_file(scene.folder.path().join(&object)).expect("it is there");
            let refused = scene.verified(&name).await.expect_err("it is gone").to_string();
            assert!(refused.contains(&object), "{refused}");
            std::fs::write(scene.folder.path().join(&object), &whole).expect("room");
        }
        scene.verified(&name).await.expect("sound again");
    }
}

#[tokio::test]
async fn a_manifest_under_the_name_of_another_is_refused() {
    for scene in Scene::both().await {
        let first = scene.uploaded().await;
        write(&scene.store, 0..1, 100);
        let second = scene.uploaded().await;
        let other = std::fs::read(scene.folder.path().join(second.object().as_str())).expect("it is there");
        scene.spoil(first.object().as_str(), |bytes| bytes.clone_from(&other));
        let refused = scene.verified(&first).await.expect_err("it is another").to_string();
        assert!(refused.contains(first.object().as_str()) && refused.contains("has the digest"), "{refused}");
        let claimed = SnapshotName { index: raft::Index(7), ..second };
        std::fs::write(scene.folder.path().join(claimed.object().as_str()), &other).expect("room");
        let refused = scene.verified(&claimed).await.expect_err("it is of another index").to_string();
        let says = if scene.snapshots.encrypts() { "belongs under another name" } else { "it is of another index" };
        assert!(refused.contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_damaged_chunk_is_uploaded_again_if_its_length_tells() {
    for scene in Scene::both().await {
        let name = scene.uploaded().await;
        let chunk = scene.chunks().await.first().cloned().expect("there are some");
        scene.spoil(&chunk, |bytes| bytes.truncate(3));
        let again = scene.uploaded().await;
        assert_eq!(again == name, !scene.snapshots.encrypts(), "a manifest is encrypted anew each time");
        scene.verified(&name).await.expect("sound again");
    }
}

#[tokio::test]
async fn what_no_snapshot_needs_is_collected_and_nothing_else() {
    for scene in Scene::both().await {
        let first = scene.uploaded().await;
        let before = scene.chunks().await;
        write(&scene.store, 0..1000, 1000);
        let second = scene.uploaded().await;
        assert_eq!(scene.snapshots.collect(CLUSTER).await.expect("readable"), Collected::default());
        scene.snapshots.delete(&second).await.expect("it is there");
        let collected = scene.snapshots.collect(CLUSTER).await.expect("readable");
        assert!(collected.chunks > 0 && collected.bytes > 1000 * 1000, "{collected:?}");
        assert_eq!(scene.chunks().await, before);
        scene.verified(&first).await.expect("sound");
    }
}

#[tokio::test]
async fn nothing_is_collected_if_a_manifest_cannot_be_read() {
    for scene in Scene::both().await {
        let name = scene.uploaded().await;
        let before = scene.chunks().await;
        scene.spoil(name.object().as_str(), |bytes| bytes[5] ^= 1);
        let refused = scene.snapshots.collect(CLUSTER).await.expect_err("what it needs is not known").to_string();
        assert!(refused.contains(name.object().as_str()), "{refused}");
        assert_eq!(scene.chunks().await, before);
    }
}

#[tokio::test]
async fn uploading_and_collecting_exclude_each_other_until_a_flag_is_old() {
    let scene = Scene::new().await;
    let mut upload = scene.snapshots.upload(CLUSTER).await.expect("nobody collects");
    upload.chunk(SealedChunk::seal(b"of a snapshot to come")).await.expect("room");
    let collected = scene.snapshots.collect(CLUSTER).await.expect("readable");
    assert_eq!(collected.deferred, Some(Deferred::Uploading));
    upload.end().await;

    let flag = scene.snapshots.raise(&name::collections_of(CLUSTER)).await.expect("room");
    let refused = scene.snapshots.upload(CLUSTER).await.expect_err("somebody collects").to_string();
    assert!(refused.contains(flag.as_str()), "{refused}");
    *scene.objects.ahead.lock().expect("tests do not panic here") = COLLECTION_FLAG_AGE_MAX;
    let upload = scene.snapshots.upload(CLUSTER).await.expect("whoever collected has died");
    upload.end().await;
    *scene.objects.ahead.lock().expect("tests do not panic here") = Duration::ZERO;
    scene.snapshots.lower(&flag).await;
    assert_eq!(scene.snapshots.listed(name::uploads_of(CLUSTER)).await.expect("readable"), []);
}

/// Everything that is in the store, and where.
fn everything(folder: &std::path::Path) -> Vec<u8> {
    let mut all = folder.display().to_string().into_bytes();
    if folder.is_file() {
        all.extend(std::fs::read(folder).expect("it is there"));
        return all;
    }
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.for_each(|entry| all.extend(everything(&entry.expect("readable").path())));
    all
}

fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn nothing_of_the_content_and_no_digest_of_it_is_in_a_store_that_is_encrypted() {
    for scene in Scene::both().await {
        let name = scene.uploaded().await;
        let manifest = scene.snapshots.open(&name).await.expect("ours").manifest;
        let all = everything(scene.folder.path());
        let (chunk, value) = (manifest.chunks[0].digest, noise(7 ^ 8 << 40, 1000));
        let traces = [
            holds(&all, &value[..32]),
            holds(&all, chunk.to_string().as_bytes()),
            holds(&all, chunk.as_bytes()),
            holds(&all, manifest.id().to_string().as_bytes()),
            holds(&all, manifest.daemon_version.as_bytes()),
        ];
        assert_eq!(traces, [!scene.snapshots.encrypts(); 5]);
    }
}

#[tokio::test]
async fn a_chunk_in_the_place_of_another_is_refused_even_if_it_was_encrypted_here() {
    let [_, scene] = Scene::both().await;
    let name = scene.uploaded().await;
    let chunks = scene.chunks().await;
    let bytes = |chunk: &&String| std::fs::read(scene.folder.path().join(chunk)).expect("it is there");
    // One that is longer than it should be is refused before.
    let one = chunks.iter().max_by_key(|chunk| bytes(chunk).len()).expect("there are some");
    let other = chunks.iter().min_by_key(|chunk| bytes(chunk).len()).expect("there are some");
    scene.spoil(one, |spoilt| *spoilt = bytes(&other));
    let refused = scene.verified(&name).await.expect_err("it is another");
    assert!(refused.is_damage(), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains(one) && refused.contains("does not open with key"), "{refused}");
}

#[tokio::test]
async fn without_its_key_a_snapshot_is_not_read_and_the_error_names_key_and_object() {
    let [_, scene] = Scene::both().await;
    let name = scene.uploaded().await;
    let id = scene.snapshots.open(&name).await.expect("ours").chunks.key().expect("encrypted").to_string();
    let others = [
        (SnapshotStore::new(scene.objects.clone(), None), "no key was given"),
        (scene.with_keys("b", &[2, 3]), "at hand are "),
    ];
    for (other, says) in others {
        let refused = other.open(&name).await.expect_err("it has not the key").to_string();
        assert!([name.object().as_str(), &id, says].iter().all(|part| refused.contains(part)), "{refused}");
        let collected = other.collect(CLUSTER).await.expect("no error");
        let Some(Deferred::Locked(why)) = collected.deferred else { panic!("{collected:?}") };
        assert!(collected.chunks == 0 && why.contains(&id), "{why}");
        assert_eq!(other.list(None).await.expect("readable"), [name]);
    }
    scene.verified(&name).await.expect("all is there");
}

#[tokio::test]
async fn nobody_goes_on_without_a_key_where_the_newest_is_encrypted() {
    let [_, scene] = Scene::both().await;
    let plain = SnapshotStore::new(scene.objects.clone(), None);
    let first = scene.uploaded_by(&plain).await;
    write(&scene.store, 0..1, 100);
    let second = scene.uploaded().await;
    let refused = plain.upload(CLUSTER).await.expect_err("the newest is encrypted").to_string();
    assert!(refused.contains(second.object().as_str()) && refused.contains("would not be"), "{refused}");
    assert_eq!(scene.snapshots.listed(name::uploads_of(CLUSTER)).await.expect("readable"), []);
    scene.verified(&first).await.expect("what is not encrypted stays readable");
    scene.verified(&second).await.expect("sound");
}

#[tokio::test]
async fn another_first_key_begins_anew_and_what_the_old_one_sealed_is_read_and_collected() {
    let [_, scene] = Scene::both().await;
    let first = scene.uploaded().await;
    let before = scene.chunks().await;
    let rotated = scene.with_keys("c", &[2, 1]);
    write(&scene.store, 0..1, 100);
    let second = scene.uploaded_by(&rotated).await;
    assert!(scene.chunks().await.len() >= 2 * before.len(), "chunks of the new key");
    for name in [first, second] {
        let opened = rotated.open(&name).await.expect("both keys are at hand");
        verify(&opened.manifest, &opened.chunks, |_| ()).await.expect("sound");
    }
    assert!(matches!(scene.verified(&second).await, Err(SnapshotError::Locked { .. })));
    rotated.delete(&first).await.expect("it is there");
    let collected = rotated.collect(CLUSTER).await.expect("readable");
    assert_eq!((collected.chunks, collected.deferred), (before.len() as u64, None));
}
