//! `Maintenance.Snapshot`: the store as a stream, which `etcdctl snapshot save` keeps as a file and `quorate restore`
//! reads. Its end is laid out as etcdctl expects; the rest is ours and no database of etcd.

use super::proto::etcdserverpb as pb;
use super::status::Refusal;
use super::{Api, CLUSTER_VERSION};
use crate::snapshot::{Sending, TakeError};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tonic::Status;

/// What a client receives.
pub(super) type Blobs = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

impl Api {
    pub(super) async fn snapshot(&self) -> Result<Blobs, Status> {
        let sending = self.snapshots.begin().await.map_err(|error| refusal(&error))?;
        let header = self.header();
        let parts = stream::try_unfold(sending, next).map_ok(move |(blob, remaining_bytes)| pb::SnapshotResponse {
            header,
            remaining_bytes,
            blob,
            version: CLUSTER_VERSION.to_owned(),
        });
        Ok(parts.boxed())
    }
}

async fn next(mut sending: Sending) -> Result<Option<((bytes::Bytes, u64), Sending)>, Status> {
    match sending.next().await {
        Ok(part) => Ok(part.map(|part| ((part, sending.bytes_left()), sending))),
        Err(error) => Err(Status::unavailable(error.to_string())),
    }
}

fn refusal(error: &TakeError) -> Status {
    match error {
        TakeError::Stopped => Refusal::Stopped.into(),
        TakeError::Busy | TakeError::NoRoom => Status::resource_exhausted(error.to_string()),
        TakeError::Unsettled | TakeError::Thread(_) => Status::unavailable(error.to_string()),
        TakeError::Storage(_) => Status::internal(error.to_string()),
    }
}
