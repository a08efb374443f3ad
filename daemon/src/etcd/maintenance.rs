//! The Maintenance service: what an operator asks of one member.

use super::port::Families;
use super::proto::etcdserverpb as pb;
use super::proto::etcdserverpb::alarm_request::AlarmAction as Action;
use super::status::Refusal;
use super::{API_VERSION, Api, CLUSTER_VERSION};
use mvcc::{Alarm, AlarmAction, AlarmChange, AlarmKind, Body, Done, Reply, Revision};
use raft::MemberId;
use std::sync::Arc;
use tonic::{Request, Response, Status};

impl Api {
    fn member_status(&self) -> pb::StatusResponse {
        let status = self.node.status();
        let size = self.node.store().size();
        pb::StatusResponse {
            header: self.header(),
            version: API_VERSION.into(),
            db_size: signed(size.allocated),
            leader: status.leader.unwrap_or(MemberId::NONE).0,
            raft_index: status.commit.0,
            raft_term: status.term.0,
            raft_applied_index: status.applied.0,
            errors: self.errors(),
            db_size_in_use: signed(size.in_use),
            is_learner: status.is_learner(),
            storage_version: CLUSTER_VERSION.into(),
            db_size_quota: self.limits.quota_bytes.map_or(0, signed),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }
    }

    fn errors(&self) -> Vec<String> {
        let no_leader = self.node.status().leader.is_none().then(|| Refusal::NoLeader.text().to_string());
        let alarms = self.node.store().alarms();
        let alarms = alarms.iter().map(|alarm| format!("memberID:{} alarm:{}", alarm.member, alarm_name(alarm.kind)));
        no_leader.into_iter().chain(alarms).collect()
    }

    async fn alarm(&self, alarm: pb::AlarmRequest) -> Result<pb::AlarmResponse, Refusal> {
        // An unknown action or type changes nothing, as in etcd.
        let kind = alarm_kind(alarm.alarm);
        let alarms = match (alarm.action(), kind) {
            (Action::Get, _) => {
                self.node.linearize().await?;
                let alarms = self.node.store().alarms().into_iter();
                alarms.filter(|raised| kind.is_none_or(|kind| raised.kind == kind)).collect()
            }
            (_, None) => Vec::new(),
            (Action::Activate, Some(kind)) => self.change_alarm(AlarmAction::Activate, alarm.member_id, kind).await?,
            (Action::Deactivate, Some(kind)) => {
                self.change_alarm(AlarmAction::Deactivate, alarm.member_id, kind).await?
            }
        };
        Ok(pb::AlarmResponse { header: self.header(), alarms: alarms.into_iter().map(Into::into).collect() })
    }

    async fn change_alarm(&self, action: AlarmAction, member: u64, kind: AlarmKind) -> Result<Vec<Alarm>, Refusal> {
        let change = AlarmChange { action, alarm: Alarm { kind, member } };
        match self.propose(Body::Alarm(change)).await? {
            Done { reply: Reply::Alarm(alarms), .. } => Ok(alarms),
            other => Err(super::kv::mismatched(&other)),
        }
    }

    /// The hash only has to agree between members; so both methods compute the same one.
    async fn hash_at(self: &Arc<Self>, revision: Revision) -> Result<mvcc::HashKv, Refusal> {
        let api = Arc::clone(self);
        Ok(self.reads.run(move || api.node.store().hash_kv(revision)).await??)
    }

    async fn hash(self: &Arc<Self>) -> Result<pb::HashResponse, Refusal> {
        let hash = self.hash_at(Revision::ZERO).await?;
        Ok(pb::HashResponse { header: self.header(), hash: hash.hash })
    }

    async fn hash_kv(self: &Arc<Self>, asked: pb::HashKvRequest) -> Result<pb::HashKvResponse, Refusal> {
        let hash = self.hash_at(Revision(asked.revision)).await?;
        Ok(pb::HashKvResponse {
            header: self.header(),
            hash: hash.hash,
            compact_revision: hash.compacted.0,
            hash_revision: hash.revision.0,
        })
    }

    async fn move_leader(&self, target: MemberId) -> Result<pb::MoveLeaderResponse, Refusal> {
        if !self.node.status().is_leader() {
            return Err(Refusal::NotLeader);
        }
        if self.node.members().get(target).is_none_or(|member| member.learner) {
            return Err(Refusal::BadLeaderTransferee);
        }
        if target != self.node.identity().member {
            self.node.transfer_leader(Some(target)).await?;
        }
        Ok(pb::MoveLeaderResponse { header: None })
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn alarm_kind(number: i32) -> Option<AlarmKind> {
    match pb::AlarmType::try_from(number) {
        Ok(pb::AlarmType::Nospace) => Some(AlarmKind::NoSpace),
        Ok(pb::AlarmType::Corrupt) => Some(AlarmKind::Corrupt),
        Ok(pb::AlarmType::None) | Err(_) => None,
    }
}

/// The name of an alarm, as in `etcdctl alarm list` and the health page.
pub(crate) fn alarm_name(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
    }
}

impl From<Alarm> for pb::AlarmMember {
    fn from(alarm: Alarm) -> Self {
        let kind = match alarm.kind {
            AlarmKind::NoSpace => pb::AlarmType::Nospace,
            AlarmKind::Corrupt => pb::AlarmType::Corrupt,
        };
        Self { member_id: alarm.member, alarm: kind.into() }
    }
}

#[tonic::async_trait]
impl pb::maintenance_server::Maintenance for Families {
    type SnapshotStream = super::snapshot::Blobs;

    async fn alarm(&self, alarm: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        Ok(Response::new(self.api().alarm(alarm.into_inner()).await?))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        Ok(Response::new(self.api().member_status()))
    }

    /// Space is given back in the background all the time; asked for, it is given back now. Nothing stops for it.
    async fn defragment(&self, _: Request<pb::DefragmentRequest>) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.api().reclaim().await?;
        Ok(Response::new(pb::DefragmentResponse { header: None }))
    }

    async fn hash(&self, _: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        Ok(Response::new(self.api().hash().await?))
    }

    async fn hash_kv(&self, hash: Request<pb::HashKvRequest>) -> Result<Response<pb::HashKvResponse>, Status> {
        Ok(Response::new(self.api().hash_kv(hash.into_inner()).await?))
    }

    async fn snapshot(&self, _: Request<pb::SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        Ok(Response::new(self.api().snapshot().await?))
    }

    async fn move_leader(
        &self,
        transfer: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        Ok(Response::new(self.api().move_leader(MemberId(transfer.into_inner().target_id)).await?))
    }

    /// Our storage has one version: there is nowhere to go down to, and no such job to cancel.
    async fn downgrade(
        &self,
        downgrade: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        use pb::downgrade_request::DowngradeAction;
        Err(match downgrade.into_inner().action() {
            DowngradeAction::Cancel => Refusal::NoInflightDowngrade,
            DowngradeAction::Validate | DowngradeAction::Enable => Refusal::InvalidDowngradeTargetVersion,
        }
        .into())
    }
}
