//! What a run reached: how much, which faults, and in which state of the engine each of them struck.

use super::queue::{Micros, SECOND};
use super::swarm::Fault;
use std::collections::BTreeMap;
use std::fmt;

/// What runs amounted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Virtual time.
    pub time: Micros,
    /// Things that happened to a member.
    pub steps: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Entries committed.
    pub committed: u64,
    /// Writes acknowledged to clients.
    pub acknowledged: u64,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Faults by kind and by what the member was doing.
    pub marks: BTreeMap<(Fault, &'static str), u64>,
    /// Other places reached.
    pub reached: BTreeMap<String, u64>,
}

impl Report {
    /// A fault struck, with the member in these states.
    pub fn fault(&mut self, fault: Fault, states: &[&'static str]) {
        *self.faults.entry(fault).or_default() += 1;
        for state in states {
            *self.marks.entry((fault, state)).or_default() += 1;
        }
    }

    /// A place was reached.
    pub fn reach(&mut self, place: &str) {
        match self.reached.get_mut(place) {
            Some(count) => *count += 1,
            None => {
                self.reached.insert(place.to_owned(), 1);
            }
        }
    }

    /// Adds what other runs amounted to.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.time += other.time;
        self.steps += other.steps;
        self.messages += other.messages;
        self.committed += other.committed;
        self.acknowledged += other.acknowledged;
        other.faults.iter().for_each(|(fault, count)| *self.faults.entry(*fault).or_default() += count);
        other.marks.iter().for_each(|(mark, count)| *self.marks.entry(*mark).or_default() += count);
        other.reached.iter().for_each(|(place, count)| *self.reached.entry(place.clone()).or_default() += count);
    }
}

impl Report {
    /// The marks that have not been reached: each fault at all, each fault that strikes a member in each of the states
    /// it can be in, and each place that is named.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let faults = Fault::ALL.into_iter().filter(|fault| !self.faults.contains_key(fault));
        let marks = Fault::STRIKING.into_iter().flat_map(|fault| STATES.map(|state| (fault, state)));
        let marks =
            marks.filter(|(fault, state)| can_meet(*fault, state) && !self.marks.contains_key(&(*fault, *state)));
        let places = PLACES.into_iter().filter(|place| !self.reached.contains_key(*place));
        let faults = faults.map(|fault| format!("{fault:?}"));
        faults
            .chain(marks.map(|(fault, state)| format!("{fault:?}/{state}")))
            .chain(places.map(str::to_owned))
            .collect()
    }
}

/// What a member may be doing when something goes wrong.
const STATES: [&str; 16] = [
    "follower",
    "learner",
    "pre-candidate",
    "candidate",
    "leader",
    "probing",
    "offering-snapshot",
    "change-pending",
    "joint",
    "transferring",
    "fetching",
    "installing",
    "uncommitted",
    "flushing",
    "applying",
    "removed",
];

/// Whether a fault strikes members in this state. Disks begin to lie where a member is not on its way to another state;
/// they are lost in runs that do not change the membership.
fn can_meet(fault: Fault, state: &str) -> bool {
    match fault {
        Fault::SyncLies => !["fetching", "installing", "removed"].contains(&state),
        Fault::DiskLost => !["learner", "change-pending", "joint", "removed"].contains(&state),
        _ => true,
    }
}

/// Places that nothing reaches unless some part of a run works as it should.
const PLACES: [&str; 35] = [
    "a write or a sync failed, the process ended",
    "the store's disk failed, the process ended",
    "a write waited for room",
    "a flush waited for room",
    "applying waited for room",
    "a snapshot waited for room",
    "bit flip: noticed",
    "bit flip: harmless",
    "bit flip: last batch cut",
    "no room for a segment",
    "room again",
    "log cut",
    "log read: entries",
    "log read: compacted",
    "log read: unreadable",
    "snapshot installed",
    "membership changed",
    "transferred",
    "read served",
    "removed",
    "change refused: too early",
    "write failed: no space",
    "write failed: leader changed",
    "write failed: timed out",
    "read failed: timed out",
    "a lying disk was found out",
    "back after a lying disk",
    "a lost disk was turned away",
    "a newcomer was bound to its disk",
    "a second disk was turned away",
    "snapshot not needed",
    "a switch was finished by the next start",
    "a removed member ended",
    "peace for all",
    "peace for a majority",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time as f64 / (3600 * SECOND) as f64;
        writeln!(
            f,
            "{} seeds, {hours:.2} virtual hours, {} steps, {} messages",
            self.seeds, self.steps, self.messages
        )?;
        writeln!(f, "{} entries committed, {} writes acknowledged", self.committed, self.acknowledged)?;
        writeln!(f, "faults:")?;
        for (fault, count) in &self.faults {
            write!(f, "  {fault:?} {count}:")?;
            let marks = self.marks.iter().filter(|((of, _), _)| of == fault);
            marks
                .map(|((_, state), count)| (state, count))
                .try_for_each(|(state, count)| write!(f, " {state} {count}"))?;
            writeln!(f)?;
        }
        writeln!(f, "reached ({} fault × state marks, {} places):", self.marks.len(), self.reached.len())?;
        self.reached.iter().try_for_each(|(place, count)| writeln!(f, "  {place} {count}"))
    }
}
