//! The Watch service. Refused until the store keeps a stream of its events.

use super::port::Families;
use super::proto::etcdserverpb as pb;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl pb::watch_server::Watch for Families {
    type WatchStream = tokio_stream::Empty<Result<pb::WatchResponse, Status>>;

    async fn watch(&self, _: Request<Streaming<pb::WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watches are not served yet"))
    }
}
