//! The client port: every request of a client comes in here and goes to whoever answers it.

use super::admission::OnLearner;
use super::bounded::{busy, within};
use super::budget::Share;
use super::grpc::methods::{Method, Methods, MethodsError};
use super::grpc::{self, Body, Expected, Upload, encode, message, read_message};
use super::limits::{Limits, RESPONSE_BYTES_MAX};
use super::proto::{DESCRIPTORS, etcdserverpb as pb};
use super::status::Refusal;
use super::{Api, kv};
use crate::http::Pages;
use crate::listener::{App, Held, Peer};
use crate::node::Handle;
use crate::telemetry;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::{Request, Response};
use prometheus::Registry;
use prost::Message;
use std::sync::Arc;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;
use tracing::Instrument;

/// The body of a request, as it is read here.
type Received = Upload<Incoming>;

/// A reply of this size at most is encoded where it is: handing it to another thread costs more.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// What answers on the client port. A cheap clone.
#[derive(Clone)]
pub struct ClientPort(Arc<Shared>);

struct Shared {
    api: Arc<Api>,
    methods: Methods,
    hot: [Arc<Method>; KV_PATHS.len()],
    routes: Routes,
    pages: Pages,
}

/// The services could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientPortError {
    /// The counters.
    #[error(transparent)]
    Methods(#[from] MethodsError),
    /// The descriptors for reflection.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What the generated services are implemented for.
#[derive(Clone)]
pub(super) struct Families(Arc<Api>);

impl Families {
    pub(super) fn api(&self) -> &Arc<Api> {
        &self.0
    }
}

/// The methods that are framed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kv {
    Range,
    Put,
    DeleteRange,
    Txn,
    Compact,
}

/// In the order of [`Kv`].
const KV_PATHS: [&str; 5] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
];

impl Kv {
    fn of(path: &str) -> Option<Self> {
        const KINDS: [Kv; 5] = [Kv::Range, Kv::Put, Kv::DeleteRange, Kv::Txn, Kv::Compact];
        KV_PATHS.iter().position(|known| *known == path).map(|place| KINDS[place])
    }
}

impl ClientPort {
    /// Answers from `node` within `limits`, with counters in `registry`, and plain HTTP from `pages`.
    ///
    /// # Errors
    /// When the registry has counters of these names already.
    pub fn new(node: Handle, limits: Limits, registry: &Registry, pages: Pages) -> Result<Self, ClientPortError> {
        let methods = Methods::register(&[DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET], registry)?;
        let api = Arc::new(Api::new(node, limits));
        let hot = KV_PATHS.map(|path| Arc::clone(methods.get(path).expect("the descriptors have the KV service")));
        let routes = routes(&api)?;
        Ok(Self(Arc::new(Shared { api, methods, hot, routes, pages })))
    }
}

/// Everything that tonic serves.
fn routes(api: &Arc<Api>) -> Result<Routes, ClientPortError> {
    let families = Families(Arc::clone(api));
    let bytes_max = api.limits.receive_bytes_max();
    macro_rules! bounded {
        ($server:path) => {{
            <$server>::new(families.clone())
                .max_decoding_message_size(bytes_max)
                .max_encoding_message_size(RESPONSE_BYTES_MAX)
        }};
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (_, health) = tonic_health::server::health_reporter();
    Ok(Routes::new(bounded!(pb::kv_server::KvServer<Families>))
        .add_service(bounded!(pb::watch_server::WatchServer<Families>))
        .add_service(bounded!(pb::lease_server::LeaseServer<Families>))
        .add_service(bounded!(pb::cluster_server::ClusterServer<Families>))
        .add_service(bounded!(pb::maintenance_server::MaintenanceServer<Families>))
        .add_service(bounded!(pb::auth_server::AuthServer<Families>))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare())
}

impl App for ClientPort {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let is_grpc = is_grpc(&request);
        let refuse = |refusal: Refusal| if is_grpc { grpc::refuse(&refusal.into()) } else { busy(refusal) };
        let place = match self.0.api.calls.enter(&peer.held.calls) {
            Ok(place) => place,
            Err(refusal) => return refuse(refusal),
        };
        let answered = if is_grpc { Ok(self.0.called(request, &peer.held).await) } else { self.0.page(&request).await };
        answered.map_or_else(refuse, |response| response.map(|body| body.of_call(place, &peer.pace)))
    }
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

impl Shared {
    async fn called(&self, request: Request<Incoming>, held: &Held) -> Response<Body> {
        match telemetry::request(request.uri().path(), request.headers()) {
            None => self.answer(request, held).await,
            Some(span) => Box::pin(self.answer(request, held)).instrument(span).await,
        }
    }

    /// A page of plain HTTP. Whoever does not read it makes the member hold it, as with any response.
    async fn page(&self, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let response = Box::pin(self.pages.answer(request)).await;
        within(response, &self.api.responses)
    }

    async fn answer(&self, request: Request<Incoming>, held: &Held) -> Response<Body> {
        let path = request.uri().path();
        let requests = &self.api.requests.of(&held.request_pages);
        let upload = |expected| move |body| Upload::new(body, expected, requests);
        if let Some(kv) = Kv::of(path) {
            return self.hot(kv, request.map(upload(Expected::One))).await;
        }
        let method = self.methods.get(path).map(Arc::clone);
        // Reflection, which is no method that is counted, is a stream.
        let is_unary = method.as_ref().is_some_and(|method| method.takes_one_message());
        let expected = if is_unary { Expected::One } else { Expected::Any };
        Box::pin(self.other(method, request.map(upload(expected)))).await
    }

    async fn hot(&self, kv: Kv, request: Request<Received>) -> Response<Body> {
        let method = &self.hot[kv as usize];
        method.start();
        // Counts a call that the client gives up as cancelled.
        let mut ending = grpc::Ending::new(Arc::clone(method));
        let answer = match self.kv(kv, request).await {
            Ok(response) => {
                ending.ended(Code::Ok);
                return response;
            }
            Err(status) => status,
        };
        ending.ended(answer.code());
        grpc::refuse(&answer)
    }

    async fn kv(&self, kv: Kv, request: Request<Received>) -> Result<Response<Body>, Status> {
        let api = &self.api;
        let on_learner = if kv == Kv::Range { OnLearner::Served } else { OnLearner::Refused };
        api.admit(request.headers(), on_learner)?;
        // Counts until the request is answered: whole, it waits for a leader or for others.
        let mut upload = request.into_body();
        let bytes = read_message(&mut upload, api.limits.receive_bytes_max()).await?;
        if bytes.len() > api.limits.request_bytes_max {
            return Err(Refusal::RequestTooLarge.into());
        }
        match kv {
            Kv::Range => self.reply(api.range(decode(bytes)?).await?).await,
            Kv::Put => self.reply((api.put(decode(bytes)?).await?, api.responses.share())).await,
            Kv::DeleteRange => self.reply((api.delete_range(decode(bytes)?).await?, api.responses.share())).await,
            Kv::Txn => self.reply(api.txn(decode(bytes)?).await?).await,
            Kv::Compact => self.reply((api.compact(decode(bytes)?).await?, api.responses.share())).await,
        }
    }

    /// Encodes a reply where it is, or, if it is large, on a thread where it delays nobody. The share is what the reply
    /// itself stands on.
    async fn reply<M: Message + 'static>(&self, (reply, read): (M, Share)) -> Result<Response<Body>, Status> {
        let bytes = reply.encoded_len();
        if bytes > RESPONSE_BYTES_MAX {
            return Err(Refusal::ResponseTooLarge.into());
        }
        let mut share = self.api.responses.share();
        share.grow(bytes)?;
        let encoding = move || {
            let frame = encode(&reply, bytes);
            drop((reply, read));
            frame
        };
        let frame = if bytes <= INLINE_BYTES_MAX {
            encoding()
        } else {
            tokio::task::spawn_blocking(encoding).await.map_err(|_| Refusal::Stopped)?
        };
        Ok(message(frame, share))
    }

    async fn other(&self, method: Option<Arc<Method>>, request: Request<Received>) -> Response<Body> {
        let path = request.uri().path();
        let Some(method) = method else {
            // Reflection, which nobody counts, or a method that does not exist.
            return pass_on(&self.routes, request).await.map(Body::tonic);
        };
        method.start();
        if let Err(refusal) = self.api.admit(request.headers(), OnLearner::of(path)) {
            method.end(refusal.code());
            return grpc::refuse(&refusal.into());
        }
        grpc::pass(pass_on(&self.routes, request).await, method)
    }
}

async fn pass_on(routes: &Routes, request: Request<Received>) -> Response<tonic::body::Body> {
    match routes.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::internal(format!("grpc: error unmarshalling request: {error}")))
}

/// Only `RangeStream` comes this way; the others are here so that the service is whole.
#[tonic::async_trait]
impl pb::kv_server::Kv for Families {
    type RangeStreamStream = tokio_stream::Empty<Result<pb::RangeStreamResponse, Status>>;

    async fn range(&self, range: tonic::Request<pb::RangeRequest>) -> kv::Answer<pb::RangeResponse> {
        Ok(tonic::Response::new(self.api().range(range.into_inner()).await?.0))
    }

    async fn range_stream(&self, _: tonic::Request<pb::RangeRequest>) -> kv::Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("ranges are not streamed, use Range with a limit"))
    }

    async fn put(&self, put: tonic::Request<pb::PutRequest>) -> kv::Answer<pb::PutResponse> {
        Ok(tonic::Response::new(self.api().put(put.into_inner()).await?))
    }

    async fn delete_range(
        &self,
        delete: tonic::Request<pb::DeleteRangeRequest>,
    ) -> kv::Answer<pb::DeleteRangeResponse> {
        Ok(tonic::Response::new(self.api().delete_range(delete.into_inner()).await?))
    }

    async fn txn(&self, txn: tonic::Request<pb::TxnRequest>) -> kv::Answer<pb::TxnResponse> {
        Ok(tonic::Response::new(self.api().txn(txn.into_inner()).await?.0))
    }

    async fn compact(&self, compact: tonic::Request<pb::CompactionRequest>) -> kv::Answer<pb::CompactionResponse> {
        Ok(tonic::Response::new(self.api().compact(compact.into_inner()).await?))
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
