//! Prometheus of Debian, which scrapes pods through the API server: so it needs no way to their addresses. Debian's is
//! built without the discovery of Kubernetes, so the pods are listed here and told to it in a file that it watches.

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
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// How often pods are asked.
const EVERY: &str = "1s";

/// How often pods are listed: a new one is scraped soon, and two cores are not kept busy with it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Pods that are scraped.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Their namespace.
    pub namespace: String,
    /// Which of them, by their labels.
    pub selector: String,
    /// The port that has `/metrics`.
    pub port: u16,
}

/// A server that scrapes pods.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    _server: Server,
    _scout: Scout,
    _folder: TempDir,
}

/// A series of a query, over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Unix seconds, and the value there.
    pub points: Vec<(f64, f64)>,
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
    /// Starts one that scrapes these pods; `rules` are files of rules.
    ///
    /// # Errors
    /// When it cannot be had or does not start.
    pub fn start(cluster: &Cluster, scraped: &[Scraped], rules: &[PathBuf]) -> Result<Self> {
        let folder = TempDir::with_prefix("quorate-prometheus-")?;
        let target = Target::of(cluster, folder.path())?;
        let (configuration, pods) = (folder.path().join("prometheus.yml"), folder.path().join("pods.json"));
        // JSON is YAML.
        fs::write(&configuration, target.configuration(&pods, rules).to_string())?;
        let search = Search { scraped: scraped.to_vec(), server: target.host() };
        let scout = Scout::start(cluster, search, pods)?;
        let address = format!("127.0.0.1:{}", free_port("127.0.0.1")?);
        let mut prometheus = Command::new(program("prometheus")?);
        prometheus
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path());
        let server = Server::start("prometheus", &mut prometheus, &address)?;
        Ok(Self { address, _server: server, _scout: scout, _folder: folder })
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

    /// What `query` yielded every `step` seconds between two moments, in Unix seconds.
    ///
    /// # Errors
    /// When the query is wrong.
    pub fn range(&self, query: &str, (begin, end): (f64, f64), step: f64) -> Result<Vec<Series>> {
        let query = format!("query={}&start={begin}&end={end}&step={step}", encoded(query));
        let answer: Value = serde_json::from_str(&get(&self.address, &format!("/api/v1/query_range?{query}"))?)?;
        let results = answer["data"]["result"].as_array().with_context(|| format!("no matrix: {answer}"))?;
        results.iter().map(|result| series(result).with_context(|| format!("no series: {result}"))).collect()
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

fn labels(result: &Value) -> Option<BTreeMap<String, String>> {
    let labels = result["metric"].as_object()?.iter();
    labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn sample(result: &Value) -> Option<Sample> {
    Some(Sample { labels: labels(result)?, value: result["value"][1].as_str()?.parse().ok()? })
}

fn series(result: &Value) -> Option<Series> {
    let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?));
    let points = result["values"].as_array()?.iter().map(point).collect::<Option<_>>()?;
    Some(Series { labels: labels(result)?, points })
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
            server: view(".clusters[0].cluster.server", "jsonpath")?,
            files: [
                decoded("ca.pem", "index (index .clusters 0).cluster \"certificate-authority-data\"")?,
                decoded("client.pem", "index (index .users 0).user \"client-certificate-data\"")?,
                decoded("client.key", "index (index .users 0).user \"client-key-data\"")?,
            ],
        })
    }

    fn host(&self) -> String {
        self.server.trim_start_matches("https://").to_owned()
    }

    fn configuration(&self, pods: &Path, rules: &[PathBuf]) -> Value {
        let [authority, certificate, key] = &self.files;
        json!({
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": rules,
            "scrape_configs": [{
                "job_name": "pods",
                "scheme": "https",
                "tls_config": {"ca_file": authority, "cert_file": certificate, "key_file": key},
                "file_sd_configs": [{"files": [pods]}],
            }],
        })
    }
}

/// Which pods are scraped, and where.
struct Search {
    scraped: Vec<Scraped>,
    /// The API server's host and port.
    server: String,
}

impl Search {
    /// The pods that are there now, as Prometheus reads them: one target for each, however many ports it names.
    fn look(&self, cluster: &Cluster) -> Result<Value> {
        let found = self.scraped.iter().map(|scraped| self.look_for(cluster, scraped));
        Ok(Value::Array(found.collect::<Result<Vec<_>>>()?.concat()))
    }

    fn look_for(&self, cluster: &Cluster, scraped: &Scraped) -> Result<Vec<Value>> {
        let Scraped { namespace, selector, port } = scraped;
        let mut list = cluster.kubectl();
        list.args(["get", "pods", "-n", namespace, "-l", selector, "-o", "jsonpath={.items[*].metadata.name}"]);
        let one = |pod: &str| {
            let page = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
            json!({"targets": [self.server], "labels": {"__metrics_path__": page, "pod": pod, "namespace": namespace}})
        };
        Ok(output(&mut list)?.split_whitespace().map(one).collect())
    }
}

/// Lists the pods as long as it is kept.
#[derive(Debug)]
struct Scout {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scout {
    fn start(cluster: &Cluster, search: Search, file: PathBuf) -> Result<Self> {
        let cluster = cluster.clone();
        let mut told = search.look(&cluster)?;
        write(&file, &told)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // An API server that does not answer now is asked again.
                let seen = search.look(&cluster).unwrap_or_else(|_| told.clone());
                if seen != told && write(&file, &seen).is_ok() {
                    told = seen;
                }
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whole or not at all: Prometheus may read at any time.
fn write(file: &Path, pods: &Value) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, pods.to_string())?;
    Ok(fs::rename(&new, file)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_a_url() {
        assert_eq!(encoded("a{b=\"c\"} > 1"), "a%7Bb%3D%22c%22%7D%20%3E%201");
    }

    #[test]
    fn a_sample_has_its_labels_and_its_value() {
        let result = json!({"metric": {"pod": "m-0"}, "value": [1.5, "42"]});
        let sample = sample(&result).expect("it is one");
        assert_eq!((sample.value, sample.labels["pod"].as_str()), (42.0, "m-0"));
    }

    #[test]
    fn a_series_has_its_points_in_order() {
        let result = json!({"metric": {"pod": "m-0"}, "values": [[1.5, "42"], [2.5, "NaN"]]});
        let series = series(&result).expect("it is one");
        assert_eq!(series.points[0], (1.5, 42.0));
        assert!(series.points[1].1.is_nan(), "a quantile of nothing is none");
    }
}
