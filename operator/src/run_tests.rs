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
