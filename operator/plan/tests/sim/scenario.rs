//! What happens to a cluster, told as a list of moments, and when it counts as over.

use crate::operator::{Fault, Looked, look};
use crate::raft::FIRST_CLUSTER;
use crate::world::{Phase, World};
use plan::{CatchUp, RecoveryStage, RecoveryWanted, Repair, ScaleIn, Survivor, Wanted};
use std::time::Duration;

/// The ticks a scenario may take after its last moment.
const PATIENCE: u64 = 1_500;
pub(crate) const GIB: u64 = 1 << 30;

/// Something that happens.
pub(crate) type Event = fn(&mut World);

/// A story.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) replicas: u32,
    /// What happens, and how many ticks later the next thing does.
    pub(crate) events: &'static [(Event, u64)],
}

pub(crate) fn wanted(replicas: u32) -> Wanted {
    Wanted {
        replicas,
        storage_bytes: GIB,
        paused: false,
        hibernated: false,
        update_paused: false,
        deleting: false,
        delete_volumes: false,
        scale_in: ScaleIn::Delete,
        catch_up: CatchUp {
            entries_max: 1000,
            lag_max: Duration::from_secs(2),
            stable_for: Duration::from_secs(5),
            timeout: Duration::from_secs(1800),
        },
        recovery: None,
        repair: Repair::Automatic { away_for: Duration::from_secs(60) },
        progress_deadline: Duration::from_secs(600),
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Seconds passed.
    pub(crate) ticks: u64,
    /// Things done.
    pub(crate) effects: u64,
    /// When the operator died in the middle of something.
    pub(crate) crashed: Option<u64>,
}

/// The looks of this second, and what goes wrong in each.
pub(crate) type Faults<'a> = &'a dyn Fn(Progress) -> Vec<Fault>;

/// Plays a scenario, and says how many effects it took.
///
/// # Panics
/// An effect was unsafe, or the end was not reached.
pub(crate) fn play(scenario: &Scenario, faults: Faults<'_>) -> u64 {
    let mut world = World::new(wanted(scenario.replicas));
    let mut run = Run::default();
    run.until_settled(&mut world, faults, scenario.name);
    for (event, ticks) in scenario.events {
        event(&mut world);
        (0..*ticks).for_each(|_| run.tick(&mut world, faults));
    }
    run.until_settled(&mut world, faults, scenario.name);
    run.progress.effects
}

#[derive(Default)]
struct Run {
    progress: Progress,
    trail: Vec<String>,
}

impl Run {
    fn tick(&mut self, world: &mut World, faults: Faults<'_>) {
        world.tick();
        self.progress.ticks += 1;
        for fault in faults(self.progress) {
            match look(world, fault) {
                Looked::Crashed => self.progress.crashed = Some(self.progress.ticks),
                Looked::Did(what) => {
                    self.progress.effects += 1;
                    self.trail.push(format!("{}: {what}", world.now));
                }
                Looked::Refused(why) => self.trail.push(format!("{}: {why}", world.now)),
                Looked::Idle => {}
            }
        }
    }

    fn until_settled(&mut self, world: &mut World, faults: Faults<'_>, name: &str) {
        for _ in 0..PATIENCE {
            self.tick(world, faults);
            if settled(world) {
                return;
            }
        }
        let tail = self.trail.len().saturating_sub(30);
        panic!("{name} has not ended\n{}\n{:#?}\n{:#?}", self.trail[tail..].join("\n"), world.api, world.raft);
    }
}

/// Everything is as asked for, and nothing is left over.
pub(crate) fn settled(world: &World) -> bool {
    let api = &world.api;
    let wanted = &api.wanted;
    if wanted.deleting {
        return api.released && (!wanted.delete_volumes || api.volumes.values().all(|volume| volume.terminating));
    }
    let Some(set) = &api.set else { return false };
    if wanted.hibernated {
        return set.replicas == 0 && api.pods.is_empty();
    }
    let places = |ordinals: Vec<u32>| ordinals == (0..wanted.replicas).collect::<Vec<_>>();
    let mut members: Vec<u32> = world.raft.members.values().map(|place| place.ordinal).collect();
    members.sort_unstable();
    let well = world.raft.members.values().all(|place| place.voter && place.silent == 0);
    let kept = wanted.scale_in == ScaleIn::Retain;
    api.memory.operation.is_none()
        && !api.may_form
        && well
        && places(members)
        && set.replicas == wanted.replicas
        && set.template == api.template
        && set.storage_bytes == wanted.storage_bytes
        && places(api.pods.keys().copied().collect())
        && api.pods.values().all(|pod| pod.template == api.template && pod.unready_since.is_none())
        && (kept || places(api.volumes.keys().copied().collect()))
        && api.volumes.values().all(|volume| kept || volume.bytes == wanted.storage_bytes)
        && api.memory.recovery.as_ref().is_none_or(|recovery| {
            !matches!(recovery.stage, RecoveryStage::Recovered { .. } | RecoveryStage::Asked { .. })
        })
        && world.corrupt.iter().all(|id| !world.raft.members.contains_key(id))
}

/// The place that leads, or the first.
fn leading(world: &World) -> u32 {
    let leader = world.raft.leader.and_then(|id| world.raft.members.get(&id));
    leader.map_or(0, |place| place.ordinal)
}

/// The pod at a place is gone, and its claim with all its data.
fn lose(world: &mut World, ordinal: u32) {
    let before = world.api.clone();
    world.api.pods.remove(&ordinal);
    world.api.volumes.remove(&ordinal);
    world.changed(before);
}

/// What the disk at a place holds rots, and its process comes upon it.
fn rot(world: &mut World, ordinal: u32) {
    let before = world.api.clone();
    if let Some(volume) = world.api.volumes.get_mut(&ordinal) {
        volume.disk.rotten = true;
    }
    world.changed(before);
}

fn scale(world: &mut World, replicas: u32) {
    let before = world.api.clone();
    world.api.wanted.replicas = replicas;
    world.api.memory_version += 1;
    world.changed(before);
}

fn roll(world: &mut World, template: u32) {
    let before = world.api.clone();
    world.api.template = template;
    world.api.memory_version += 1;
    world.changed(before);
}

fn roll_bad(world: &mut World) {
    world.bad.insert(66);
    roll(world, 66);
}

fn wish(world: &mut World, change: impl FnOnce(&mut Wanted)) {
    let before = world.api.clone();
    change(&mut world.api.wanted);
    world.api.memory_version += 1;
    world.changed(before);
}

/// Somebody asks for a lost quorum to be recovered.
fn ask(world: &mut World, word: &str) {
    wish(world, |wanted| {
        wanted.recovery = Some(RecoveryWanted { request: word.into(), survivor: Survivor::Furthest });
    });
}

/// The operator was away when a word was given and, after that, when the quorum was lost: it finds both at once.
fn ask_and_lose_unseen(world: &mut World) {
    ask(world, "early");
    (1..3).for_each(|at| lose(world, at));
    world.raft.leader = None;
    world.leaderless_since = Some(world.now - 100);
}

/// The same cluster, and every disk of a member that was not taken by the story itself.
///
/// # Panics
/// Something was done.
fn is_left_alone(world: &mut World, disks: usize) {
    assert_eq!(world.raft.cluster, FIRST_CLUSTER, "another cluster was made");
    let bound = |place: &&crate::raft::Place| {
        let volume = world.api.volumes.get(&place.ordinal);
        volume.is_some_and(|volume| Some(volume.disk.id) == place.disk && !volume.terminating)
    };
    assert_eq!(world.raft.members.values().filter(bound).count(), disks, "a member's disk was touched");
}

/// Another cluster, made by one request.
///
/// # Panics
/// It is not.
fn was_recovered_once(world: &mut World) {
    assert_eq!(world.raft.cluster, FIRST_CLUSTER + 1, "once, and not again");
}

fn corrupt(world: &mut World, ordinal: u32) {
    let id = world.raft.at(ordinal).map(|(id, _)| id);
    world.corrupt.extend(id);
}

fn evict(world: &mut World, ordinal: u32) {
    let before = world.api.clone();
    let now = world.now;
    if let Some(pod) = world.api.pods.get_mut(&ordinal) {
        pod.gone_at.get_or_insert(now + 3);
    }
    world.changed(before);
}

/// The disk at a place turns out to be one that was never a member's.
fn stranger_disk(world: &mut World, ordinal: u32) {
    let before = world.api.clone();
    if let Some(volume) = world.api.volumes.get_mut(&ordinal) {
        assert!(matches!(volume.disk.phase, Phase::Member(_)));
        (volume.disk.phase, volume.disk.id) = (Phase::Joining, volume.disk.id + 1_000_000);
    }
    if let Some(pod) = world.api.pods.get_mut(&ordinal) {
        pod.runs = false;
    }
    world.changed(before);
}

/// Every story.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "forms one", replicas: 1, events: &[] },
    Scenario { name: "forms three", replicas: 3, events: &[] },
    Scenario { name: "1 to 3", replicas: 1, events: &[(|w| scale(w, 3), 0)] },
    Scenario { name: "3 to 5", replicas: 3, events: &[(|w| scale(w, 5), 0)] },
    Scenario { name: "5 to 3", replicas: 5, events: &[(|w| scale(w, 3), 0)] },
    Scenario { name: "3 to 1", replicas: 3, events: &[(|w| scale(w, 1), 0)] },
    Scenario { name: "3 to 5 and back at once", replicas: 3, events: &[(|w| scale(w, 5), 6), (|w| scale(w, 3), 0)] },
    Scenario { name: "5 to 3 and back at once", replicas: 5, events: &[(|w| scale(w, 3), 4), (|w| scale(w, 5), 0)] },
    Scenario {
        name: "volumes kept, and their places taken again",
        replicas: 3,
        events: &[
            (|w| wish(w, |wanted| (wanted.scale_in, wanted.replicas) = (ScaleIn::Retain, 1)), 60),
            (|w| scale(w, 3), 0),
        ],
    },
    Scenario { name: "rolls", replicas: 3, events: &[(|w| roll(w, 2), 0)] },
    Scenario { name: "rolls one", replicas: 1, events: &[(|w| roll(w, 2), 0)] },
    Scenario { name: "a bad template is taken back", replicas: 3, events: &[(roll_bad, 60), (|w| roll(w, 1), 0)] },
    Scenario { name: "a bad template of one", replicas: 1, events: &[(roll_bad, 60), (|w| roll(w, 3), 0)] },
    Scenario { name: "a bad template is mended forward", replicas: 3, events: &[(roll_bad, 40), (|w| roll(w, 3), 0)] },
    Scenario {
        name: "a bad template while scaling",
        replicas: 3,
        events: &[(|w| scale(w, 5), 0), (roll_bad, 60), (|w| roll(w, 3), 0)],
    },
    Scenario { name: "rolls while scaling", replicas: 3, events: &[(|w| scale(w, 5), 5), (|w| roll(w, 2), 0)] },
    Scenario { name: "scales in while rolling", replicas: 5, events: &[(|w| roll(w, 2), 8), (|w| scale(w, 3), 0)] },
    Scenario { name: "a follower's volume is lost", replicas: 3, events: &[(|w| lose(w, 2), 0)] },
    Scenario { name: "the leader's volume is lost", replicas: 3, events: &[(|w| lose(w, leading(w)), 0)] },
    Scenario {
        name: "a volume is lost while rolling",
        replicas: 3,
        events: &[(|w| roll(w, 2), 6), (|w| lose(w, 1), 0)],
    },
    Scenario {
        name: "a volume is lost while scaling",
        replicas: 3,
        events: &[(|w| scale(w, 5), 6), (|w| lose(w, 1), 0)],
    },
    Scenario { name: "two volumes of five are lost", replicas: 5, events: &[(|w| lose(w, 1), 0), (|w| lose(w, 3), 0)] },
    Scenario { name: "a stranger's disk", replicas: 3, events: &[(|w| stranger_disk(w, 1), 0)] },
    Scenario { name: "a follower's disk rots", replicas: 3, events: &[(|w| rot(w, 2), 0)] },
    Scenario { name: "the leader's disk rots", replicas: 3, events: &[(|w| rot(w, leading(w)), 0)] },
    Scenario { name: "a disk rots while rolling", replicas: 3, events: &[(|w| roll(w, 2), 6), (|w| rot(w, 1), 0)] },
    Scenario { name: "two disks of five rot", replicas: 5, events: &[(|w| rot(w, 1), 0), (|w| rot(w, 3), 0)] },
    Scenario { name: "a corrupt follower", replicas: 3, events: &[(|w| corrupt(w, 1), 0)] },
    Scenario { name: "a corrupt leader", replicas: 3, events: &[(|w| corrupt(w, leading(w)), 0)] },
    Scenario { name: "pods go all at once", replicas: 3, events: &[(|w| (0..3).for_each(|at| evict(w, at)), 0)] },
    Scenario {
        name: "the leader's pod goes while rolling",
        replicas: 3,
        events: &[(|w| roll(w, 2), 7), (|w| evict(w, leading(w)), 0)],
    },
    Scenario {
        name: "volumes grow",
        replicas: 3,
        events: &[(|w| wish(w, |wanted| wanted.storage_bytes = 2 * GIB), 0)],
    },
    Scenario {
        name: "volumes grow while scaling and rolling",
        replicas: 3,
        events: &[(|w| scale(w, 5), 4), (|w| wish(w, |wanted| wanted.storage_bytes = 2 * GIB), 3), (|w| roll(w, 2), 0)],
    },
    Scenario {
        name: "sleeps and wakes",
        replicas: 3,
        events: &[
            (|w| wish(w, |wanted| wanted.hibernated = true), 40),
            (|w| wish(w, |wanted| wanted.hibernated = false), 0),
        ],
    },
    Scenario {
        name: "sleeps in the middle of scaling in",
        replicas: 5,
        events: &[
            (|w| scale(w, 3), 3),
            (|w| wish(w, |wanted| wanted.hibernated = true), 60),
            (|w| wish(w, |wanted| wanted.hibernated = false), 0),
        ],
    },
    Scenario {
        name: "a lost quorum waits for somebody to ask",
        replicas: 3,
        events: &[
            (|w| (1..3).for_each(|at| lose(w, at)), 300),
            (|w| is_left_alone(w, 1), 0),
            (|w| ask(w, "monday"), 300),
            (was_recovered_once, 100),
            (was_recovered_once, 0),
        ],
    },
    Scenario {
        name: "a request that was given while all was well comes back to nothing",
        replicas: 3,
        events: &[
            (|w| ask(w, "early"), 30),
            (|w| [0, 2].into_iter().for_each(|at| lose(w, at)), 300),
            (|w| is_left_alone(w, 1), 0),
            (|w| ask(w, "monday"), 300),
            (was_recovered_once, 0),
        ],
    },
    Scenario {
        name: "a request from before the loss that nobody had seen comes back to nothing",
        replicas: 3,
        events: &[
            (ask_and_lose_unseen, 300),
            (|w| is_left_alone(w, 1), 0),
            (|w| ask(w, "monday"), 300),
            (was_recovered_once, 0),
        ],
    },
    Scenario {
        name: "three of five are lost, and the others hold data of the former cluster",
        replicas: 5,
        events: &[
            (|w| roll(w, 2), 9),
            // One of those that are left has not heard of what was written last.
            (|w| w.away.extend([4]), 20),
            (|w| [0, 1, 3].into_iter().for_each(|at| lose(w, at)), 0),
            (|w| w.away.clear(), 300),
            (|w| is_left_alone(w, 2), 0),
            (|w| ask(w, "monday"), 600),
            (was_recovered_once, 0),
        ],
    },
    Scenario {
        name: "a majority that was away comes back while its places are given to others",
        replicas: 5,
        events: &[
            (|w| w.away.extend([0, 1, 3]), 300),
            (|w| is_left_alone(w, 5), 0),
            (|w| ask(w, "monday"), 25),
            (was_recovered_once, 0),
            (|w| w.away.clear(), 4),
            (|w| assert!(w.former.as_ref().is_some_and(|former| former.leader.is_some()), "it leads again"), 400),
            (was_recovered_once, 0),
        ],
    },
    Scenario {
        name: "a quorum that comes back by itself is not recovered",
        replicas: 3,
        events: &[
            (|w| (0..3).for_each(|at| evict(w, at)), 2),
            (|w| ask(w, "monday"), 200),
            (|w| is_left_alone(w, 3), 0),
        ],
    },
    Scenario { name: "goes", replicas: 3, events: &[(|w| wish(w, |wanted| wanted.deleting = true), 0)] },
    Scenario {
        name: "goes with its volumes",
        replicas: 3,
        events: &[(|w| wish(w, |wanted| (wanted.deleting, wanted.delete_volumes) = (true, true)), 0)],
    },
];
