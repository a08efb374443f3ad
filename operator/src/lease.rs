//! Who of several operators acts: the one that holds the lease.
//!
//! * Written by replacing the version that was read: of two that want it, one is refused.
//! * Another's clock is never compared with ours: a lease is taken when it has not changed for its whole length, by our
//!   own watch.
//! * Safety does not rest on it. Every effect names what it expects, so two at once get in each other's way and do no
//!   harm.

use crate::metrics::Metrics;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a lease is good without being renewed.
const LENGTH: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long stops to act: earlier than anybody else may begin.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often it is renewed, or looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Whether this operator may act. A cheap clone.
#[derive(Clone)]
pub struct Held {
    began: Instant,
    /// Until when, in milliseconds after `began`.
    until: Arc<AtomicU64>,
}

impl Held {
    fn nobody() -> Self {
        Self { began: Instant::now(), until: Arc::default() }
    }

    /// For good: when there is only one operator.
    #[must_use]
    pub fn always() -> Self {
        let held = Self::nobody();
        held.until.store(u64::MAX, Ordering::Relaxed);
        held
    }

    /// It may act now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        now < self.until.load(Ordering::Relaxed)
    }

    fn extend(&self, asked: Instant) {
        let until = asked.duration_since(self.began) + RENEW_WITHIN;
        self.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn give_up(&self) {
        self.until.store(0, Ordering::Relaxed);
    }
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nobody has it, or whoever had it is gone.
    Take,
    /// It is ours.
    Renew,
    /// Somebody has it.
    Wait,
}

/// Weighs a lease that has not changed for `unchanged`, as seen from here.
fn weigh(spec: &LeaseSpec, me: &str, unchanged: Duration) -> Next {
    match spec.holder_identity.as_deref() {
        None | Some("") => Next::Take,
        Some(holder) if holder == me => Next::Renew,
        Some(_) if unchanged > length(spec) => Next::Take,
        Some(_) => Next::Wait,
    }
}

fn length(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LENGTH, Duration::from_secs)
}

/// Works for a lease, and says whether it has it.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    me: String,
    held: Held,
    metrics: Metrics,
    /// The version that was seen last, and since when.
    seen: Option<(String, Instant)>,
}

impl Elector {
    /// For the lease of this name. `me` names this process and no other.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: String, metrics: Metrics) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), me, held: Held::nobody(), metrics, seen: None }
    }

    /// Whether this operator may act.
    #[must_use]
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Works until it is told to stop, and gives the lease back then. Ends early when a lease that was held is lost:
    /// the process had better begin anew.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut had = false;
        loop {
            let asked = Instant::now();
            match tokio::time::timeout(RENEW_WITHIN, self.turn()).await {
                Ok(Ok(true)) => self.held.extend(asked),
                Ok(Ok(false)) => self.held.give_up(),
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "the lease cannot be written"),
                Err(_) => tracing::warn!(lease = self.name, "the API server does not answer"),
            }
            let has = self.held.is_held();
            self.metrics.leading(has);
            if has != had {
                tracing::info!(lease = self.name, me = self.me, leading = has, "leadership");
            }
            if had && !has {
                return;
            }
            had = has;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        self.held.give_up();
        if had && let Err(error) = self.release().await {
            tracing::warn!(%error, lease = self.name, "the lease was not given back");
        }
    }

    /// Whether it is ours after this turn.
    async fn turn(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.ours(None)),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let unchanged = self.watch(&lease);
        let spec = lease.spec.clone().unwrap_or_default();
        match weigh(&spec, &self.me, unchanged) {
            Next::Wait => Ok(false),
            Next::Take | Next::Renew => {
                let lease = Lease { spec: Some(self.ours(Some(&spec))), ..lease };
                won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
            }
        }
    }

    fn watch(&mut self, lease: &Lease) -> Duration {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed(),
            _ => {
                self.seen = Some((version, Instant::now()));
                Duration::ZERO
            }
        }
    }

    fn ours(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.filter(|before| before.holder_identity.as_deref() == Some(&self.me));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            acquire_time: mine.and_then(|mine| mine.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if mine.is_some() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.me) {
            spec.holder_identity = None;
            self.api.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

/// Somebody else was faster: that is an answer.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: Option<&str>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_nobody_has_it_or_its_holder_has_been_still_for_its_length() {
        let second = Duration::from_secs(1);
        assert_eq!(weigh(&held_by(None), "me", Duration::ZERO), Next::Take);
        assert_eq!(weigh(&held_by(Some("")), "me", Duration::ZERO), Next::Take);
        assert_eq!(weigh(&held_by(Some("me")), "me", 100 * second), Next::Renew);
        assert_eq!(weigh(&held_by(Some("else")), "me", 15 * second), Next::Wait);
        assert_eq!(weigh(&held_by(Some("else")), "me", 16 * second), Next::Take);
    }

    #[test]
    fn a_holder_stops_before_anybody_else_may_begin() {
        assert!(RENEW_WITHIN + EVERY < LENGTH);
        let held = Held::nobody();
        assert!(!held.is_held());
        held.extend(Instant::now());
        assert!(held.is_held());
        held.give_up();
        assert!(!held.is_held());
        assert!(Held::always().is_held());
    }
}
