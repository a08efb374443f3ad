//! A model of Kubernetes, as far as the operator can tell: a stateful set's controller (`Parallel`, `OnDelete`, never
//! deletes a claim), pods with processes, claims that stay while a pod uses them.

use crate::raft::{DiskId, Raft};
use plan::{
    Exit, MadeOf, MemberId, Membership, Memory, Observed, Ordinal, Pod, PodState, Set, Shown, Time, Uid, Volume, Wanted,
};
use std::collections::{BTreeMap, BTreeSet};

/// Ticks between two tries of a process that ended.
const BACKOFF: u64 = 10;
/// Ticks it takes a pod to go, and to come.
const GRACE: u64 = 3;
/// How many states of the past can be looked at.
pub(crate) const PAST: usize = 50;

/// The state that the API holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Api {
    pub(crate) version: u64,
    pub(crate) wanted: Wanted,
    /// What pods should be made from, as the spec says.
    pub(crate) template: u32,
    pub(crate) memory: Memory,
    pub(crate) memory_version: u64,
    pub(crate) set: Option<SetObject>,
    pub(crate) pods: BTreeMap<Ordinal, PodObject>,
    pub(crate) volumes: BTreeMap<Ordinal, VolumeObject>,
    /// The config map says that empty disks may form a cluster.
    pub(crate) may_form: bool,
    pub(crate) released: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetObject {
    pub(crate) uid: Uid,
    pub(crate) replicas: u32,
    pub(crate) template: u32,
    pub(crate) storage_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodObject {
    pub(crate) uid: Uid,
    pub(crate) template: u32,
    /// The claim that was there when it was made.
    pub(crate) runs: bool,
    pub(crate) starts_at: u64,
    pub(crate) gone_at: Option<u64>,
    pub(crate) unready_since: Option<u64>,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<Exit>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VolumeObject {
    pub(crate) uid: Uid,
    pub(crate) bytes: u64,
    pub(crate) terminating: bool,
    pub(crate) lost: bool,
    pub(crate) disk: Disk,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disk {
    pub(crate) id: DiskId,
    pub(crate) phase: Phase,
    /// The cluster of the member whose disk it is.
    pub(crate) cluster: u64,
    /// A word that was written down, to become another cluster at the next start.
    pub(crate) recovery_wanted: Option<String>,
    /// What it has become another cluster for.
    pub(crate) made_of: Option<MadeOf>,
    /// What it holds is not what was written.
    pub(crate) rotten: bool,
}

impl Disk {
    fn empty(id: DiskId) -> Self {
        Self { id, phase: Phase::Empty, cluster: 0, recovery_wanted: None, made_of: None, rotten: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Empty,
    Forming(MemberId),
    Joining,
    Member(MemberId),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) api: Api,
    pub(crate) past: Vec<Api>,
    pub(crate) raft: Raft,
    /// Templates whose processes end at once.
    pub(crate) bad: BTreeSet<u32>,
    /// Members whose state differs from that of the others.
    pub(crate) corrupt: BTreeSet<MemberId>,
    /// What is left of a cluster that has lost its quorum, of which another was made.
    pub(crate) former: Option<Raft>,
    /// Places whose nodes are away.
    pub(crate) away: BTreeSet<Ordinal>,
    pub(crate) leaderless_since: Option<u64>,
    serial: u64,
}

impl World {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let api = Api {
            version: 1,
            wanted,
            template: 1,
            memory: Memory::default(),
            memory_version: 1,
            set: None,
            pods: BTreeMap::new(),
            volumes: BTreeMap::new(),
            may_form: true,
            released: false,
        };
        Self {
            now: 1_000_000,
            api,
            past: Vec::new(),
            raft: Raft::default(),
            bad: BTreeSet::new(),
            corrupt: BTreeSet::new(),
            former: None,
            away: BTreeSet::new(),
            leaderless_since: None,
            serial: 0,
        }
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn uid(&mut self) -> Uid {
        Uid(format!("uid-{}", self.fresh()))
    }

    /// Something in the API changed: the state before it becomes past.
    pub(crate) fn changed(&mut self, before: Api) {
        self.past.push(before);
        if self.past.len() > PAST {
            self.past.remove(0);
        }
        self.api.version += 1;
    }

    /// The member whose process runs at a place.
    pub(crate) fn runs_at(&self, ordinal: Ordinal) -> Option<MemberId> {
        let pod = self.api.pods.get(&ordinal).filter(|pod| pod.runs)?;
        let volume = self.api.volumes.get(&ordinal)?;
        match volume.disk.phase {
            Phase::Member(id) => pod.gone_at.is_none_or(|at| at > self.now).then_some(id),
            _ => None,
        }
    }

    pub(crate) fn running(&self) -> BTreeSet<MemberId> {
        self.api.pods.keys().filter_map(|ordinal| self.runs_at(*ordinal)).collect()
    }

    /// A second passes.
    pub(crate) fn tick(&mut self) {
        self.now += 1;
        let before = self.api.clone();
        self.control_set();
        self.end_pods();
        self.run_processes();
        let running = self.running();
        self.raft.tick(|id| running.contains(&id));
        self.former.iter_mut().for_each(|former| former.tick(|id| running.contains(&id)));
        self.leaderless_since = self.leaderless_since.or(Some(self.now)).filter(|_| self.raft.leader.is_none());
        self.judge_readiness();
        if before != self.api {
            self.changed(before);
        }
    }

    fn control_set(&mut self) {
        let Some(set) = self.api.set.clone() else { return };
        for ordinal in 0..set.replicas {
            if self.api.pods.contains_key(&ordinal) {
                continue;
            }
            if !self.api.volumes.contains_key(&ordinal) {
                let volume = VolumeObject {
                    uid: self.uid(),
                    bytes: set.storage_bytes,
                    terminating: false,
                    lost: false,
                    disk: Disk::empty(self.fresh()),
                };
                self.api.volumes.insert(ordinal, volume);
            }
            let pod = PodObject {
                uid: self.uid(),
                template: set.template,
                runs: false,
                starts_at: self.now + GRACE,
                gone_at: None,
                unready_since: Some(self.now),
                restarts: 0,
                last_exit: None,
            };
            self.api.pods.insert(ordinal, pod);
        }
        let now = self.now;
        for (_, pod) in self.api.pods.iter_mut().filter(|(ordinal, _)| **ordinal >= set.replicas) {
            pod.gone_at.get_or_insert(now + GRACE);
        }
    }

    fn end_pods(&mut self) {
        let now = self.now;
        self.api.pods.retain(|_, pod| pod.gone_at.is_none_or(|at| at > now));
        let pods = &self.api.pods;
        // A claim that goes is held only by a pod that ran with it.
        self.api.volumes.retain(|ordinal, volume| {
            !volume.terminating || pods.get(ordinal).is_some_and(|pod| pod.runs || pod.restarts > 0)
        });
    }

    fn run_processes(&mut self) {
        let ordinals: Vec<Ordinal> = self.api.pods.keys().copied().collect();
        for ordinal in &ordinals {
            let now = self.now;
            let pod = self.api.pods.get(ordinal).expect("listed");
            if self.away.contains(ordinal) {
                let pod = self.api.pods.get_mut(ordinal).expect("listed");
                (pod.runs, pod.starts_at) = (false, now + 1);
                continue;
            }
            let usable = self.api.volumes.get(ordinal).is_some_and(|volume| !volume.lost && !volume.terminating);
            let starts = !pod.runs && now >= pod.starts_at && pod.gone_at.is_none() && usable;
            let exit = if starts || pod.runs { self.boot(*ordinal) } else { Ok(()) };
            let pod = self.api.pods.get_mut(ordinal).expect("listed");
            match exit {
                Ok(()) => pod.runs |= starts,
                Err(exit) => {
                    (pod.runs, pod.starts_at) = (false, now + BACKOFF);
                    pod.restarts += 1;
                    pod.last_exit = Some(exit);
                }
            }
        }
        self.form();
    }

    /// What a process does with its disk; the daemon's rules.
    fn boot(&mut self, ordinal: Ordinal) -> Result<(), Exit> {
        let template = self.api.pods.get(&ordinal).expect("booting").template;
        if self.bad.contains(&template) {
            return Err(Exit::Other);
        }
        if self.api.volumes.get(&ordinal).expect("booting").disk.rotten {
            return Err(Exit::Damaged);
        }
        self.become_another(ordinal);
        let fresh = MemberId(1_000 + self.fresh());
        let may_form = self.api.may_form;
        let volume = self.api.volumes.get_mut(&ordinal).expect("booting");
        if volume.disk.phase == Phase::Empty {
            volume.disk.phase = if may_form { Phase::Forming(fresh) } else { Phase::Joining };
        }
        let (disk, cluster) = (volume.disk.id, self.raft.cluster);
        let at = self.raft.members.iter_mut().find(|(_, place)| place.ordinal == ordinal);
        match volume.disk.phase {
            Phase::Member(id) if self.raft.removed.contains(&id) => Err(Exit::Removed),
            Phase::Member(_) | Phase::Empty => Ok(()),
            Phase::Forming(_) if !self.raft.formed => Ok(()),
            Phase::Joining if self.raft.leader.is_none() => Ok(()),
            Phase::Forming(_) | Phase::Joining => match at {
                None => Err(Exit::WrongIdentity),
                Some((id, place)) if place.disk == Some(disk) => {
                    (volume.disk.phase, volume.disk.cluster) = (Phase::Member(*id), cluster);
                    Ok(())
                }
                Some((id, place)) if place.disk.is_none() && volume.disk.phase == Phase::Joining => {
                    place.disk = Some(disk);
                    (volume.disk.phase, volume.disk.cluster) = (Phase::Member(*id), cluster);
                    Ok(())
                }
                Some(_) => Err(Exit::DiskReplaced),
            },
        }
    }

    /// A process that starts on a disk on which a word was written down.
    fn become_another(&mut self, ordinal: Ordinal) {
        let id = MemberId(2_000_000 + self.fresh());
        let disk = &mut self.api.volumes.get_mut(&ordinal).expect("booting").disk;
        let (Some(request), Phase::Member(member)) = (disk.recovery_wanted.take(), disk.phase) else { return };
        let made = self.raft.made_of(member, id);
        let disk = &mut self.api.volumes.get_mut(&ordinal).expect("booting").disk;
        disk.made_of = Some(MadeOf { request, cluster: disk.cluster });
        (disk.phase, disk.cluster) = (Phase::Member(id), made.cluster);
        self.former = Some(std::mem::replace(&mut self.raft, made));
    }

    /// All first members have heard each other.
    fn form(&mut self) {
        let Some(set) = self.api.set.as_ref().filter(|_| !self.raft.formed) else { return };
        let founder = |ordinal: Ordinal| {
            let volume = self.api.volumes.get(&ordinal)?;
            match (self.api.pods.get(&ordinal)?.runs, volume.disk.phase) {
                (true, Phase::Forming(id)) => Some((id, ordinal, volume.disk.id)),
                _ => None,
            }
        };
        let founders: Option<Vec<_>> = (0..set.replicas).map(founder).collect();
        if let Some(founders) = founders.filter(|founders| !founders.is_empty()) {
            self.raft.form(&founders);
        }
    }

    fn judge_readiness(&mut self) {
        let now = self.now;
        let ordinals: Vec<Ordinal> = self.api.pods.keys().copied().collect();
        for ordinal in ordinals {
            let place = self.runs_at(ordinal).and_then(|id| self.raft.members.get(&id));
            let ready = place.is_some_and(|place| place.voter && place.silent == 0);
            let pod = self.api.pods.get_mut(&ordinal).expect("listed");
            match ready {
                true => pod.unready_since = None,
                false => {
                    pod.unready_since.get_or_insert(now);
                }
            }
        }
    }

    /// Who leads says who the members are. Where two clusters have a leader each, either one may be asked.
    fn membership(&self) -> Option<Membership> {
        let former = self.former.as_ref().filter(|_| self.now.is_multiple_of(2)).and_then(Raft::membership);
        former.or_else(|| self.raft.membership())
    }

    /// One look: the objects as `view` has them, the members as they are.
    pub(crate) fn observe(&mut self, view: &Api) -> Observed {
        let time = |ticks: u64| Time(ticks * 1000);
        let set = view.set.as_ref().map(|set| Set {
            uid: set.uid.clone(),
            replicas: set.replicas,
            revision: Some(set.template.to_string()),
            storage_bytes: set.storage_bytes,
            terminating: false,
        });
        let pod = |pod: &PodObject| Pod {
            uid: pod.uid.clone(),
            revision: pod.template.to_string(),
            state: if pod.runs { PodState::Running } else { PodState::Down },
            terminating: pod.gone_at.is_some(),
            unready_since: pod.unready_since.map(time),
            restarts: pod.restarts,
            last_exit: pod.last_exit,
        };
        let volume = |volume: &VolumeObject| Volume {
            uid: volume.uid.clone(),
            requested_bytes: volume.bytes,
            lost: volume.lost,
            terminating: volume.terminating,
        };
        let shown = |ordinal: &Ordinal| {
            let id = self.runs_at(*ordinal)?;
            let disk = &self.api.volumes.get(ordinal)?.disk;
            let ours = disk.cluster == self.raft.cluster;
            let raft = if ours { Some(&self.raft) } else { self.former.as_ref() };
            let matched = raft.and_then(|raft| raft.members.get(&id)).map_or(0, |place| place.matched);
            Some((
                *ordinal,
                Shown {
                    member: id,
                    corrupt: self.corrupt.contains(&id),
                    cluster: disk.cluster,
                    last: (1, matched),
                    knows_leader: raft.is_some_and(|raft| raft.leader.is_some()),
                    made_of: disk.made_of.clone(),
                },
            ))
        };
        let drifted = view.set.as_ref().is_none_or(|set| set.template != view.template)
            || view.may_form != view.memory.cluster.is_none();
        Observed {
            now: time(self.now),
            set,
            pods: view.pods.iter().map(|(ordinal, object)| (*ordinal, pod(object))).collect(),
            volumes: view.volumes.iter().map(|(ordinal, object)| (*ordinal, volume(object))).collect(),
            membership: self.membership(),
            leaderless_since: self.leaderless_since.map(time),
            reports: self.api.pods.keys().filter_map(shown).collect(),
            drifted,
            growth_refused: false,
            fresh: MemberId(1_000_000 + self.fresh()),
        }
    }
}
