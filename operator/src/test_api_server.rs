//! An API server of this process, for tests. It keeps objects as JSON and knows neither types nor rules: it holds what
//! a real one under another definition would hold. Everything between it and the operator is real.
//!
//! * Reads, lists and watches, whole or metadata only, as asked for; a watch misses nothing since its version.
//! * Creates, replaces, deletes, and patches. An apply is merged like any other patch. A patch that names a version is
//!   refused when another one is stored.
//! * Selectors are not looked at: a test stores what is selected and nothing else.

use crate::calls::{Call, Counting};
use crate::metrics::Metrics;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tower::Layer;

/// Whatever a test waits for comes within a second or two; this ends one that waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The server. A cheap clone.
#[derive(Clone)]
pub(crate) struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    version: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Place, Value>,
    /// Every change, in order; a version is the number of changes before it.
    log: Vec<Change>,
    calls: BTreeSet<Call>,
}

#[derive(Clone)]
struct Change {
    place: Place,
    kind: &'static str,
    object: Value,
}

/// Where an object, or a collection when the name is empty, is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Group and version, as in the path.
    api: String,
    resource: String,
    namespace: String,
    name: String,
}

impl Place {
    /// With the subresource, if there is one.
    fn of(path: &str) -> (Self, Option<String>) {
        let mut parts = path.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>().into_iter();
        let mut next = || parts.next().unwrap_or_default();
        let first = next();
        let api = if first == "api" { next() } else { format!("{}/{}", next(), next()) };
        let (mut namespace, mut resource) = (String::new(), next());
        if resource == "namespaces" {
            namespace = next();
            resource = next();
        }
        let name = next();
        (Self { api, resource, namespace, name }, Some(next()).filter(|subresource| !subresource.is_empty()))
    }

    fn holds(&self, other: &Self) -> bool {
        self.api == other.api
            && self.resource == other.resource
            && (self.namespace.is_empty() || self.namespace == other.namespace)
    }
}

impl ApiServer {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), version: watch::Sender::new(0) }))
    }

    /// A client of it, whose calls are counted.
    pub(crate) fn client(&self, metrics: &Metrics) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Client::new(Counting(metrics.clone()).layer(service), "default")
    }

    /// The kinds of calls that were made.
    pub(crate) fn calls(&self) -> BTreeSet<Call> {
        self.state().calls.clone()
    }

    /// Stores an object under its path, whatever it is.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let (place, _) = Place::of(path);
        self.store(&place, object);
    }

    /// Merges into a stored object.
    pub(crate) fn change(&self, path: &str, patch: Value) {
        let (place, _) = Place::of(path);
        let mut object = self.state().objects.get(&place).cloned().unwrap_or_default();
        merge(&mut object, patch);
        self.store(&place, object);
    }

    /// Waits until what is stored is as a test wants it; every object comes with its path's last parts.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&[(String, Value)]) -> Option<T>) -> T {
        let mut version = self.0.version.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&self.all()) {
                    return found;
                }
                version.changed().await.expect("the server lives as long as this");
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}; stored are {:#?}", self.all()))
    }

    fn all(&self) -> Vec<(String, Value)> {
        let name = |place: &Place| format!("{}/{}", place.resource, place.name);
        self.state().objects.iter().map(|(place, object)| (name(place), object.clone())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, place: &Place, mut object: Value) -> Value {
        let mut state = self.state();
        let version = state.log.len() + 1;
        let before = state.objects.get(place);
        let meta = &mut object["metadata"];
        meta["name"] = json!(place.name);
        meta["namespace"] = json!(place.namespace);
        meta["uid"] = before.map_or_else(|| json!(format!("uid-{version}")), |it| it["metadata"]["uid"].clone());
        meta["resourceVersion"] = json!(version.to_string());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        state.objects.insert(place.clone(), object.clone());
        state.log.push(Change { place: place.clone(), kind, object: object.clone() });
        drop(state);
        self.0.version.send_replace(version);
        object
    }

    fn delete(&self, place: &Place) -> Answer {
        let mut state = self.state();
        let Some(object) = state.objects.remove(place) else { return refused(StatusCode::NOT_FOUND) };
        state.log.push(Change { place: place.clone(), kind: "DELETED", object });
        let version = state.log.len();
        drop(state);
        self.0.version.send_replace(version);
        said(&json!({ "apiVersion": "v1", "kind": "Status", "status": "Success" }))
    }

    async fn answer(self, request: Request<Body>) -> Result<Answer, Infallible> {
        let call = Call::of(&request);
        self.state().calls.extend(call.clone());
        let (parts, body) = request.into_parts();
        let (place, subresource) = Place::of(parts.uri.path());
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let partial = accepted.contains("as=PartialObjectMetadata");
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(match (&parts.method, place.name.is_empty()) {
            (&Method::GET, true) if query.contains("watch=true") => self.watch(place, &query, partial),
            (&Method::GET, true) => self.list(&place, partial),
            (&Method::GET, false) => self.read(&place),
            (&Method::POST, _) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                said(&self.store(&Place { name, ..place }, body))
            }
            (&Method::PATCH, _) => {
                let stored = self.state().objects.get(&place).cloned();
                if stored.is_none() {
                    // A real one asks for this permission, too, when what is applied is not there.
                    self.state().calls.extend(call.map(|call| Call { verb: "create", ..call }));
                }
                let mut object = stored.unwrap_or_default();
                // A write that names the version it was planned on.
                let (named, there) = (&body["metadata"]["resourceVersion"], &object["metadata"]["resourceVersion"]);
                if !named.is_null() && named != there {
                    return Ok(refused(StatusCode::CONFLICT));
                }
                merge(&mut object, body);
                said(&self.store(&place, object))
            }
            (&Method::DELETE, false) => self.delete(&place),
            (&Method::PUT, _) => {
                let stored = self.state().objects.get(&place).cloned().unwrap_or_default();
                let object = match subresource {
                    Some(part) => replaced(stored, &part, &body),
                    None => body,
                };
                said(&self.store(&place, object))
            }
            _ => refused(StatusCode::METHOD_NOT_ALLOWED),
        })
    }

    fn read(&self, place: &Place) -> Answer {
        self.state().objects.get(place).map_or_else(|| refused(StatusCode::NOT_FOUND), said)
    }

    fn list(&self, place: &Place, partial: bool) -> Answer {
        let state = self.state();
        let inside = state.objects.iter().filter(|(each, _)| place.holds(each));
        let items: Vec<Value> = inside.map(|(_, object)| shown(object, partial)).collect();
        let version = state.log.len().to_string();
        said(&json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": version }, "items": items }))
    }

    fn watch(self, place: Place, query: &str, partial: bool) -> Answer {
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let from: usize = version.and_then(|text| text.parse().ok()).unwrap_or(0);
        let versions = self.0.version.subscribe();
        let events = stream::unfold((self, from, versions), move |(server, next, mut versions)| {
            let place = place.clone();
            async move {
                let mut next = next;
                loop {
                    let change = server.state().log.get(next).cloned();
                    match change {
                        Some(change) => {
                            next += 1;
                            if place.holds(&change.place) {
                                return Some((change, (server, next, versions)));
                            }
                        }
                        None => versions.changed().await.ok()?,
                    }
                }
            }
        });
        let lines = events.map(move |change| {
            let event = json!({ "type": change.kind, "object": shown(&change.object, partial) });
            Ok(Frame::data(Bytes::from(format!("{event}\n"))))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

fn shown(object: &Value, partial: bool) -> Value {
    match partial {
        false => object.clone(),
        true => json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
        }),
    }
}

fn said(object: &Value) -> Answer {
    Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync())
}

fn refused(code: StatusCode) -> Answer {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "MethodNotAllowed",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": reason,
        "code": code.as_u16(),
    });
    let mut answer = said(&status);
    *answer.status_mut() = code;
    answer
}

fn replaced(mut stored: Value, part: &str, body: &Value) -> Value {
    stored[part] = body[part].clone();
    stored
}

/// RFC 7386.
fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !into.is_object() {
                *into = json!({});
            }
            for (name, value) in fields {
                match value {
                    Value::Null => drop(into.as_object_mut().and_then(|object| object.remove(&name))),
                    value => merge(&mut into[name], value),
                }
            }
        }
        other => *into = other,
    }
}
