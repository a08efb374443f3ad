//! The operator around the plan, with the preconditions of the real one, and a judge that looks at every effect.

use crate::raft::LAG_MAX;
use crate::world::{Api, Phase, SetObject, World};
use plan::{Action, Decision, Exit, MemberId, Observed, Ordinal, Uid, plan, quorum};
use std::collections::BTreeMap;

/// What may go wrong in one look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fault {
    /// The objects are seen as they were so many changes ago.
    pub(crate) stale: usize,
    /// The cluster's own object as well.
    pub(crate) stale_memory: bool,
    /// The process ends after the memory was written and before anything is done.
    pub(crate) crash: bool,
}

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Idle,
    Did(&'static str),
    /// A precondition did not hold.
    Refused(&'static str),
    /// The process ended before it did anything.
    Crashed,
}

/// Looks, plans, acts once.
pub(crate) fn look(world: &mut World, fault: Fault) -> Looked {
    let view = view(world, fault);
    let seen = world.observe(&view);
    let planned = plan(&view.wanted, &view.memory, &seen);
    judge_whose(world, &seen, &planned.decision);
    let acts = matches!(planned.decision, Decision::Act(_));
    if acts || planned.memory != view.memory {
        if view.memory_version != world.api.memory_version {
            return Looked::Refused("the status was written since");
        }
        if planned.memory != view.memory {
            let before = world.api.clone();
            world.api.memory = planned.memory.clone();
            world.api.memory_version += 1;
            world.changed(before);
        }
    }
    match planned.decision {
        Decision::Act(_) if fault.crash => Looked::Crashed,
        Decision::Act(action) => effect(world, &view, &action),
        Decision::Settled | Decision::Wait(_) => Looked::Idle,
    }
}

/// # Panics
/// What is to be done was planned from what a leader says whose cluster was given up.
fn judge_whose(world: &World, seen: &Observed, decision: &Decision) {
    let (Some(former), Some(membership)) = (&world.former, &seen.membership) else { return };
    let touches = |action: &Action| {
        matches!(
            action,
            Action::AddLearner { .. }
                | Action::Promote { .. }
                | Action::Remove { .. }
                | Action::Transfer { .. }
                | Action::DeleteVolume { .. }
        )
    };
    if let Decision::Act(action) = decision {
        let given_up = membership.cluster == former.cluster && touches(action);
        assert!(!given_up, "{action:?} by the word of a leader of a cluster that was given up");
    }
}

fn view(world: &World, fault: Fault) -> Api {
    let past = world.past.len().checked_sub(fault.stale).and_then(|index| world.past.get(index));
    let mut view = past.unwrap_or(&world.api).clone();
    if !fault.stale_memory {
        view.memory = world.api.memory.clone();
        view.memory_version = world.api.memory_version;
        view.wanted = world.api.wanted.clone();
        view.template = world.api.template;
    }
    view
}

fn effect(world: &mut World, view: &Api, action: &Action) -> Looked {
    let before = world.api.clone();
    let health = Judged::of(world);
    match act(world, view, action) {
        Ok(()) => {
            world.changed(before);
            health.judge(world, action);
            Looked::Did(action.name())
        }
        Err(why) => Looked::Refused(why),
    }
}

fn act(world: &mut World, view: &Api, action: &Action) -> Result<(), &'static str> {
    match action {
        Action::Apply => apply(world),
        Action::SetReplicas { set, from, to } => set_replicas(world, set, *from, *to),
        Action::AddLearner { config_index, member, ordinal } => {
            world.raft.add_learner(*config_index, *member, *ordinal)
        }
        Action::Promote { config_index, member } => world.raft.promote(*config_index, *member),
        Action::Remove { config_index, member } => world.raft.remove(*config_index, *member),
        Action::Transfer { from, to } => transfer(world, *from, *to),
        Action::DeletePod { ordinal, uid, safe } => delete_pod(world, view, *ordinal, uid, *safe),
        Action::DeleteVolume { ordinal, uid, config_index } => delete_volume(world, *ordinal, uid, *config_index),
        Action::GrowVolume { ordinal, uid, bytes } => {
            let volume = world.api.volumes.get_mut(ordinal).filter(|volume| volume.uid == *uid).ok_or("gone")?;
            volume.bytes = volume.bytes.max(*bytes);
            Ok(())
        }
        Action::RecoverQuorum { ordinal, member, cluster, request } => {
            recover(world, *ordinal, *member, *cluster, request)
        }
        Action::OrphanSet { uid } => world.api.set.take_if(|set| set.uid == *uid).map(|_| ()).ok_or("another set"),
        Action::Release => {
            world.api.released = true;
            Ok(())
        }
    }
}

fn apply(world: &mut World) -> Result<(), &'static str> {
    let uid = world.uid();
    let api = &mut world.api;
    api.may_form = api.memory.cluster.is_none();
    let (template, storage_bytes) = (api.template, api.wanted.storage_bytes);
    match &mut api.set {
        Some(set) => set.template = template,
        None => {
            let replicas = api.memory.set_size();
            api.set = Some(SetObject { uid, replicas, template, storage_bytes });
        }
    }
    Ok(())
}

fn set_replicas(world: &mut World, uid: &Uid, from: u32, to: u32) -> Result<(), &'static str> {
    if to > 0 && to < from {
        let membership = world.raft.membership().ok_or("no leader")?;
        if membership.places() > to {
            return Err("a member lives there");
        }
    }
    let set = world.api.set.as_mut().filter(|set| set.uid == *uid).ok_or("another set")?;
    if set.replicas != from {
        return Err("the set was changed since");
    }
    set.replicas = to;
    Ok(())
}

/// The daemon's guards: who is meant, no leader, one request once. It writes the word down, and ends.
fn recover(
    world: &mut World,
    ordinal: Ordinal,
    member: MemberId,
    cluster: u64,
    request: &str,
) -> Result<(), &'static str> {
    if world.runs_at(ordinal) != Some(member) {
        return Err("nobody answers");
    }
    let disk = &mut world.api.volumes.get_mut(&ordinal).ok_or("nobody answers")?.disk;
    if disk.cluster != cluster {
        return Err("it is another cluster's");
    }
    if world.raft.leader.is_some() {
        return Err("somebody leads");
    }
    disk.recovery_wanted = Some(request.to_owned());
    let now = world.now;
    let pod = world.api.pods.get_mut(&ordinal).ok_or("nobody answers")?;
    (pod.runs, pod.starts_at, pod.last_exit) = (false, now + 2, Some(Exit::Other));
    pod.restarts += 1;
    Ok(())
}

fn transfer(world: &mut World, from: MemberId, to: MemberId) -> Result<(), &'static str> {
    let runs = world.running().contains(&to);
    let raft = &mut world.raft;
    let caught_up =
        raft.members.get(&to).is_some_and(|place| place.voter && raft.last_index - place.matched <= LAG_MAX);
    if raft.leader != Some(from) || !runs || !caught_up {
        return Err("the transfer did not come about");
    }
    raft.leader = Some(to);
    raft.members.values_mut().for_each(|place| place.caught_up = 0);
    Ok(())
}

fn delete_pod(
    world: &mut World,
    view: &Api,
    ordinal: Ordinal,
    uid: &Uid,
    safe: Option<MemberId>,
) -> Result<(), &'static str> {
    if let Some(member) = safe {
        let running = world.running();
        let rest = world.raft.healthy(|id| id != member && running.contains(&id));
        if world.raft.leader.is_none_or(|leader| leader == member) || rest < quorum(world.raft.voters()) {
            return Err("not safe to stop");
        }
    }
    let seen = view.pods.get(&ordinal).ok_or("not seen")?;
    let now = world.now;
    let pod = world.api.pods.get_mut(&ordinal).filter(|pod| pod.uid == *uid).ok_or("another pod")?;
    // The version of the object stands for all of it.
    if pod != seen {
        return Err("the pod has changed since");
    }
    pod.gone_at = Some(now + 3);
    Ok(())
}

fn delete_volume(
    world: &mut World,
    ordinal: Ordinal,
    uid: &Uid,
    config_index: Option<u64>,
) -> Result<(), &'static str> {
    if let Some(config_index) = config_index {
        let membership = world.raft.membership().ok_or("no leader")?;
        if membership.config_index != config_index || membership.at(ordinal).is_some() {
            return Err("a member lives there");
        }
    }
    let volume = world.api.volumes.get_mut(&ordinal).filter(|volume| volume.uid == *uid).ok_or("another volume")?;
    volume.terminating = true;
    Ok(())
}

/// How things stood before an effect.
struct Judged {
    healthy: u32,
    voters: u32,
    /// How far the logs of those go that run.
    logs: BTreeMap<MemberId, u64>,
}

impl Judged {
    fn of(world: &World) -> Self {
        let running = world.running();
        let logs = world.raft.members.iter().filter(|(id, _)| running.contains(id));
        Self {
            healthy: healthy(world),
            voters: world.raft.voters(),
            logs: logs.map(|(id, place)| (*id, place.matched)).collect(),
        }
    }

    /// # Panics
    /// The effect was unsafe.
    fn judge(&self, world: &World, action: &Action) {
        if let Action::RecoverQuorum { member, .. } = action {
            let up = u32::try_from(self.logs.len()).expect("a handful");
            assert!(up < quorum(self.voters), "{up} of {} members run: that is a quorum", self.voters);
            let furthest = self.logs.values().max();
            assert_eq!(self.logs.get(member), furthest, "{member} lacks what another one has");
            return;
        }
        let leaving = world.api.wanted.deleting || world.api.wanted.hibernated;
        if let Action::DeleteVolume { ordinal, .. } = action {
            let volume = world.api.volumes.get(ordinal).expect("it is going");
            let owner = world.raft.members.values().find(|place| place.disk == Some(volume.disk.id));
            let bound = matches!(volume.disk.phase, Phase::Member(_)) && owner.is_some();
            assert!(leaving || !bound, "the volume of a member of the configuration was deleted");
        }
        if let (Action::SetReplicas { to, .. }, Some(_)) = (action, &world.api.set) {
            let stranded = world.raft.members.values().any(|place| place.ordinal >= *to);
            assert!(leaving || !stranded, "the pod of a member of the configuration was scaled away");
        }
        let healthy = healthy(world);
        let was = self.healthy >= quorum(self.voters);
        let is = healthy >= quorum(world.raft.voters());
        let spare = self.voters > 2 || !matches!(action, Action::DeletePod { .. });
        assert!(
            leaving || !was || is || !spare,
            "{action:?} left {healthy} healthy voters of {}; there were {} of {}",
            world.raft.voters(),
            self.healthy,
            self.voters,
        );
    }
}

/// Voters that run and are caught up. Pods that were told to go do not count from then on.
fn healthy(world: &World) -> u32 {
    let running = world.running();
    let stays = |id: MemberId| {
        let place = world.raft.members.get(&id).expect("a member");
        running.contains(&id) && world.api.pods.get(&place.ordinal).is_some_and(|pod| pod.gone_at.is_none())
    };
    world.raft.healthy(stays)
}
