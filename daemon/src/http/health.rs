//! `/health`, the page that probes of older clusters ask: one word about alarms, leader and reads together.

use super::{JSON, Query, Shared, respond};
use crate::etcd::alarm_name;
use crate::etcd::grpc::Body;
use http::StatusCode;
use hyper::Response;
use serde::Serialize;
use tracing::warn;

#[derive(Serialize)]
struct Health {
    health: &'static str,
    reason: String,
}

impl Shared {
    pub(super) async fn health(&self, query: Query<'_>) -> Response<Body> {
        let (code, health, reason) = match self.healthy(query).await {
            Ok(()) => (StatusCode::OK, "true", String::new()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, "false", reason),
        };
        if code.is_success() {
            self.metrics.health_success.inc();
        } else {
            self.metrics.health_failures.inc();
            warn!(reason, "/health says no");
        }
        let page = serde_json::to_string(&Health { health, reason }).expect("two strings always serialize");
        respond(code, JSON, page)
    }

    /// `exclude=ALARM` looks away from an alarm, `serializable=true` from the cluster.
    async fn healthy(&self, query: Query<'_>) -> Result<(), String> {
        let alarms = self.node.store().alarms();
        let mut names = alarms.iter().map(|alarm| alarm_name(alarm.kind));
        if let Some(name) = names.find(|name| !query.values("exclude").any(|excluded| excluded == *name)) {
            return Err(format!("ALARM {name}"));
        }
        let serializable = query.values("serializable").next() == Some("true");
        if !serializable && self.node.status().leader.is_none() {
            return Err("RAFT NO LEADER".into());
        }
        let read = if serializable { self.read().await } else { self.linearizable_read().await };
        read.map_err(|refusal| format!("RANGE ERROR:{}", refusal.text()))
    }
}
