//! The Lease service. Refused until the store keeps leases.

use super::port::Families;
use super::proto::etcdserverpb as pb;
use tonic::{Request, Response, Status, Streaming};

fn unserved<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("leases are not served yet"))
}

#[tonic::async_trait]
impl pb::lease_server::Lease for Families {
    type LeaseKeepAliveStream = tokio_stream::Empty<Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(&self, _: Request<pb::LeaseGrantRequest>) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        unserved()
    }

    async fn lease_revoke(
        &self,
        _: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        unserved()
    }

    async fn lease_keep_alive(
        &self,
        _: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        unserved()
    }

    async fn lease_time_to_live(
        &self,
        _: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        unserved()
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        unserved()
    }
}
