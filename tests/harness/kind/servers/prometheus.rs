//! Prometheus of Debian, which scrapes pods through the API server: so it needs no way to their addresses.

use super::{Server, free_port};
use crate::cluster::get;
use crate::kind::Cluster;
use crate::kind::command::{output, succeeds};
use crate::kind::own;
use crate::kind::state::State;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// How often pods are asked.
const EVERY: &str = "1s";

/// A server that scrapes the pods of a namespace.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    _server: Server,
    _folder: TempDir,
}

/// A value of a query, by labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes `port` of the pods in `namespace` that `selector` selects; `rules` are files of rules.
    ///
    /// # Errors
    /// When it cannot be had or does not start.
    pub fn start(cluster: &Cluster, namespace: &str, selector: &str, port: u16, rules: &[PathBuf]) -> Result<Self> {
        let folder = TempDir::with_prefix("quorate-prometheus-")?;
        let target = Target::of(cluster, folder.path())?;
        let configuration = folder.path().join("prometheus.yml");
        // JSON is YAML.
        fs::write(&configuration, target.configuration(namespace, selector, port, rules).to_string())?;
        let address = format!("127.0.0.1:{}", free_port("127.0.0.1")?);
        let mut prometheus = Command::new(program("prometheus")?);
        prometheus
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path());
        let server = Server::start("prometheus", &mut prometheus, &address)?;
        Ok(Self { address, _server: server, _folder: folder })
    }

    /// What `query` yields now.
    ///
    /// # Errors
    /// When the query is wrong, or yields no vector.
    pub fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let answer = get(&self.address, &format!("/api/v1/query?query={}", encoded(query)))?;
        let answer: Value = serde_json::from_str(&answer)?;
        let results = answer["data"]["result"].as_array().with_context(|| format!("no vector: {answer}"))?;
        results.iter().map(|result| sample(result).with_context(|| format!("no sample: {result}"))).collect()
    }
}

/// The program `promtool`, for rules and their tests.
///
/// # Errors
/// When it cannot be had.
pub fn promtool() -> Result<PathBuf> {
    program("promtool")
}

/// On the path, or out of Debian's package.
fn program(name: &str) -> Result<PathBuf> {
    if succeeds(Command::new(name).arg("--version")) {
        return Ok(PathBuf::from(name));
    }
    let packages = own::prometheus(&State::open()?).with_context(|| format!("{name}: install Debian's prometheus"))?;
    Ok(packages.join("usr/bin").join(name))
}

fn sample(result: &Value) -> Option<Sample> {
    let labels = result["metric"].as_object()?.iter();
    Some(Sample {
        labels: labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect::<Option<_>>()?,
        value: result["value"][1].as_str()?.parse().ok()?,
    })
}

/// For the query part of a URL.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The API server, and who we are to it, as files.
struct Target {
    kubeconfig: PathBuf,
    server: String,
    files: [PathBuf; 3],
}

impl Target {
    fn of(cluster: &Cluster, folder: &Path) -> Result<Self> {
        let view = |path: &str, form: &str| {
            let query = format!("{form}={{{path}}}");
            output(cluster.kubectl().args(["config", "view", "--raw", "--minify", "--flatten", "-o", &query]))
        };
        let decoded = |name: &str, path: &str| -> Result<PathBuf> {
            let text = view(&format!("{{{path} | base64decode}}"), "go-template")?;
            let file = folder.join(name);
            fs::write(&file, text + "\n")?;
            Ok(file)
        };
        Ok(Self {
            kubeconfig: cluster.kubeconfig().to_path_buf(),
            server: view(".clusters[0].cluster.server", "jsonpath")?,
            files: [
                decoded("ca.pem", "index (index .clusters 0).cluster \"certificate-authority-data\"")?,
                decoded("client.pem", "index (index .users 0).user \"client-certificate-data\"")?,
                decoded("client.key", "index (index .users 0).user \"client-key-data\"")?,
            ],
        })
    }

    fn configuration(&self, namespace: &str, selector: &str, port: u16, rules: &[PathBuf]) -> Value {
        let [authority, certificate, key] = &self.files;
        let host = self.server.trim_start_matches("https://");
        let proxy = format!("/api/v1/namespaces/{namespace}/pods/$1:{port}/proxy/metrics");
        let pod = "__meta_kubernetes_pod_name";
        json!({
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": rules,
            "scrape_configs": [{
                "job_name": "pods",
                "scheme": "https",
                "tls_config": {"ca_file": authority, "cert_file": certificate, "key_file": key},
                "kubernetes_sd_configs": [{
                    "role": "pod",
                    "kubeconfig_file": self.kubeconfig,
                    "namespaces": {"names": [namespace]},
                    "selectors": [{"role": "pod", "label": selector}],
                }],
                "relabel_configs": [
                    // One target for each pod, however many ports its containers name.
                    {"source_labels": [pod], "target_label": "__metrics_path__", "replacement": proxy},
                    {"target_label": "__address__", "replacement": host},
                    {"source_labels": [pod], "target_label": "pod"},
                    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                ],
            }],
        })
    }
}
