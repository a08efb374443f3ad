//! Look, plan, write down, act: once for each event and each time it is due.

use crate::act::{FINALIZER, act, set_finalizers};
use crate::children::Names;
use crate::context::{Context, Kept};
use crate::crd::{RaftCluster, RaftClusterStatus};
use crate::error::OperatorError;
use crate::look::{Look, look};
use crate::status::{answers, newly_wrong, status, steps, words};
use crate::stored::{Told, stored};
use crate::telemetry;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use plan::{Action, Decision, Memory, Plan, Reason, plan};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Instrument, Span};

/// While something is under way. Catching up has no event that would wake us.
const SOON: Duration = Duration::from_secs(1);
/// While nothing is: drift and members that nobody tells us of are found by then.
const AT_REST: Duration = Duration::from_secs(30);
/// The first wait after a failure; each one after it is twice as long.
const FAILED_FIRST: Duration = Duration::from_secs(1);
/// No failure is waited for longer than this.
const FAILED_MAX: Duration = Duration::from_secs(60);

/// The name under which a cluster is kept.
fn key(cluster: &impl ResourceExt) -> String {
    format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}

/// One pass over one cluster.
///
/// # Errors
/// Something was not done. It is tried again, later and later.
pub async fn reconcile(cluster: Arc<Told>, context: Arc<Context>) -> Result<Requeue, OperatorError> {
    if !context.lease.is_held() {
        return Ok(Requeue::requeue(SOON));
    }
    let span = telemetry::pass(&cluster.namespace().unwrap_or_default(), &cluster.name_any());
    traced(&cluster, &context, &span).instrument(span.clone()).await
}

/// The pass, inside its span.
async fn traced(cluster: &Told, context: &Context, span: &Span) -> Result<Requeue, OperatorError> {
    let began = Instant::now();
    let key = key(cluster);
    let kept = context.kept(&key);
    let mut kept = kept.lock().await;
    // On the heap: it holds everything of a look.
    let done = Box::pin(pass(context, &mut kept, cluster)).await;
    context.metrics.reconciled(began.elapsed(), done.as_ref().err().map(OperatorError::code));
    match &done {
        Ok(Passed::Gone) => {
            context.metrics.forget(&key);
            context.forget(&key);
        }
        Ok(_) => kept.failures = 0,
        Err(error) if error.is_conflict() => {
            telemetry::passed(span, "Conflict");
            tracing::info!(cluster = key, trace_id = telemetry::trace_id(), %error, "somebody was there before");
            return Ok(Requeue::requeue(SOON));
        }
        Err(error) => {
            kept.failures = kept.failures.saturating_add(1);
            kept.failed(error);
            telemetry::passed(span, error.code());
            telemetry::failed(span, error);
            let failures = kept.failures;
            tracing::warn!(cluster = key, trace_id = telemetry::trace_id(), %error, failures, "not done");
            let about = cluster.object_ref(&());
            say(context, &about, EventType::Warning, error.code(), "Reconcile", &error.to_string()).await;
        }
    }
    done.map(|passed| {
        telemetry::passed(span, passed.name());
        match passed {
            Passed::Gone => Requeue::await_change(),
            Passed::AtRest => Requeue::requeue(AT_REST),
            Passed::UnderWay => Requeue::requeue(SOON),
        }
    })
}

/// How long to wait after a failure.
#[must_use]
pub fn after_failure(cluster: &Told, context: &Context) -> Requeue {
    let kept = context.kept(&key(cluster));
    let failures = kept.try_lock().map_or(1, |kept| kept.failures);
    Requeue::requeue(backoff(failures))
}

fn backoff(failures: u32) -> Duration {
    let doubled = FAILED_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(FAILED_MAX)
}

enum Passed {
    Gone,
    AtRest,
    UnderWay,
}

impl Passed {
    fn name(&self) -> &'static str {
        match self {
            Self::Gone => "Gone",
            Self::AtRest => "AtRest",
            Self::UnderWay => "UnderWay",
        }
    }
}

fn name_of(decision: &Decision) -> &'static str {
    match decision {
        Decision::Act(action) => action.name(),
        Decision::Wait(reason) => reason.name(),
        Decision::Settled => "Settled",
    }
}

async fn pass(context: &Context, kept: &mut Kept, told: &Told) -> Result<Passed, OperatorError> {
    // What woke us may be old.
    let Some(cluster) = read(context, told).await? else { return Ok(Passed::Gone) };
    let names = Names::of(&cluster);
    let deleting = cluster.metadata.deletion_timestamp.is_some();
    let held = cluster.finalizers().iter().any(|name| name == FINALIZER);
    if deleting && !held {
        return Ok(Passed::Gone);
    }
    if !held {
        let finalizers: Vec<String> = cluster.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
        set_finalizers(context, &names, cluster.resource_version(), &finalizers).await?;
        return Ok(Passed::UnderWay);
    }
    let look = look(context, kept, cluster).instrument(telemetry::observe()).await?;
    let planned = telemetry::plan().in_scope(|| plan(&look.wanted, &look.memory, &look.seen));
    telemetry::decided(&Span::current(), name_of(&planned.decision));
    let changed = planned.memory != look.memory;
    write_down(context, kept, &look, &planned).await?;
    announce(context, &look, &planned).await;
    context.metrics.planned(&key(&look.cluster), &planned, look.seen.membership.is_some());
    context.metrics.certificates(&key(&look.cluster), &look.sides);
    match &planned.decision {
        // What the objects should be follows from what is remembered: with another memory they are looked at again.
        Decision::Act(Action::Apply) if changed => Ok(Passed::UnderWay),
        Decision::Act(action) => {
            step(context, kept, look, &planned.memory, action).await?;
            Ok(Passed::UnderWay)
        }
        Decision::Settled if !changed => Ok(Passed::AtRest),
        Decision::Wait(Reason::Paused | Reason::Hibernated) if !changed => Ok(Passed::AtRest),
        Decision::Settled | Decision::Wait(_) => Ok(Passed::UnderWay),
    }
}

/// The cluster as it is stored now. One that does not read waits for somebody to change it, and costs the others nothing.
async fn read(context: &Context, told: &Told) -> Result<Option<RaftCluster>, OperatorError> {
    let stored = stored(context, &told.namespace().unwrap_or_default(), &told.name_any()).await;
    match &stored {
        Err(OperatorError::Unreadable(what)) => context.metrics.unreadable(&key(told), &what.field),
        Ok(Some(_)) => context.metrics.readable(&key(told)),
        Ok(None) | Err(_) => {}
    }
    stored
}

/// What was begun is written before it is done, and against the version that was read: whoever has looked at an older
/// one does nothing.
async fn write_down(context: &Context, kept: &Kept, look: &Look, planned: &Plan) -> Result<(), OperatorError> {
    if matches!(planned.decision, Decision::Act(Action::Release)) {
        return Ok(());
    }
    let status = status(look, planned, kept);
    let acts = matches!(planned.decision, Decision::Act(_));
    if !acts && look.cluster.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut cluster = look.cluster.clone();
    cluster.status = Some(status);
    let params = PostParams { field_manager: Some("quorate-operator-status".into()), ..PostParams::default() };
    let api = context.api::<RaftCluster>(&look.names.namespace);
    api.replace_status(&look.names.cluster, &params, &cluster).instrument(telemetry::record()).await?;
    // Once it stands in the status it is told: whoever crashes in between leaves it in the status.
    for wrong in cluster.status.iter().flat_map(|status| newly_wrong(look.cluster.status.as_ref(), status)) {
        say(context, &about(look), EventType::Warning, &wrong.reason, &wrong.type_, &wrong.message).await;
    }
    for (reason, note) in cluster.status.iter().flat_map(|status| steps(look.cluster.status.as_ref(), status)) {
        say(context, &about(look), EventType::Normal, reason, "AuthorityChanging", &note).await;
    }
    Ok(())
}

async fn step(
    context: &Context,
    kept: &mut Kept,
    mut look: Look,
    memory: &Memory,
    action: &Action,
) -> Result<(), OperatorError> {
    look.memory = memory.clone();
    let (cluster, trace_id) = (key(&look.cluster), telemetry::trace_id());
    tracing::info!(cluster, trace_id, action = action.name(), step = ?action, "acting");
    let span = telemetry::act(action.name());
    let done = Box::pin(act(context, kept, &look, action)).instrument(span.clone()).await;
    if let Err(error) = &done {
        telemetry::failed(&span, error);
    }
    context.metrics.acted(action.name(), done.is_ok());
    if done.is_ok() && *action != Action::Apply && *action != Action::Release {
        say(context, &about(&look), EventType::Normal, action.name(), action.name(), &format!("{action:?}")).await;
    }
    done
}

/// The beginning and the end of an operation, and what is newly in the way.
async fn announce(context: &Context, look: &Look, planned: &Plan) {
    let (before, after) = (&look.memory.operation, &planned.memory.operation);
    if before != after {
        if let Some(done) = before.as_ref().filter(|_| after.is_none()) {
            let note = format!("{} at place {} is done", done.kind.name(), done.kind.ordinal());
            say(context, &about(look), EventType::Normal, "OperationDone", done.kind.name(), &note).await;
        }
        if let Some(begun) = after {
            let note = format!("{} at place {} begins", begun.kind.name(), begun.kind.ordinal());
            say(context, &about(look), EventType::Normal, "OperationBegun", begun.kind.name(), &note).await;
        }
    }
    for (reason, note) in answers(&look.memory, &planned.memory) {
        say(context, &about(look), EventType::Warning, reason, "RecoverQuorum", &note).await;
    }
    let before = look.cluster.status.as_ref().and_then(reason_of);
    if let Decision::Wait(reason) = &planned.decision
        && before.as_deref() != Some(reason.name())
        && is_trouble(reason)
    {
        say(context, &about(look), EventType::Warning, reason.name(), "Wait", &words(reason)).await;
    }
}

fn reason_of(status: &RaftClusterStatus) -> Option<String> {
    let progressing = status.conditions.iter().find(|condition| condition.type_ == "Progressing")?;
    Some(progressing.reason.clone())
}

fn is_trouble(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::QuorumLost
            | Reason::NotSafe { .. }
            | Reason::NoTransferee
            | Reason::ForeignDisk(_)
            | Reason::RepairIsManual(_)
            | Reason::StrangeMember(_)
    )
}

fn about(look: &Look) -> ObjectReference {
    look.cluster.object_ref(&())
}

/// An event that cannot be written is no reason to stop.
async fn say(context: &Context, about: &ObjectReference, type_: EventType, reason: &str, action: &str, note: &str) {
    let event = Event {
        type_,
        reason: reason.into(),
        note: Some(note.chars().take(1000).collect()),
        action: action.into(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, about).await {
        tracing::warn!(%error, reason, "no event");
    }
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod rest_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_waited_for_longer_and_longer_up_to_a_minute() {
        let seconds: Vec<u64> = (0..9).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff(u32::MAX), FAILED_MAX);
    }
}
