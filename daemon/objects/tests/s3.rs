//! The S3 store against a real server, well and ill. Every fault is scripted, so each case says what happens and ends
//! by itself.

use bytes::Bytes;
use http::Method;
use object_server::{ACCESS_KEY, BUCKET, Effect, Fault, ObjectServer, SECRET_KEY};
use objects::{Error, Limits, Location, ObjectName, ObjectStore, Patience, Prefix, Retrying, S3};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Short enough to wait for in a test, long enough for loopback on a busy machine.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(5), bytes_per_second_min: 1 << 20 };

/// For the cases that wait for the limit to pass.
const IMPATIENT: Limits = Limits { answer: Duration::from_millis(500), ..LIMITS };

const PATIENCE: Patience =
    Patience { attempts: 3, pause_first: Duration::from_millis(2), pause_max: Duration::from_millis(20) };

struct Scene {
    server: ObjectServer,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        ObjectServer::write_credentials(&folder.path().join("credentials")).expect("credentials");
        Self { server: ObjectServer::start().await.expect("a server"), folder }
    }

    async fn open(&self, more: &str, limits: Limits) -> S3 {
        let credentials = self.folder.path().join("credentials");
        let text = format!("{}&credentials-file={}{more}", self.server.location("some/prefix"), credentials.display());
        match text.parse().expect("a location") {
            Location::S3(bucket) => S3::open(&bucket, limits).await.expect("it opens"),
            Location::Directory(path) => panic!("{} is no bucket", path.display()),
        }
    }

    async fn store(&self) -> S3 {
        self.open("", LIMITS).await
    }

    async fn patient(&self) -> Retrying<S3> {
        Retrying::new(self.store().await, PATIENCE)
    }

    fn fault(&self, fault: Fault) {
        self.server.faults().add(fault);
    }

    fn seen(&self, method: &Method) -> usize {
        self.server.faults().seen(method, "")
    }
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).expect("a name")
}

fn body(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn an_object_is_read_as_it_was_put() {
    let scene = Scene::new().await;
    let (store, object, sent) = (scene.store().await, name("chunks/ab/cd"), body(3 << 20));
    store.put(&object, sent.clone()).await.expect("put");
    assert!(scene.server.file("some/prefix/chunks/ab/cd").exists(), "below the location's prefix");
    assert_eq!(store.get(&object, 3 << 20).await.expect("get"), sent);
    assert_eq!(store.get_range(&object, 1_000..2_000).await.expect("range"), sent.slice(1_000..2_000));
    assert_eq!(store.get_range(&object, 5..5).await.expect("empty range"), Bytes::new());
    assert_eq!(store.head(&object).await.expect("head").bytes, 3 << 20);
    store.delete(&object).await.expect("delete");
    store.delete(&object).await.expect("delete what is gone");
    for outcome in [store.get(&object, 1).await.map(drop), store.head(&object).await.map(drop)] {
        assert_eq!(outcome, Err(Error::NotFound { object: object.clone() }));
    }
}

#[tokio::test]
async fn the_sdks_own_checksums_and_encryption_are_options() {
    let scene = Scene::new().await;
    let store = scene.open("&checksums=when-supported&sse=AES256", LIMITS).await;
    store.put(&name("a"), body(70_000)).await.expect("put");
    assert_eq!(store.get(&name("a"), 70_000).await.expect("get"), body(70_000));
}

#[tokio::test]
async fn what_is_larger_or_shorter_than_expected_is_corrupt() {
    let scene = Scene::new().await;
    let store = scene.store().await;
    store.put(&name("a"), body(100)).await.expect("put");
    assert!(matches!(store.get(&name("a"), 99).await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.get_range(&name("a"), 50..101).await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.get_range(&name("a"), 200..300).await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn only_the_first_writer_of_a_name_wins() {
    let scene = Scene::new().await;
    let (one, other, object) = (scene.store().await, scene.store().await, name("manifests/1"));
    one.put_if_absent(&object, body(10)).await.expect("the first");
    assert_eq!(other.put_if_absent(&object, body(20)).await, Err(Error::Exists { object: object.clone() }));
    assert_eq!(one.get(&object, 10).await.expect("get"), body(10));
}

#[tokio::test]
async fn a_server_without_conditional_writes_is_asked_first() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("manifests/1"));
    scene.fault(Fault::new(Effect::Refuse(501, "NotImplemented")).on(Method::PUT).times(1));
    store.put_if_absent(&object, body(10)).await.expect("the first");
    scene.fault(Fault::new(Effect::Refuse(501, "NotImplemented")).on(Method::PUT).times(1));
    assert_eq!(store.put_if_absent(&object, body(20)).await, Err(Error::Exists { object: object.clone() }));

    let checking = scene.open("&create=check-first", LIMITS).await;
    assert_eq!(checking.put_if_absent(&object, body(20)).await, Err(Error::Exists { object: object.clone() }));
    checking.put_if_absent(&name("manifests/2"), body(20)).await.expect("another name");
    assert_eq!(store.get(&object, 10).await.expect("get"), body(10));
}

#[tokio::test]
async fn names_are_listed_in_pages_and_strangers_are_left_out() {
    let scene = Scene::new().await;
    let store = scene.store().await;
    let names: Vec<String> = (0..1_050).map(|n| format!("c/{n:04}")).collect();
    std::fs::create_dir_all(scene.server.file("some/prefix/c")).expect("mkdir");
    for name in names.iter().map(String::as_str).chain(["a stranger", "c/ä", "d"]) {
        std::fs::write(scene.server.file(&format!("some/prefix/{name}")), b"x").expect("write");
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&Prefix::under(name("c")), after.as_ref()).await.expect("list");
        listed.extend(page.objects.into_iter().map(|listed| (listed.name.to_string(), listed.attributes.bytes)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, names.into_iter().map(|name| (name, 1)).collect::<Vec<_>>());
    assert!(store.list(&Prefix::all(), None).await.expect("list").next.is_some());
}

/// What each refusal means, for a put, a get and a list.
#[tokio::test]
async fn refusals_say_what_the_caller_can_do() {
    let cases: [(u16, &'static str, &str); 17] = [
        (403, "AccessDenied", "denied"),
        (403, "SignatureDoesNotMatch", "denied"),
        (403, "RequestTimeTooSkewed", "denied"),
        (400, "ExpiredToken", "denied"),
        (401, "", "denied"),
        (404, "NoSuchBucket", "config"),
        (301, "PermanentRedirect", "config"),
        (503, "SlowDown", "unavailable"),
        (429, "", "unavailable"),
        (500, "InternalError", "unavailable"),
        (502, "", "unavailable"),
        (409, "ConditionalRequestConflict", "unavailable"),
        (400, "XAmzContentSHA256Mismatch", "unavailable"),
        (400, "RequestTimeout", "unavailable"),
        (507, "XMinioStorageFull", "full"),
        (403, "QuotaExceeded", "full"),
        (418, "Teapot", "protocol"),
    ];
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    for (status, code, reason) in cases {
        scene.fault(Fault::new(Effect::Refuse(status, code)).times(3));
        let outcomes = [
            store.put(&object, body(10)).await,
            store.get(&object, 10).await.map(drop),
            store.list(&Prefix::all(), None).await.map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(outcome.as_ref().err().map(Error::reason), Some(reason), "{status} {code}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_the_rest_is_not() {
    let scene = Scene::new().await;
    let (store, object) = (scene.patient().await, name("a"));
    scene.fault(Fault::new(Effect::SlowDown(0)).on(Method::PUT).times(1));
    scene.fault(Fault::new(Effect::Drop).on(Method::PUT).times(1));
    store.put(&object, body(10)).await.expect("the third attempt");
    assert_eq!(scene.seen(&Method::PUT), 3);

    scene.fault(Fault::new(Effect::Refuse(403, "AccessDenied")).on(Method::GET));
    assert!(matches!(store.get(&object, 10).await, Err(Error::Denied { .. })));
    assert_eq!(scene.seen(&Method::GET), 1, "a denial is not argued with");

    scene.fault(Fault::new(Effect::Refuse(503, "SlowDown")).on(Method::DELETE));
    assert!(matches!(store.delete(&object).await, Err(Error::Unavailable { .. })));
    assert_eq!(scene.seen(&Method::DELETE), 3, "patience ends");
}

#[tokio::test]
async fn the_pause_that_a_store_asks_for_is_kept_up_to_a_bound() {
    let scene = Scene::new().await;
    let patience =
        Patience { attempts: 2, pause_first: Duration::from_millis(1), pause_max: Duration::from_millis(300) };
    let store = Retrying::new(scene.store().await, patience);
    scene.fault(Fault::new(Effect::SlowDown(3_600)).times(1));
    let begin = Instant::now();
    store.put(&name("a"), body(10)).await.expect("the second attempt");
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_first_writer_whose_answer_was_lost_knows_itself_again() {
    let scene = Scene::new().await;
    let (store, object) = (scene.patient().await, name("manifests/1"));
    scene.fault(Fault::new(Effect::LoseAnswer).on(Method::PUT).times(1));
    store.put_if_absent(&object, body(10)).await.expect("what is there is ours");

    let other = name("manifests/2");
    scene.store().await.put(&other, body(20)).await.expect("somebody else was first");
    scene.fault(Fault::new(Effect::Drop).on(Method::PUT).times(1));
    assert_eq!(store.put_if_absent(&other, body(10)).await, Err(Error::Exists { object: other }));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let scene = Scene::new().await;
    let (store, object) = (scene.open("", IMPATIENT).await, name("a"));
    scene.fault(Fault::new(Effect::Hang));
    for outcome in [
        store.put(&object, body(10)).await,
        store.get(&object, 10).await.map(drop),
        store.head(&object).await.map(drop),
        store.list(&Prefix::all(), None).await.map(drop),
        store.delete(&object).await,
    ] {
        assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for_within_the_limit() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    scene.fault(Fault::new(Effect::Delay(Duration::from_millis(300))).on(Method::PUT));
    store.put(&object, body(10)).await.expect("slow, and in time");
    let impatient = scene.open("", IMPATIENT).await;
    scene.server.faults().clear();
    scene.fault(Fault::new(Effect::Delay(Duration::from_secs(30))).on(Method::PUT));
    assert!(matches!(impatient.put(&object, body(10)).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let scene = Scene::new().await;
    let store = scene.store().await;
    drop(scene.server);
    let outcome = store.put(&name("a"), body(10)).await;
    assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_no_answer() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    store.put(&object, body(2 << 20)).await.expect("put");
    scene.fault(Fault::new(Effect::CutAnswer).on(Method::GET).times(3));
    for outcome in [
        store.get(&object, 2 << 20).await.map(drop),
        store.get_range(&object, 0..1 << 20).await.map(drop),
        store.list(&Prefix::all(), None).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
    }
    assert_eq!(scene.patient().await.get(&object, 2 << 20).await.expect("the next is whole"), body(2 << 20));
}

#[tokio::test]
async fn a_bit_flipped_on_the_way_in_is_refused_by_the_signature() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    scene.fault(Fault::new(Effect::FlipRequest).on(Method::PUT).times(2));
    let refused = store.put(&object, body(1 << 20)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(matches!(store.head(&object).await, Err(Error::NotFound { .. })), "nothing was written");
}

/// The store does not keep digests: whoever reads has one. What arrives is then other bytes of the same length.
#[tokio::test]
async fn a_bit_flipped_on_the_way_out_is_the_readers_to_find() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    store.put(&object, body(1 << 20)).await.expect("put");
    scene.fault(Fault::new(Effect::FlipAnswer).on(Method::GET).times(1));
    let read = store.get(&object, 1 << 20).await.expect("a body");
    assert!(read != body(1 << 20) && read.len() == 1 << 20);
}

#[tokio::test]
async fn a_success_with_an_error_in_it_is_no_success() {
    let scene = Scene::new().await;
    let (store, object) = (scene.store().await, name("a"));
    scene.fault(Fault::new(Effect::FalseSuccess("InternalError")).times(4));
    for outcome in [
        store.put(&object, body(10)).await,
        store.put_if_absent(&object, body(10)).await,
        store.get(&object, 1 << 20).await.map(drop),
        store.list(&Prefix::all(), None).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::Protocol { .. })), "{outcome:?}");
    }
    assert!(matches!(store.head(&object).await, Err(Error::NotFound { .. })), "nothing was written");
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_a_replaced_file_is_read_again() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("credentials");
    std::fs::write(&file, "[default]\naws_access_key_id = other\naws_secret_access_key = wrong\n").expect("write");
    let denied = scene.store().await.put(&name("a"), body(10)).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
    std::fs::write(&file, "[other]\naws_access_key_id = x\naws_secret_access_key = y\n").expect("write");
    let missing = scene.store().await.put(&name("a"), body(10)).await;
    assert!(matches!(missing, Err(Error::Denied { .. })), "{missing:?}");
}

/// A mounted Secret: the files are links through a link, which is what is moved.
fn mount(folder: &Path, generation: &str, parts: &[(&str, &str)]) {
    let (data, link) = (folder.join(generation), folder.join("..data"));
    std::fs::create_dir_all(&data).expect("mkdir");
    for (part, text) in parts {
        std::fs::write(data.join(part), text).expect("write");
        let _there_already = std::os::unix::fs::symlink(format!("..data/{part}"), folder.join(part));
    }
    std::os::unix::fs::symlink(generation, folder.join("..new")).expect("a link");
    std::fs::rename(folder.join("..new"), link).expect("moved");
}

async fn with_key_in(scene: &Scene, folder: &Path) -> S3 {
    let text = format!("{}&credentials-dir={}", scene.server.location("p"), folder.display());
    let Location::S3(bucket) = text.parse().expect("a location") else { panic!("no bucket") };
    S3::open(&bucket, LIMITS).await.expect("it opens")
}

#[tokio::test]
async fn a_key_in_a_mounted_secret_is_read_part_by_part_and_again_when_another_takes_its_place() {
    let scene = Scene::new().await;
    let folder = scene.folder.path().join("mounted");
    std::fs::create_dir(&folder).expect("mkdir");
    // The Secret comes later than those who mount it.
    let store = with_key_in(&scene, &folder).await;
    let denied = store.put(&name("a"), body(10)).await;
    let Err(Error::Denied { problem, .. }) = denied else { panic!("{denied:?}") };
    assert!(problem.contains("access-key-id: it is not there, or empty"), "{problem}");

    mount(&folder, "..1", &[("access-key-id", ACCESS_KEY)]);
    let denied = store.put(&name("a"), body(10)).await;
    let Err(Error::Denied { problem, .. }) = denied else { panic!("{denied:?}") };
    assert!(problem.contains("secret-access-key: it is not there") && !problem.contains(ACCESS_KEY), "{problem}");

    mount(&folder, "..2", &[("access-key-id", ACCESS_KEY), ("secret-access-key", &format!("{SECRET_KEY}\n"))]);
    store.put(&name("a"), body(10)).await.expect("with the key that is there now");

    mount(&folder, "..3", &[("access-key-id", "another"), ("secret-access-key", "key")]);
    let other = with_key_in(&scene, &folder).await.put(&name("a"), body(10)).await;
    assert!(matches!(other, Err(Error::Denied { .. })), "{other:?}");
}

#[tokio::test]
async fn what_is_no_part_of_a_key_is_refused_without_being_shown() {
    let scene = Scene::new().await;
    let folder = scene.folder.path().join("mounted");
    let long = "k".repeat(20_000);
    mount(&folder, "..1", &[("access-key-id", &long), ("secret-access-key", SECRET_KEY)]);
    let store = with_key_in(&scene, &folder).await;
    let denied = store.head(&name("a")).await;
    let Err(Error::Denied { problem, .. }) = denied else { panic!("{denied:?}") };
    assert!(problem.contains("longer than 16384 bytes") && !problem.contains("kkkk"), "{problem}");
    assert!(!format!("{store:?}").contains(SECRET_KEY));
}

#[tokio::test]
async fn a_changed_file_of_certificates_is_read_again() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("ca.pem");
    std::fs::write(&file, certificate("one")).expect("write");
    let store = scene.open(&format!("&ca-file={}", file.display()), LIMITS).await;
    store.put(&name("a"), body(10)).await.expect("put");
    std::fs::write(&file, "nothing").expect("write");
    let outcome = store.head(&name("a")).await;
    assert!(matches!(outcome, Err(Error::Config { field: "ca-file", .. })), "{outcome:?}");
    std::fs::write(&file, certificate("two")).expect("write");
    store.head(&name("a")).await.expect("with the new one");
}

fn certificate(common_name: &str) -> String {
    let key = rcgen::KeyPair::generate().expect("randomness");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).expect("a certificate").pem()
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let scene = Scene::new().await;
    let text = scene.server.location("p").replace(BUCKET, "elsewhere");
    let text = format!("{text}&credentials-file={}", scene.folder.path().join("credentials").display());
    let Location::S3(bucket) = text.parse().expect("a location") else { panic!("no bucket") };
    let store = S3::open(&bucket, LIMITS).await.expect("it opens");
    let outcome = store.list(&Prefix::all(), None).await;
    assert!(matches!(outcome, Err(Error::Config { field: "bucket", .. })), "{outcome:?}");
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named_when_the_store_is_opened() {
    let scene = Scene::new().await;
    let broken = scene.folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("write");
    for (more, field) in [
        ("credentials-file=/nowhere".to_owned(), "credentials-file"),
        ("credentials-dir=/nowhere".to_owned(), "credentials-dir"),
        (format!("credentials-dir={}", broken.display()), "credentials-dir"),
        ("ca-file=/nowhere".to_owned(), "ca-file"),
        (format!("ca-file={}", broken.display()), "ca-file"),
    ] {
        let text = format!("s3://{BUCKET}?endpoint=https://127.0.0.1:1&{more}");
        let location: Location = text.parse().expect("a location");
        match objects::open(&location).await {
            Err(Error::Config { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{text}: {other:?}"),
        }
    }
}
