//! A model of the members: who is in the configuration, who runs, who leads, how far each one is.
//!
//! It has the engine's rules that the operator leans on (configurations are compared before they change, disks are
//! bound, removed ids stay removed) and none of its guards: safety must come from the plan.

use plan::{Member, MemberId, Ordinal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The identity of a formatted disk.
pub(crate) type DiskId = u64;

/// Entries a follower receives in one tick.
const CATCH_UP_PER_TICK: u64 = 4_000;
/// Entries that clients write in one tick.
const WRITTEN_PER_TICK: u64 = 50;
/// What counts as caught up in the checks of the model: the same as the plan's.
pub(crate) const LAG_MAX: u64 = 1_000;

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) ordinal: Ordinal,
    pub(crate) voter: bool,
    pub(crate) disk: Option<DiskId>,
    pub(crate) matched: u64,
    /// Ticks since its leader heard it, and since it has been caught up.
    pub(crate) silent: u64,
    pub(crate) caught_up: u64,
}

/// The first cluster; one that is made of a member of another has the next number.
pub(crate) const FIRST_CLUSTER: u64 = 0xc;

#[derive(Clone, Debug, Default)]
pub(crate) struct Raft {
    pub(crate) formed: bool,
    /// Zero until it has formed.
    pub(crate) cluster: u64,
    pub(crate) config_index: u64,
    pub(crate) members: BTreeMap<MemberId, Place>,
    pub(crate) removed: BTreeSet<MemberId>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) last_index: u64,
}

impl Raft {
    pub(crate) fn form(&mut self, founders: &[(MemberId, Ordinal, DiskId)]) {
        assert!(!self.formed, "a second cluster was formed");
        self.formed = true;
        self.cluster = FIRST_CLUSTER;
        self.config_index = 1;
        let place =
            |ordinal, disk| Place { ordinal, voter: true, disk: Some(disk), matched: 0, silent: 0, caught_up: 0 };
        self.members = founders.iter().map(|(id, ordinal, disk)| (*id, place(*ordinal, *disk))).collect();
    }

    /// A member becomes the only one of another cluster, with what it has: nobody else is of it.
    pub(crate) fn made_of(&self, member: MemberId, id: MemberId) -> Self {
        let place = Place { voter: true, silent: 0, caught_up: 0, ..self.members[&member].clone() };
        Self {
            formed: true,
            cluster: self.cluster + 1,
            config_index: place.matched + 1,
            last_index: place.matched + 1,
            members: BTreeMap::from([(id, place)]),
            removed: BTreeSet::new(),
            leader: None,
        }
    }

    pub(crate) fn voters(&self) -> u32 {
        u32::try_from(self.members.values().filter(|member| member.voter).count()).expect("a handful")
    }

    /// Voters that run and are caught up.
    pub(crate) fn healthy(&self, runs: impl Fn(MemberId) -> bool) -> u32 {
        let fit =
            |(id, place): &(&MemberId, &Place)| place.voter && runs(**id) && self.last_index - place.matched <= LAG_MAX;
        u32::try_from(self.members.iter().filter(fit).count()).expect("a handful")
    }

    /// Time passes: elections, writes, catching up.
    pub(crate) fn tick(&mut self, runs: impl Fn(MemberId) -> bool) {
        let up = self.members.iter().filter(|(id, place)| place.voter && runs(**id)).count();
        let quorate = self.formed && u32::try_from(up).expect("a handful") >= plan::quorum(self.voters());
        let may_lead = |id: &MemberId| self.members.get(id).is_some_and(|place| place.voter) && runs(*id);
        if !quorate || !self.leader.as_ref().is_some_and(may_lead) {
            self.leader = None;
            if quorate {
                let fit = self.members.iter().filter(|(id, _)| may_lead(id));
                self.leader = fit.max_by_key(|(_, place)| place.matched).map(|(id, _)| *id);
                self.members.values_mut().for_each(|place| place.caught_up = 0);
            }
        }
        if self.leader.is_some() {
            self.last_index += WRITTEN_PER_TICK;
        }
        for (id, place) in &mut self.members {
            let hears = self.leader.is_some() && runs(*id);
            place.silent = if hears { 0 } else { place.silent + 1 };
            if hears {
                let step = if self.leader == Some(*id) { u64::MAX } else { CATCH_UP_PER_TICK };
                place.matched = place.matched.saturating_add(step).min(self.last_index);
            }
            let caught_up = hears && self.last_index - place.matched <= LAG_MAX;
            place.caught_up = if caught_up { place.caught_up + 1 } else { 0 };
        }
    }

    /// What its leader would answer.
    pub(crate) fn membership(&self) -> Option<plan::Membership> {
        let leader = self.leader?;
        let seen = |(id, place): (&MemberId, &Place)| {
            let follower = (*id != leader).then(|| plan::Follower {
                lag_entries: self.last_index - place.matched,
                lag: Duration::from_secs((self.last_index - place.matched) / WRITTEN_PER_TICK / 20),
                silent_for: (place.matched > 0 || place.silent == 0).then(|| Duration::from_secs(place.silent)),
                streaming: place.silent == 0,
                caught_up_for: (place.caught_up > 0).then(|| Duration::from_secs(place.caught_up)),
            });
            (*id, Member { ordinal: Some(place.ordinal), voter: place.voter, follower })
        };
        Some(plan::Membership {
            cluster: self.cluster,
            config_index: self.config_index,
            settled: true,
            leader,
            members: self.members.iter().map(seen).collect(),
        })
    }

    /// The member that has a place.
    pub(crate) fn at(&self, ordinal: Ordinal) -> Option<(MemberId, &Place)> {
        self.members.iter().find(|(_, place)| place.ordinal == ordinal).map(|(id, place)| (*id, place))
    }

    fn changing(&mut self, expected: u64) -> Result<(), &'static str> {
        if self.leader.is_none() {
            return Err("no leader");
        }
        if self.config_index != expected {
            return Err("another configuration");
        }
        self.last_index += 1;
        self.config_index = self.last_index;
        Ok(())
    }

    pub(crate) fn add_learner(&mut self, expected: u64, id: MemberId, ordinal: Ordinal) -> Result<(), &'static str> {
        if self.members.contains_key(&id) {
            return Ok(());
        }
        if self.at(ordinal).is_some() {
            return Err("the address is taken");
        }
        self.changing(expected)?;
        assert!(!self.removed.contains(&id), "id {id} was used before");
        let place = Place { ordinal, voter: false, disk: None, matched: 0, silent: 0, caught_up: 0 };
        self.members.insert(id, place);
        Ok(())
    }

    pub(crate) fn promote(&mut self, expected: u64, id: MemberId) -> Result<(), &'static str> {
        self.changing(expected)?;
        self.members.get_mut(&id).ok_or("no such member")?.voter = true;
        Ok(())
    }

    pub(crate) fn remove(&mut self, expected: u64, id: MemberId) -> Result<(), &'static str> {
        self.changing(expected)?;
        self.members.remove(&id).ok_or("no such member")?;
        self.removed.insert(id);
        Ok(())
    }
}
