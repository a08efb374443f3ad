//! Which requests this member takes now, before anyone looks at what they ask.

use super::Api;
use super::limits::APPLY_LAG_ENTRIES_MAX;
use super::status::Refusal;
use http::HeaderMap;

/// With the value `true`: refuse the request rather than serve it while no leader is known.
const HAS_LEADER: &str = "hasleader";

/// The version of the client's API.
const CLIENT_API_VERSION: &str = "client-api-version";

/// What of a method a learner serves: what needs no voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLearner {
    /// It is refused.
    Refused,
    /// It is served, as far as the handler can tell.
    Served,
}

impl OnLearner {
    /// By the path of the method. Whether a range is serializable is for its handler to see.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/etcdserverpb.KV/Range" | "/etcdserverpb.Maintenance/Status" | "/etcdserverpb.Maintenance/Snapshot" => {
                Self::Served
            }
            // Health and reflection are about the process, not about the cluster.
            _ if path.starts_with("/grpc.") => Self::Served,
            _ => Self::Refused,
        }
    }
}

impl Api {
    /// Looks at what comes with a request and at what this member is.
    pub(super) fn admit(&self, headers: &HeaderMap, on_learner: OnLearner) -> Result<(), Refusal> {
        let status = self.node.status();
        if status.is_learner() && on_learner == OnLearner::Refused {
            return Err(Refusal::NotSupportedForLearner);
        }
        if headers.get(CLIENT_API_VERSION).is_some_and(|version| std::str::from_utf8(version.as_bytes()).is_err()) {
            return Err(Refusal::InvalidClientApiVersion);
        }
        if status.leader.is_none() && headers.get(HAS_LEADER).is_some_and(|value| value == "true") {
            return Err(Refusal::NoLeader);
        }
        Ok(())
    }

    /// Refuses a write while applying lags too far behind committing: its client would wait for all before it.
    pub(super) fn admit_write(&self) -> Result<(), Refusal> {
        let status = self.node.status();
        if status.commit.0.saturating_sub(status.applied.0) > APPLY_LAG_ENTRIES_MAX {
            return Err(Refusal::TooManyRequests);
        }
        Ok(())
    }

    /// Everything but a serializable range needs a voter.
    pub(super) fn admit_range(&self, serializable: bool) -> Result<(), Refusal> {
        if !serializable && self.node.status().is_learner() {
            return Err(Refusal::NotSupportedForLearner);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_serves_ranges_status_snapshots_and_health_alone() {
        for path in [
            "/etcdserverpb.KV/Range",
            "/etcdserverpb.Maintenance/Status",
            "/etcdserverpb.Maintenance/Snapshot",
            "/grpc.health.v1.Health/Check",
        ] {
            assert_eq!(OnLearner::of(path), OnLearner::Served, "{path}");
        }
        for path in ["/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch", "/etcdserverpb.Maintenance/HashKV"] {
            assert_eq!(OnLearner::of(path), OnLearner::Refused, "{path}");
        }
    }
}
