//! Which calls of the Kubernetes API are made, in the words in which permissions are given: verb, group, resource.
//!
//! Counted where a request leaves the operator: what it costs an API server at rest can be read off, and so can who
//! makes it busy. What the client itself tries again counts once. A call is part of the trace of the pass that makes it.

use crate::metrics::Metrics;
use crate::telemetry;
use anyhow::Context as _;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::Instrument;

/// A call, as a rule of RBAC names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'static str,
    /// The group; empty is the core one.
    pub group: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
}

impl Call {
    /// What a request asks for; `None` if it is about no resource, such as the server's version.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let mut parts = request.uri().path().trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let _version = parts.next()?;
        let mut resource = parts.next()?;
        let mut name = parts.next();
        // Namespaces are where the others live; as objects of their own nobody here asks for them.
        if resource == "namespaces" {
            resource = parts.next()?;
            name = parts.next();
        }
        let resource = match parts.next() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        let watches = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        Some(Self { verb: verb(request.method(), name.is_some(), watches)?, group: group.to_owned(), resource })
    }

    /// Whether this answer is an error. That something which was asked for is not there is none.
    fn is_refused(&self, status: StatusCode) -> bool {
        let absent = status == StatusCode::NOT_FOUND && self.verb == "get";
        (status.is_client_error() || status.is_server_error()) && !absent
    }
}

fn verb(method: &Method, named: bool, watches: bool) -> Option<&'static str> {
    Some(match (method, named) {
        (&Method::GET, true) => "get",
        (&Method::GET, false) if watches => "watch",
        (&Method::GET, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => return None,
    })
}

/// The way to the API server that the environment tells of, counted.
///
/// # Errors
/// The environment tells of none, or its certificates do not read.
pub async fn connect(metrics: &Metrics) -> anyhow::Result<Client> {
    let config = Config::infer().await.context("the way to the API server")?;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Counting(metrics.clone())).build())
}

/// Counts what goes through.
#[derive(Clone)]
pub struct Counting(pub Metrics);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A way to the API server whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(call) = Call::of(&request) else { return self.inner.call(request).boxed() };
        self.metrics.called(&call);
        let (span, metrics) = (telemetry::call(&call), self.metrics.clone());
        let calling = self.inner.call(request).instrument(span.clone());
        async move {
            let answered = calling.await;
            if let Ok(answer) = &answered {
                let status = answer.status();
                telemetry::answered(&span, status);
                if call.is_refused(status) {
                    metrics.refused(&call, status.as_u16());
                    telemetry::failed(&span, &status);
                }
            }
            answered
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Option<(&'static str, String, String)> {
        let request = Request::builder().method(method).uri(path).body(()).expect("a request");
        Call::of(&request).map(|call| (call.verb, call.group, call.resource))
    }

    #[test]
    fn a_request_is_what_a_rule_would_name() {
        let said =
            |verb: &'static str, group: &str, resource: &str| Some((verb, group.to_owned(), resource.to_owned()));
        assert_eq!(call("GET", "/api/v1/pods?labelSelector=a"), said("list", "", "pods"));
        assert_eq!(call("GET", "/api/v1/namespaces/n/pods?&watch=true&timeoutSeconds=9"), said("watch", "", "pods"));
        assert_eq!(call("GET", "/api/v1/namespaces/n/secrets/s"), said("get", "", "secrets"));
        assert_eq!(call("DELETE", "/api/v1/namespaces/n/pods/p"), said("delete", "", "pods"));
        let clusters = "/apis/quorate.io/v1alpha1/namespaces/n/raftclusters";
        assert_eq!(call("PATCH", &format!("{clusters}/m")), said("patch", "quorate.io", "raftclusters"));
        assert_eq!(call("PUT", &format!("{clusters}/m/status")), said("update", "quorate.io", "raftclusters/status"));
        assert_eq!(
            call("POST", "/apis/events.k8s.io/v1/namespaces/n/events?"),
            said("create", "events.k8s.io", "events")
        );
        assert_eq!(call("GET", "/version"), None);
        assert_eq!(call("GET", "/apis/apps/v1"), None);
    }

    #[test]
    fn what_is_not_there_is_an_answer_and_every_other_error_is_a_refusal() {
        let refused = |verb, status: u16| {
            let call = Call { verb, group: String::new(), resource: "pods".into() };
            call.is_refused(StatusCode::from_u16(status).expect("a status"))
        };
        assert!(!refused("get", 200) && !refused("get", 404) && !refused("patch", 201));
        assert!(refused("get", 403) && refused("delete", 404) && refused("update", 409) && refused("list", 503));
    }

    #[tokio::test]
    async fn a_refusal_is_counted_by_its_code() {
        let metrics = Metrics::new().expect("every name once");
        let inner = tower::service_fn(async |_| {
            Ok::<_, std::convert::Infallible>(Response::builder().status(403).body(()).expect("an answer"))
        });
        let request = Request::builder().uri("/api/v1/namespaces/n/pods").body(()).expect("a request");
        let answer = Counting(metrics.clone()).layer(inner).call(request).await.expect("it answers");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let page = String::from_utf8(metrics.text().expect("it prints")).expect("text");
        let counted = "quorate_operator_api_refusals_total{code=\"403\",group=\"\",resource=\"pods\",verb=\"list\"} 1";
        assert!(page.contains(counted), "{page}");
    }
}
