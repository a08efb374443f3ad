//! A table of cases, and whole changes of an authority in simulated time: members that read late, restart and come anew,
//! clients that nobody can ask, crashes before and after every write, and a second operator on an old view.

use super::*;
use std::collections::BTreeSet;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn wanted() -> RotationWanted {
    RotationWanted {
        generation: 1,
        renewed_before: Duration::from_millis(30 * DAY),
        overlap: Duration::from_millis(HOUR),
    }
}

fn authority(rotation: Rotation) -> Authority {
    Authority { ends: Some(Time(100 * DAY)), generation: 1, rotation }
}

#[test]
fn an_authority_gives_way_when_it_ends_soon_when_its_end_is_unknown_and_when_another_is_asked_for() {
    let settled = authority(Rotation::Settled);
    let step = |authority: &Authority, now: u64| rotate(&wanted(), authority, Spread::Partly, Time(now));
    assert_eq!(step(&settled, 0), None);
    assert_eq!(step(&settled, 70 * DAY), None);
    assert_eq!(step(&settled, 70 * DAY + 1), Some(RotationStep::Announce));
    assert_eq!(step(&settled, 200 * DAY), Some(RotationStep::Announce), "over");
    assert_eq!(step(&Authority { ends: None, ..settled }, 0), Some(RotationStep::Announce));
    // Forwards or backwards: what counts is that it is another one.
    for generation in [0, 2] {
        assert_eq!(step(&Authority { generation, ..settled }, 0), Some(RotationStep::Announce));
    }
}

#[test]
fn no_step_is_taken_before_everybody_has_the_last_one_for_as_long_as_it_has_to_stand() {
    type With = fn(Option<Time>) -> Rotation;
    let steps: [(With, RotationStep); 2] = [
        (|spread| Rotation::Announced { spread }, RotationStep::HandOver),
        (|spread| Rotation::Succeeded { spread }, RotationStep::Retire),
    ];
    for (rotation, next) in steps {
        let step = |since: Option<u64>, spread, now| {
            rotate(&wanted(), &authority(rotation(since.map(Time))), spread, Time(now))
        };
        assert_eq!(step(None, Spread::Partly, 99 * DAY), None, "whatever the time");
        assert_eq!(step(None, Spread::Everywhere, 5), Some(RotationStep::Mark));
        assert_eq!(step(Some(5), Spread::Everywhere, 5 + HOUR - 1), None);
        assert_eq!(step(Some(5), Spread::Everywhere, 5 + HOUR), Some(next));
        assert_eq!(step(Some(5), Spread::Partly, 5 + HOUR), None, "somebody came who does not have it");
        let hasty = RotationWanted { overlap: Duration::ZERO, ..wanted() };
        assert_eq!(rotate(&hasty, &authority(rotation(None)), Spread::Everywhere, Time(5)), Some(next));
    }
}

/// A name of an authority.
type Name = u32;

/// What somebody holds: who signed what it shows, and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    signer: Name,
    trusted: BTreeSet<Name>,
}

impl Held {
    fn believes(&self, other: &Self) -> bool {
        self.trusted.contains(&other.signer)
    }
}

/// The object of the authority, as an API server keeps it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    version: u64,
    state: Authority,
    active: Name,
    other: Option<Name>,
}

impl Stored {
    fn publishes(&self) -> Held {
        Held { signer: self.active, trusted: [self.active].into_iter().chain(self.other).collect() }
    }

    /// As it is after a step; each is one write.
    fn after(mut self, step: RotationStep, generation: u32, now: Time) -> Self {
        self.version += 1;
        match step {
            RotationStep::Announce => {
                self.other = Some(self.active + 1);
                self.state.rotation = Rotation::Announced { spread: None };
            }
            RotationStep::Mark => {
                self.state.rotation = match self.state.rotation {
                    Rotation::Announced { .. } => Rotation::Announced { spread: Some(now) },
                    _ => Rotation::Succeeded { spread: Some(now) },
                }
            }
            RotationStep::HandOver => {
                let next = self.active + 1;
                self.other = Some(self.active);
                self.active = next;
                let ends = Some(Time(now.0 + 100 * DAY));
                self.state = Authority { ends, generation, rotation: Rotation::Succeeded { spread: None } };
            }
            RotationStep::Retire => {
                self.other = None;
                self.state.rotation = Rotation::Settled;
            }
        }
        self
    }
}

struct World {
    now: Time,
    random: u64,
    stored: Stored,
    published: Held,
    /// `None` while its pod is not there.
    members: Vec<Option<Held>>,
    /// Clients, and when each has to have read its certificates again.
    clients: Vec<(Held, Time)>,
    wanted: RotationWanted,
}

impl World {
    fn new(seed: u64) -> Self {
        let state = Authority { ends: Some(Time(100 * DAY)), generation: 1, rotation: Rotation::Settled };
        let stored = Stored { version: 1, state, active: 0, other: None };
        let held = stored.publishes();
        Self {
            now: Time(0),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            stored,
            published: held.clone(),
            members: vec![Some(held.clone()); 3],
            clients: vec![(held, Time(HOUR)); 2],
            wanted: wanted(),
        }
    }

    /// xorshift64*.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    /// What an operator does that has seen this object, and dies somewhere on the way if `crashes`.
    fn operate(&mut self, seen: Stored, crashes: bool) {
        let should = seen.publishes();
        let holds = |member: &Option<Held>| member.as_ref().is_none_or(|held| *held == should);
        let everywhere = self.published == should && self.members.iter().all(holds);
        let spread = if everywhere { Spread::Everywhere } else { Spread::Partly };
        if let Some(step) = rotate(&self.wanted, &seen.state, spread, self.now) {
            // Against the version that was read.
            if seen.version != self.stored.version {
                return;
            }
            self.stored = self.stored.after(step, self.wanted.generation, self.now);
            if crashes {
                return;
            }
        }
        // What is published follows from what is stored, and from nothing that an operator remembers.
        self.published = self.stored.publishes();
    }

    fn turn(&mut self, old: Stored) {
        self.now.0 += self.below(20 * 60_000);
        for (at, happens) in [0, 1, 2].map(|at| (at, self.below(40))) {
            match happens {
                // The kubelet brings what is published; or the pod goes, or comes with what is published.
                0..20 if self.members[at].is_some() => self.members[at] = Some(self.published.clone()),
                20 => self.members[at] = None,
                21..25 if self.members[at].is_none() => self.members[at] = Some(self.published.clone()),
                _ => {}
            }
        }
        // A client reads again within the overlap: that is what it is for.
        let overlap = self.wanted.overlap;
        let (now, published) = (self.now, self.published.clone());
        let early: Vec<bool> = (0..self.clients.len()).map(|_| self.below(8) == 0).collect();
        for ((held, due), early) in self.clients.iter_mut().zip(early) {
            if early || now >= *due {
                *held = published.clone();
                *due = Time(now.0 + u64::try_from(overlap.as_millis()).expect("an hour") - 20 * 60_000);
            }
        }
        let crashes = self.below(3) == 0;
        let seen = if self.below(4) == 0 { old } else { self.stored };
        self.operate(seen, crashes);
    }

    fn check(&self, seed: u64) {
        let members: Vec<&Held> = self.members.iter().flatten().collect();
        let clients = self.clients.iter().map(|(held, _)| held);
        for (one, other) in
            members.iter().copied().chain(clients).flat_map(|one| members.iter().map(move |m| (one, *m)))
        {
            let agree = one.believes(other) && other.believes(one);
            assert!(agree, "seed {seed}: {one:?} and {other:?} part, with {:?}", self.stored);
        }
    }
}

/// Plays a year and a half with a request in the middle; how many authorities there have been.
fn play(seed: u64) -> Name {
    let mut world = World::new(seed);
    let mut old = world.stored;
    while world.now < Time(500 * DAY) {
        // Between changes nothing happens that would need small steps.
        if world.stored.state.rotation == Rotation::Settled && world.below(4) == 0 {
            world.now.0 += 5 * DAY;
            for (held, _) in &mut world.clients {
                held.clone_from(&world.published);
            }
        }
        if world.now > Time(250 * DAY) {
            world.wanted.generation = 2;
        }
        let before = world.stored;
        world.turn(old);
        if world.below(10) == 0 {
            old = before;
        }
        world.check(seed);
    }
    for _ in 0..10_000 {
        if world.stored.state.rotation == Rotation::Settled {
            break;
        }
        world.turn(world.stored);
        world.check(seed);
    }
    assert_eq!(world.stored.state.rotation, Rotation::Settled, "seed {seed}: it comes to its end");
    assert_eq!(world.stored.state.generation, 2, "seed {seed}: the request was heard");
    assert!(world.stored.state.ends > Some(world.now), "seed {seed}: nobody is left with one that is over");
    world.stored.active
}

#[test]
fn whoever_reads_late_restarts_or_cannot_be_asked_believes_and_is_believed_all_the_time() {
    let made: Vec<Name> = (0..200).map(play).collect();
    // One for each seventy days, and one that was asked for.
    assert!(made.iter().all(|made| (5..=9).contains(made)), "{made:?}");
}

#[test]
fn a_step_before_its_time_parts_members() {
    let mut world = World::new(1);
    world.stored = world.stored.after(RotationStep::Announce, 1, world.now);
    world.stored = world.stored.after(RotationStep::HandOver, 1, world.now);
    let (new, old) = (world.stored.publishes(), world.members[0].clone().expect("it runs"));
    assert!(new.believes(&old) && !old.believes(&new));
}
