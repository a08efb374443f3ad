//! What scenarios count on: zones, claims that are served and grow, names, servers that pods reach, pods that Prometheus
//! reads, a dead node that is noticed soon.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tests::kind::Cluster;
use tests::kind::command::output;
use tests::kind::servers::{Prometheus, S3, Scraped};

/// Five nodes share two cores, perhaps with more.
const SOON: Duration = Duration::from_secs(90);
/// 12 s without a heartbeat, and what a busy machine adds.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// Two pods: one writes to a claim, one serves a page with a metric; and a Service.
fn objects(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: folder}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 10Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: shell}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {{runAsUser: 65532, runAsGroup: 65532}}
  containers:
  - name: shell
    image: {image}
    command: [sh, -c, "echo kept > /data/file && sleep 3600"]
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: folder}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: page, labels: {{app: page}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: page
    image: {image}
    command: [sh, -c, "mkdir /www && echo 'answer 42' > /www/metrics && httpd -f -p 8080 -h /www"]
    readinessProbe: {{httpGet: {{path: /metrics, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: page}}
spec: {{selector: {{app: page}}, ports: [{{port: 80, targetPort: 8080}}]}}
"#
    )
}

pub(crate) fn all(cluster: &Cluster) -> Result<()> {
    zones(cluster)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.yaml");
    fs::write(&file, objects(cluster.shell_image()))?;
    output(cluster.kubectl().args(["apply", "-f"]).arg(&file))?;
    for pod in ["shell", "page"] {
        output(cluster.kubectl().args(["wait", "--for=condition=Ready", "--timeout=55s", &format!("pod/{pod}")]))?;
    }
    println!("pods and claims are served");
    claim(cluster)?;
    names(cluster)?;
    servers(cluster)?;
    output(cluster.kubectl().args(["delete", "--wait=false", "-f"]).arg(&file))?;
    a_dead_node_is_noticed(cluster)
}

fn kubectl(cluster: &Cluster, words: &[&str]) -> Result<String> {
    output(cluster.kubectl().args(words))
}

fn until(what: &str, within: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let seen = condition();
        if matches!(seen, Ok(true)) {
            println!("{what} ({:.1} s)", begun.elapsed().as_secs_f64());
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > within {
            return seen.and_then(|_| bail!("not within {within:?}")).with_context(|| what.to_owned());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn zones(cluster: &Cluster) -> Result<()> {
    let path = r"jsonpath={.items[*].metadata.labels.topology\.kubernetes\.io/zone}";
    let zones = kubectl(cluster, &["get", "nodes", "-o", path])?;
    let mut zones: Vec<&str> = zones.split_whitespace().collect();
    zones.sort_unstable();
    ensure!(zones == ["zone-a", "zone-a", "zone-b", "zone-c"], "zones {zones:?}");
    ensure!(cluster.nodes()?.len() == 5, "nodes {:?}", cluster.nodes()?);
    Ok(())
}

fn claim(cluster: &Cluster) -> Result<()> {
    ensure!(kubectl(cluster, &["exec", "shell", "--", "cat", "/data/file"])? == "kept", "the claim does not keep");
    let larger = r#"{"spec": {"resources": {"requests": {"storage": "20Mi"}}}}"#;
    kubectl(cluster, &["patch", "pvc", "folder", "-p", larger])?;
    until("a claim grows", SOON, || {
        Ok(kubectl(cluster, &["get", "pvc", "folder", "-o", "jsonpath={.status.capacity.storage}"])? == "20Mi")
    })
    .map(drop)
}

fn names(cluster: &Cluster) -> Result<()> {
    until("a name is answered", SOON, || {
        let said = kubectl(cluster, &["exec", "shell", "--", "nslookup", "page.default.svc.cluster.local"])?;
        let address = kubectl(cluster, &["get", "service", "page", "-o", "jsonpath={.spec.clusterIP}"])?;
        Ok(said.contains(&address))
    })?;
    let address = kubectl(cluster, &["get", "service", "page", "-o", "jsonpath={.spec.clusterIP}"])?;
    until("a service is reached", SOON, || {
        let page = format!("http://{address}/metrics");
        Ok(kubectl(cluster, &["exec", "shell", "--", "wget", "-q", "-O", "-", &page])?.contains("42"))
    })
    .map(drop)
}

/// The object store answers a pod, refuses while it is away, and answers again; Prometheus reads a pod's page.
fn servers(cluster: &Cluster) -> Result<()> {
    let mut store = S3::start(&cluster.host_address()?)?;
    store.bucket("backups")?;
    let endpoint = store.endpoint();
    let asked = || {
        let command = format!("wget -q -O - {endpoint}/backups 2>&1 || true");
        kubectl(cluster, &["exec", "shell", "--", "sh", "-c", &command])
    };
    // Who does not sign is refused, but answered.
    until("the object store answers a pod", SOON, || Ok(asked()?.contains("403")))?;
    store.stop();
    until("the object store is away", SOON, || Ok(asked()?.contains("refused")))?;
    store.resume()?;
    until("the object store is back", SOON, || Ok(asked()?.contains("403")))?;
    let page = Scraped { namespace: "default".to_owned(), selector: "app=page".to_owned(), port: 8080 };
    let prometheus = Prometheus::start(cluster, &[page], &[])?;
    until("Prometheus reads a pod", SOON, || {
        let samples = prometheus.query("answer")?;
        Ok(samples
            .iter()
            .any(|sample| sample.value == 42.0 && sample.labels.get("pod").is_some_and(|pod| pod == "page")))
    })
    .map(drop)
}

fn a_dead_node_is_noticed(cluster: &Cluster) -> Result<()> {
    let Some(mut docker) = cluster.docker() else { return Ok(()) };
    let node = cluster.nodes()?.into_iter().rfind(|node| node.contains("worker")).context("there are workers")?;
    let ready = || {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        kubectl(cluster, &["get", "node", &node, "-o", path])
    };
    output(docker.args(["kill", &node]))?;
    until("a dead node is noticed", NOTICED_WITHIN, || Ok(ready()? != "True"))?;
    output(cluster.docker().context("it is ours")?.args(["start", &node]))?;
    until("the node is back", SOON, || Ok(ready()? == "True")).map(drop)
}
