//! A restore from a real S3 server that is ill: it makes the same store, or says which object is wrong and makes none.

use super::seal::KeyFile;
use super::tests::{CLUSTER, filled, pieces};
use super::*;
use crate::disk::{Disk, SimDisk};
use crate::store::{Options, RedbBackend};
use mvcc::{MemoryBackend, Rebirth, Store};
use object_server::{Effect, Fault, Method, ObjectServer};
use objects::{Limits, Location, Patience, Retrying, S3};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Patience =
    Patience { attempts: 3, pause_first: Duration::from_millis(1), pause_max: Duration::from_millis(5) };

struct Scene {
    server: ObjectServer,
    snapshots: SnapshotStore,
    name: SnapshotName,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(encrypted: bool) -> Self {
        let folder = tempfile::tempdir().expect("room");
        let server = ObjectServer::start().await.expect("a server");
        let (credentials, key) = (folder.path().join("credentials"), folder.path().join("key"));
        ObjectServer::write_credentials(&credentials).expect("room");
        std::fs::write(&key, "5a".repeat(32)).expect("room");
        let keys = encrypted.then(|| KeyFile::open(&key).expect("a key"));
        let location = format!("{}&credentials-file={}", server.location("p"), credentials.display());
        let Location::S3(bucket) = location.parse().expect("a location") else { panic!("{location} is no bucket") };
        let s3 = S3::open(&bucket, Limits::default()).await.expect("it opens");
        let snapshots = SnapshotStore::new(Arc::new(Retrying::new(s3, PATIENCE)), keys);
        let store = filled(Arc::new(MemoryBackend::new()), 3000, 1000);
        let mut upload = snapshots.upload(CLUSTER).await.expect("nobody collects");
        let mut name = None;
        for piece in pieces(&store) {
            match piece {
                Piece::Chunk(sealed) => upload.chunk(sealed).await.expect("a server that is well"),
                Piece::Manifest(manifest) => name = Some(upload.publish(&manifest).await.expect("it is well")),
            }
        }
        upload.end().await;
        Self { server, snapshots, name: name.expect("the last piece"), store, _folder: folder }
    }

    /// As `quorate restore` does it. What was made: where it stands, and its state hash.
    async fn restored(&self) -> (Result<(), SnapshotError>, (u64, u64)) {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let restored = async {
            let Opened { manifest, chunks } = self.snapshots.open(&self.name).await?;
            verify(&manifest, &chunks, |_| ()).await?;
            restore_into(Arc::clone(&disk), &manifest, &chunks, Rebirth::Same, |_| ()).await.map(drop)
        };
        let restored = restored.await;
        let made = RedbBackend::open(&*disk, Options::default()).expect("sound");
        (restored, Store::open(Arc::new(made)).expect("sound").state_hash())
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_the_store_is_the_same() {
    let passing = [
        Effect::CutAnswer,
        Effect::Drop,
        Effect::LoseAnswer,
        Effect::Refuse(500, "InternalError"),
        Effect::Refuse(503, "SlowDown"),
        Effect::Delay(Duration::from_millis(20)),
    ];
    for encrypted in [false, true] {
        let scene = Scene::new(encrypted).await;
        for effect in &passing {
            for part in ["/manifests/", "/chunks/"] {
                scene.server.faults().clear();
                scene.server.faults().add(Fault::new(effect.clone()).at(part).on(Method::GET).times(2));
                let (restored, made) = scene.restored().await;
                restored.unwrap_or_else(|error| panic!("{effect:?} at {part}: {error}"));
                assert_eq!(made, scene.store.state_hash(), "{effect:?} at {part}");
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_pass_ends_the_restore_with_the_name_of_the_object_and_makes_no_store() {
    let lasting = [
        Effect::Refuse(403, "AccessDenied"),
        Effect::Refuse(404, "NoSuchKey"),
        Effect::Refuse(503, "SlowDown"),
        Effect::FalseSuccess("InternalError"),
        Effect::FlipAnswer,
        Effect::CutAnswer,
        Effect::Drop,
    ];
    for encrypted in [false, true] {
        let scene = Scene::new(encrypted).await;
        for effect in &lasting {
            for (part, passed) in [("/manifests/", 0), ("/chunks/", 0), ("/chunks/", 2)] {
                scene.server.faults().clear();
                scene.server.faults().add(Fault::new(effect.clone()).at(part).on(Method::GET).after(passed));
                let (refused, made) = scene.restored().await;
                let refused = refused.expect_err("it does not pass").to_string();
                assert!(refused.contains(&part[1..]), "{effect:?} at {part}: {refused}");
                assert_eq!(made.0, 0, "{effect:?} at {part}: nothing is applied");
            }
        }
    }
}
