//! The controller as it runs, against an API server of this process.

use super::*;
use crate::act::FINALIZER;
use crate::test_api_server::ApiServer;
use serde_json::{Value, json};

const CLUSTERS: &str = "/apis/quorate.io/v1alpha1/namespaces/store/raftclusters";

/// The controller at work.
pub(super) struct Running {
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) fn start(server: &ApiServer) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Metrics::new().expect("one name each"));
        let client = server.client(&metrics);
        let reporter = Reporter { controller: "test".into(), instance: None };
        let recorder = Recorder::new(client.clone(), reporter);
        let settings = Settings { image: "quorate".into() };
        let context = Arc::new(Context::new(client.clone(), settings, Held::always(), recorder, metrics.clone()));
        let told = stop.clone();
        let task = tokio::spawn(async move { control(&client, None, context, &told).await });
        Self { metrics, stop, task }
    }

    /// As Prometheus reads it.
    pub(super) fn page(&self) -> String {
        String::from_utf8(self.metrics.text().expect("it prints")).expect("text")
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("it ends when it is told to");
    }
}

fn cluster(spec: &Value) -> Value {
    json!({ "apiVersion": "quorate.io/v1alpha1", "kind": "RaftCluster", "metadata": { "generation": 1 }, "spec": spec })
}

/// Taken care of: the first thing done to a cluster.
async fn taken(server: &ApiServer, name: &str) {
    let path = format!("raftclusters/{name}");
    let held = |object: &Value| object["metadata"]["finalizers"] == json!([FINALIZER]);
    server
        .until(&format!("{name} is taken care of"), |all| {
            all.iter().any(|(each, object)| *each == path && held(object)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_stored_cluster_that_does_not_read_is_told_and_disturbs_no_other() {
    let server = ApiServer::new();
    let readable = cluster(&json!({ "version": "0.1.0" }));
    let strange = cluster(&json!({ "version": "0.1.0", "storage": { "onDelete": "Shred" } }));
    server.put(&format!("{CLUSTERS}/strange"), strange.clone());
    server.put(&format!("{CLUSTERS}/well"), readable.clone());
    let running = Running::start(&server);

    // It was in the list.
    taken(&server, "well").await;
    let event = server
        .until("an event", |all| {
            let (_, event) = all.iter().find(|(name, _)| name.starts_with("events/strange."))?;
            Some(event.clone())
        })
        .await;
    assert_eq!((event["reason"].as_str(), event["type"].as_str()), (Some("Unreadable"), Some("Warning")), "{event}");
    assert_eq!(event["regarding"]["kind"], "RaftCluster", "{event}");
    assert!(
        event["note"].as_str().is_some_and(|note| note.contains("spec.storage.onDelete: unknown variant")),
        "{event}"
    );
    let series = "quorate_operator_cluster_unreadable{cluster=\"store/strange\",field=\"spec.storage.onDelete\"} 1";
    assert!(running.page().contains(series), "{}", running.page());

    // It is in the watch.
    server.put(&format!("{CLUSTERS}/strange-too"), strange);
    server.put(&format!("{CLUSTERS}/late"), readable.clone());
    taken(&server, "late").await;

    // Put right, it is like any other.
    server.put(&format!("{CLUSTERS}/strange"), readable);
    taken(&server, "strange").await;
    assert!(!running.page().contains("cluster=\"store/strange\",field"), "{}", running.page());
    running.end().await;
}

#[tokio::test]
async fn a_missing_secret_of_the_object_store_is_named_and_holds_nothing_up() {
    let server = ApiServer::new();
    let s3 = json!({ "bucket": "backups", "credentialsSecretRef": { "name": "keys" } });
    server.put(&format!("{CLUSTERS}/m"), cluster(&json!({ "version": "0.1.0", "objectStore": { "s3": s3 } })));
    let running = Running::start(&server);
    server.until("the set", |all| all.iter().any(|(name, _)| name == "statefulsets/m").then_some(())).await;
    server.until("a condition", |all| store_is(all, "SecretMissing")).await;
    let event = server
        .until("an event", |all| {
            let named = |event: &Value| event["reason"] == "SecretMissing";
            all.iter()
                .find(|(name, event)| name.starts_with("events/m.") && named(event))
                .map(|(_, event)| event.clone())
        })
        .await;
    assert!(event["note"].as_str().is_some_and(|note| note.contains("Secret keys of objectStore.s3.")), "{event}");

    // "YQ==" is what a Secret holds of one letter.
    let key = json!({ "ACCESS_KEY_ID": "YQ==", "ACCESS_SECRET_KEY": "YQ==" });
    server.put("/api/v1/namespaces/store/secrets/keys", json!({ "apiVersion": "v1", "kind": "Secret", "data": key }));
    let present = server.until("the Secret seen", |all| store_is(all, "SecretsPresent")).await;
    assert_eq!(present["status"], "True", "{present}");
    running.end().await;
}

/// The set does not change with what becomes of the Secret, so no member is restarted for it; and it never has the store
/// without the keys, so none stages in the clear.
#[tokio::test]
async fn a_secret_with_keys_for_backups_may_come_change_and_go_and_its_state_is_told() {
    let server = ApiServer::new();
    let store = json!({
        "s3": { "bucket": "backups", "useServiceAccountIdentity": true },
        "encryption": { "keySecretRef": { "name": "backup-key" } },
    });
    server.put(&format!("{CLUSTERS}/m"), cluster(&json!({ "version": "0.1.0", "objectStore": store })));
    let running = Running::start(&server);
    let template = |all: &[(String, Value)]| {
        let (_, set) = all.iter().find(|(name, _)| name == "statefulsets/m")?;
        Some(set["spec"]["template"].clone())
    };
    let first = server.until("the set", template).await;
    let arguments = first["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--backup-store=") && arguments.contains("--backup-encryption-key-dir="), "{arguments}");
    server.until("it is missed", |all| store_is(all, "SecretMissing")).await;

    let text = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    let (one, two) = ("5a".repeat(32), "a5".repeat(32));
    let states = [
        (json!({ "other": text(&one) }), "KeyMissing"),
        (json!({ "backup.key": text("a passphrase") }), "KeyInvalid"),
        (json!({ "backup.key": text(&one) }), "SecretsPresent"),
        (json!({ "backup.key": text(&format!("{two}\n{one}\n")) }), "SecretsPresent"),
        (json!({}), "KeyMissing"),
    ];
    for (data, reason) in states {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "data": data });
        server.put("/api/v1/namespaces/store/secrets/backup-key", secret);
        let now = server.until(reason, |all| store_is(all, reason)).await;
        assert_eq!(now["status"], if reason == "SecretsPresent" { "True" } else { "False" }, "{now}");
        assert!(!now.to_string().contains("passphrase"), "{now}");
    }
    assert_eq!(server.until("the set", template).await, first, "it is as it was");
    running.end().await;
}

/// The condition about the object store, once it has this reason.
fn store_is(all: &[(String, Value)], reason: &str) -> Option<Value> {
    let (_, cluster) = all.iter().find(|(name, _)| name == "raftclusters/m")?;
    let conditions = cluster["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == "ObjectStoreReady")?;
    (found["reason"] == reason).then(|| found.clone())
}

/// The text under a key of a stored Secret, as it is stored.
fn stored_text(all: &[(String, Value)], secret: &str, key: &str) -> Option<String> {
    let (_, secret) = all.iter().find(|(name, _)| *name == format!("secrets/{secret}"))?;
    Some(secret["data"][key].as_str()?.to_owned())
}

#[tokio::test]
async fn an_authority_is_changed_on_request_step_by_step_and_each_step_is_told() {
    let server = ApiServer::new();
    let asked = |generation: u32| json!({ "peer": { "selfSigned": { "generation": generation } }, "client": { "selfSigned": { "overlap": "1h" } } });
    server.put(&format!("{CLUSTERS}/m"), cluster(&json!({ "version": "0.1.0", "tls": asked(0) })));
    let running = Running::start(&server);
    let authority = |all: &[(String, Value)], generation: u32| {
        let (_, cluster) = all.iter().find(|(name, _)| name == "raftclusters/m")?;
        let authorities = cluster["status"]["authorities"].as_array()?;
        let found = authorities.iter().find(|authority| authority["secret"] == "m-peer-ca")?;
        (found["generation"] == generation && found["phase"] == "Settled").then(|| found.clone())
    };
    let first = server.until("an authority", |all| authority(all, 0)).await;
    assert!(first["notAfter"].is_string(), "{first}");
    let before = server.until("its certificate", |all| stored_text(all, "m-peer-ca", "tls.crt")).await;

    // Nobody runs: there is nobody to wait for.
    server.change(&format!("{CLUSTERS}/m"), json!({ "metadata": { "generation": 2 }, "spec": { "tls": asked(1) } }));
    server.until("another authority", |all| authority(all, 1)).await;
    let (after, trusted) = server
        .until("its certificate, trusted alone", |all| {
            let after = stored_text(all, "m-peer-ca", "tls.crt")?;
            let trusted = stored_text(all, "m-peer-tls", "ca.crt")?;
            (trusted == after).then_some((after, trusted))
        })
        .await;
    assert!(after != before && trusted == after);
    let told = |all: &[(String, Value)]| {
        let reasons = ["AuthorityAnnounced", "AuthorityHandedOver", "AuthorityRetired"];
        let said =
            |reason: &str| all.iter().any(|(name, event)| name.starts_with("events/m.") && event["reason"] == reason);
        reasons.iter().all(|reason| said(reason)).then_some(())
    };
    server.until("an event for each step", told).await;
    let page = running.page();
    for secret in ["m-peer-ca", "m-peer-tls", "m-client-ca", "m-server-tls", "m-client-tls"] {
        let series = "quorate_operator_certificate_not_after_timestamp_seconds";
        assert!(page.contains(&format!("{series}{{cluster=\"store/m\",secret=\"{secret}\"}}")), "{secret}: {page}");
    }
    assert!(page.contains("quorate_operator_authority_changing{cluster=\"store/m\",secret=\"m-peer-ca\"} 0"), "{page}");
    running.end().await;
}

#[tokio::test]
async fn a_volume_grows_to_the_size_that_was_asked_for_in_the_same_words() {
    let server = ApiServer::new();
    let claim = |size: &str| json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    server.put("/api/v1/namespaces/store/persistentvolumeclaims/data-m-0", claim("1Gi"));
    server.put(&format!("{CLUSTERS}/m"), cluster(&json!({ "version": "0.1.0", "storage": { "size": "2Gi" } })));
    let running = Running::start(&server);
    server
        .until("a larger claim", |all| {
            let (_, object) = all.iter().find(|(name, _)| name == "persistentvolumeclaims/data-m-0")?;
            (object["spec"] == claim("2Gi")["spec"]).then_some(())
        })
        .await;
    running.end().await;
}
