use super::super::chunk::SealedChunk;
use super::super::tests::{CLUSTER, filled, pieces, write};
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
        let snapshots = SnapshotStore::new(objects.clone());
        Self { folder, objects, snapshots, store: filled(Arc::new(MemoryBackend::new()), 3000, 1000) }
    }

    async fn uploaded(&self) -> SnapshotName {
        let mut upload = self.snapshots.upload(CLUSTER).await.expect("nobody collects");
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
        let manifest = self.snapshots.manifest(name).await?;
        verify(&manifest, &self.snapshots.chunks(name.cluster), |_| ()).await.map(drop)
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
    let scene = Scene::new().await;
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

#[tokio::test]
async fn every_object_that_is_spoilt_is_named() {
    let scene = Scene::new().await;
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

#[tokio::test]
async fn a_manifest_under_the_name_of_another_is_refused() {
    let scene = Scene::new().await;
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
    assert!(refused.contains("it is of another index"), "{refused}");
}

#[tokio::test]
async fn a_damaged_chunk_is_uploaded_again_if_its_length_tells() {
    let scene = Scene::new().await;
    let name = scene.uploaded().await;
    let chunk = scene.chunks().await.first().cloned().expect("there are some");
    scene.spoil(&chunk, |bytes| bytes.truncate(3));
    assert_eq!(scene.uploaded().await, name, "the same snapshot has the same name");
    scene.verified(&name).await.expect("sound again");
}

#[tokio::test]
async fn what_no_snapshot_needs_is_collected_and_nothing_else() {
    let scene = Scene::new().await;
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

#[tokio::test]
async fn nothing_is_collected_if_a_manifest_cannot_be_read() {
    let scene = Scene::new().await;
    let name = scene.uploaded().await;
    let before = scene.chunks().await;
    scene.spoil(name.object().as_str(), |bytes| bytes[5] ^= 1);
    let refused = scene.snapshots.collect(CLUSTER).await.expect_err("what it needs is not known").to_string();
    assert!(refused.contains(name.object().as_str()), "{refused}");
    assert_eq!(scene.chunks().await, before);
}

#[tokio::test]
async fn uploading_and_collecting_exclude_each_other_until_a_flag_is_old() {
    let scene = Scene::new().await;
    let mut upload = scene.snapshots.upload(CLUSTER).await.expect("nobody collects");
    upload.chunk(SealedChunk::seal(b"of a snapshot to come")).await.expect("room");
    assert!(scene.snapshots.collect(CLUSTER).await.expect("readable").deferred);
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
