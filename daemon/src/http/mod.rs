//! Plain HTTP on the client port and on the metrics port: health, version and metrics.
//!
//! ```text
//!   /health            {"health":"true","reason":""}, or 503 and why
//!   /livez /readyz     ok, or 503 and the checks that failed; /readyz/CHECK asks for one
//!   /version           what we speak
//!   /metrics           Prometheus text
//! ```

mod checks;
mod health;

use crate::etcd::grpc::Body;
use crate::etcd::{API_VERSION, CLUSTER_VERSION};
use crate::listener::{App, Peer};
use crate::metrics;
use crate::node::Handle;
use checks::{Check, CheckMetrics};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::{Request, Response};
use prometheus::Registry;
use std::sync::Arc;
use tracing::warn;

/// The pages of one member. A cheap clone.
#[derive(Clone)]
pub struct Pages(Arc<Shared>);

struct Shared {
    node: Handle,
    registry: Registry,
    metrics: CheckMetrics,
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

impl Pages {
    /// The pages of the member behind `node`; `/metrics` shows `registry`, which also counts the health checks.
    ///
    /// # Errors
    /// When the registry has counters of these names already.
    pub fn new(node: Handle, registry: Registry) -> Result<Self, prometheus::Error> {
        let metrics = CheckMetrics::register(&registry)?;
        Ok(Self(Arc::new(Shared { node, registry, metrics })))
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if request.method() != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        let query = Query(request.uri().query().unwrap_or_default());
        match request.uri().path() {
            "/health" => self.0.health(query).await,
            "/version" => version(),
            "/metrics" => self.0.metrics().await,
            "/livez" => self.0.checks("livez", &Check::LIVE, query).await,
            "/readyz" => self.0.checks("readyz", &Check::READY, query).await,
            path => match one_check(path) {
                Some((page, check)) => self.0.checks(page, &[check], query).await,
                None => text(StatusCode::NOT_FOUND, "404 page not found\n".into()),
            },
        }
    }
}

impl App for Pages {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, _: &Peer) -> Response<Body> {
        self.answer(&request).await
    }
}

impl Shared {
    async fn metrics(&self) -> Response<Body> {
        match metrics::gather(&self.node, &self.registry).await {
            Ok(page) => respond(StatusCode::OK, METRICS, page),
            Err(error) => {
                warn!(%error, "could not print the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be printed\n".into())
            }
        }
    }
}

fn version() -> Response<Body> {
    let page = serde_json::json!({
        "etcdserver": API_VERSION,
        "etcdcluster": CLUSTER_VERSION,
        "storage": CLUSTER_VERSION,
    });
    respond(StatusCode::OK, JSON, page.to_string())
}

/// The page and the check of a path like `/readyz/non_learner`.
fn one_check(path: &str) -> Option<(&'static str, Check)> {
    let (page, name) = path.strip_prefix('/')?.split_once('/')?;
    let (page, checks): (_, &[Check]) = match page {
        "livez" => ("livez", &Check::LIVE),
        "readyz" => ("readyz", &Check::READY),
        _ => return None,
    };
    checks.iter().find(|check| check.name() == name).map(|check| (page, *check))
}

fn text(code: StatusCode, page: String) -> Response<Body> {
    let mut response = respond(code, TEXT, page);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn respond(code: StatusCode, kind: HeaderValue, page: String) -> Response<Body> {
    let mut response = Response::new(Body::page(page.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The part of a URL after the question mark.
#[derive(Clone, Copy)]
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The values under `name`, as written; none of the words we know needs escaping.
    fn values(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter_map(move |(key, value)| (key == name).then_some(value))
    }

    fn has(self, name: &'a str) -> bool {
        self.values(name).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gives_every_value_of_a_name() {
        let query = Query("exclude=NOSPACE&verbose&exclude=CORRUPT");
        assert_eq!(query.values("exclude").collect::<Vec<_>>(), ["NOSPACE", "CORRUPT"]);
        assert!(query.has("verbose") && !query.has("serializable"));
        assert!(!Query("").has("verbose"));
    }

    #[test]
    fn a_path_names_one_check_of_its_page() {
        assert!(one_check("/readyz/non_learner").is_some());
        assert!(one_check("/livez/serializable_read").is_some());
        for path in ["/livez/non_learner", "/readyz/", "/readyz/x", "/health/serializable_read", "/", ""] {
            assert!(one_check(path).is_none(), "{path}");
        }
    }
}
