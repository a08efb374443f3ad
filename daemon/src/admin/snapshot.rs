//! A snapshot, as a file that comes as it is made.

use super::Shared;
use super::problem::Refusal;
use crate::etcd::grpc::Body;
use crate::snapshot::Sending;
use futures::{TryStreamExt, stream};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tonic::Status;

impl Shared {
    /// A transfer that fails in the middle is cut off, and the file's digest is missing.
    pub(super) async fn snapshot(&self) -> Result<Response<Body>, Refusal> {
        let sending = self.snapshots.begin().await?;
        let parts = stream::try_unfold(sending, next).map_ok(Frame::data);
        let mut response = Response::new(Body::tonic(tonic::body::Body::new(StreamBody::new(parts))));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Ok(response)
    }
}

async fn next(mut sending: Sending) -> Result<Option<(bytes::Bytes, Sending)>, Status> {
    let part = sending.next().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(part.map(|part| (part, sending)))
}
