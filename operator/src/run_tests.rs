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
    let condition = |all: &[(String, Value)], status: &str| {
        let (_, cluster) = all.iter().find(|(name, _)| name == "raftclusters/m")?;
        let conditions = cluster["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == "ObjectStoreReady")?.clone();
        (found["status"] == status).then_some(found)
    };
    let missing = server.until("a condition", |all| condition(all, "False")).await;
    assert_eq!(missing["reason"], "SecretMissing", "{missing}");
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
    let present = server.until("the Secret seen", |all| condition(all, "True")).await;
    assert_eq!(present["reason"], "SecretsPresent", "{present}");
    running.end().await;
}
