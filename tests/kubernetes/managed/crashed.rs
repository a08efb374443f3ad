//! The operator crashes in the middle of each kind of operation, once at every phase that its status shows; the next
//! one takes up what was begun, and nothing is done twice.

use super::scenario;
use crate::{WRITES_AGAIN_WITHIN, stage};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};
use tests::kube::fault::{Node, pod};
use tests::kube::operator::{CHANGED_WITHIN, Managed, Operator, claim_name, pod_name};

/// Between two looks at the status: a phase lasts for half a second and more.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The pods that stood at each place while an operation went on.
#[derive(Debug, Default)]
struct Stood(BTreeMap<String, BTreeSet<String>>);

impl Stood {
    fn look(&mut self, managed: &Managed) -> Result<()> {
        managed.pods()?.into_iter().for_each(|(name, uid)| _ = self.0.entry(name).or_default().insert(uid));
        Ok(())
    }

    /// So many, one after the other, at each of these places.
    fn ensure(&self, pods: usize, places: impl IntoIterator<Item = usize>) -> Result<()> {
        for name in places.into_iter().map(pod_name) {
            let stood = self.0.get(&name).map_or(0, BTreeSet::len);
            ensure!(stood == pods, "{stood} pods instead of {pods} stood at {name}: {self:?}");
        }
        Ok(())
    }
}

#[test]
fn an_operator_that_crashes_at_every_phase_of_an_operation_is_taken_over_by_the_next() -> Result<()> {
    if !Node::reachable(&stage()?.kube) {
        eprintln!("skipped: the nodes of this cluster are no containers of this machine's engine");
        return Ok(());
    }
    scenario("crashed", 3, &json!({ "replicas": 1 }), |managed, operator| {
        managed.wait_settled(CHANGED_WITHIN)?;
        let load = managed.load(&[0], 15);
        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;

        managed.write(&json!({ "replicas": 3 }))?;
        crash_through(managed, operator, "ScaleOut", &["AddLearner", "SetReplicas", "Promote"])?.ensure(1, 0..3)?;
        let whole = managed.ids(0)?;
        ensure!(whole.len() == 3, "{whole:?}");

        managed.write(&json!({ "replicas": 3, "podMetadata": { "annotations": { "example.com/restart": "1" } } }))?;
        crash_through(managed, operator, "RestartMember", &["DeletePod", "Transfer"])?.ensure(2, 0..3)?;
        ensure!(managed.ids(0)? == whole, "{whole:?} became {:?}", managed.ids(0)?);

        let lost = [1, 2].into_iter().find(|at| managed.leader().is_ok_and(|leader| leader != *at)).context("one")?;
        pod::delete_with_claim(managed.space(), &pod_name(lost), &claim_name(lost))?;
        let stood = crash_through(managed, operator, "ReplaceMember", &["Remove", "AddLearner", "Promote"])?;
        stood.ensure(1, (0..3).filter(|at| *at != lost))?;
        let now = managed.ids(0)?;
        let kept = now.iter().filter(|id| whole.contains(id)).count();
        ensure!(now.len() == 3 && kept == 2, "{whole:?} became {now:?}: one member was replaced, once");

        managed.write(&json!({ "replicas": 1, "podMetadata": { "annotations": { "example.com/restart": "1" } } }))?;
        crash_through(managed, operator, "ScaleIn", &["Remove", "DeleteVolume", "SetReplicas"])?.ensure(1, 0..3)?;
        ensure!(managed.ids(0)?.len() == 1 && managed.claims()?.len() == 1, "{:?}", managed.claims()?);

        load.wait_acknowledged(50, WRITES_AGAIN_WITHIN)?;
        let (report, _) = load.stop_and_judge_at(&managed.dials(&[0]))?;
        eprintln!("{} writes acknowledged, none lost, longest stall {:?}", report.acknowledged, report.longest_stall);
        Ok(())
    })
}

/// Crashes the operator whenever an operation of this kind is in a phase that was not seen before, until the cluster is
/// settled. These phases at least must have been among them. Tells which pods stood meanwhile.
fn crash_through(managed: &Managed, operator: &Operator, kind: &str, phases: &[&str]) -> Result<Stood> {
    let (begun, mut seen, mut stood) = (Instant::now(), BTreeSet::new(), Stood::default());
    loop {
        stood.look(managed)?;
        let object = managed.object()?;
        let phase = phase(&object["status"], kind).filter(|phase| !seen.contains(phase));
        if let Some(phase) = phase {
            // What stands there may be the last word of the one that has crashed: the next is waited for.
            if operator.crash().with_context(|| format!("{kind}: {phase}"))? {
                seen.insert(phase);
            }
        } else if !seen.is_empty() && is_settled(&object) {
            break;
        }
        if begun.elapsed() > CHANGED_WITHIN {
            let saved = managed.space().save_evidence(kind);
            bail!("{kind}: not settled after {} crashes, at {seen:?}; what was seen is in {saved}", seen.len());
        }
        thread::sleep(LOOK_EVERY);
    }
    managed.wait_settled(CHANGED_WITHIN)?;
    stood.look(managed)?;
    eprintln!("{kind}: settled {:?} after it was asked for, past {} crashes: {seen:?}", begun.elapsed(), seen.len());
    let missed: Vec<_> = phases.iter().filter(|phase| !seen.iter().any(|seen| seen.contains(**phase))).collect();
    ensure!(missed.is_empty(), "{kind}: no crash at {missed:?}, only at {seen:?}");
    Ok(stood)
}

/// What the operator is about to do, or waits for, without the place.
fn phase(status: &Value, kind: &str) -> Option<String> {
    let message = status["message"].as_str()?.split(';').next()?;
    let phase = message.trim_end_matches(" to catch up").trim_end_matches(|letter: char| letter.is_ascii_digit());
    (status["operation"]["type"] == kind).then(|| phase.trim().to_owned())
}

fn is_settled(object: &Value) -> bool {
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"] && status["phase"] == "Running"
}
