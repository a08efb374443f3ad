//! Links between members: one for each direction, with a delay, a loss and a will of its own.
//!
//! A pair of members is connected or not. Each side learns of it in its own time, so one side may still believe in a
//! connection that the other has given up, or know a new one before it has noticed the end of the old one.

use super::queue::{MILLI, Micros, SECOND};
use super::rng::Rng;
use super::swarm::NetworkOptions;
use quorate::transport::hello::Lane;
use raft::LinkId;

/// Members there can be in one run, with those that join later.
pub const SLOTS: usize = 14;
/// How late a message that arrives a second time is, at most.
const REPLAY_LATE_MAX: Micros = 3 * SECOND;
/// How long a side may take to notice that a connection has ended.
const NOTICE_MAX: Micros = 300 * MILLI;

/// One direction.
#[derive(Clone, Debug, Default)]
struct Link {
    blocked: bool,
    clogged_until: Micros,
    /// The connection the sending side believes in, and which one of the pair it was.
    up: Option<(LinkId, u64)>,
    /// When the last message sent will arrive, on each lane.
    tails: [Micros; 2],
    in_flight: u32,
}

/// One pair.
#[derive(Clone, Debug, Default)]
struct Pair {
    connected: bool,
    /// Counts connections: a message knows on which one it was sent.
    epoch: u64,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    /// How messages fare.
    pub options: NetworkOptions,
    links: Vec<Link>,
    pairs: Vec<Pair>,
    last_link: u64,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of consensus, which bears everything.
    Consensus,
    /// Commands, calls and their answers, which rely on their connection.
    Request,
}

/// When a message arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The first time, if it does.
    pub first: Option<Micros>,
    /// A second time, if it does.
    pub again: Option<Micros>,
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub fn new(options: NetworkOptions) -> Self {
        let links = vec![Link::default(); SLOTS * SLOTS];
        Self { options, links, pairs: vec![Pair::default(); SLOTS * SLOTS], last_link: 0 }
    }

    /// What becomes of a frame sent now, on the lane for what belongs to the log or on the other one. Only consensus is
    /// made to bear that something arrives twice.
    pub fn send(&mut self, rng: &mut Rng, now: Micros, (from, to): (usize, usize), lane: Lane, kind: Kind) -> Fate {
        let lost = rng.chance(self.options.loss);
        let delay = self.options.delay_min + rng.exponential(self.options.delay_mean);
        let again = rng.chance(self.options.replay).then(|| rng.below(REPLAY_LATE_MAX));
        let again = again.filter(|_| kind == Kind::Consensus);
        let (ordered, capacity) = (self.options.ordered, self.options.capacity);
        let link = &mut self.links[from * SLOTS + to];
        if link.up.is_none() || link.blocked || lost || link.in_flight >= capacity {
            return Fate::default();
        }
        let mut at = link.clogged_until.max(now) + delay;
        if ordered {
            let tail = &mut link.tails[usize::from(lane == Lane::Append)];
            at = at.max(*tail);
            *tail = at;
        }
        link.in_flight += 1 + u32::from(again.is_some());
        Fate { first: Some(at), again: again.map(|late| at + late) }
    }

    /// A frame has reached the other end; whether it gets through: a partition stops what is under way too, and on an
    /// ordered link everything dies with its connection, as requests do on every link.
    pub fn arrive(&mut self, from: usize, to: usize, epoch: u64, kind: Kind) -> bool {
        let pair = &self.pairs[pair_of(from, to)];
        let outlives = !self.options.ordered && kind == Kind::Consensus;
        let alive = outlives || (pair.connected && pair.epoch == epoch);
        let link = &mut self.links[from * SLOTS + to];
        link.in_flight = link.in_flight.saturating_sub(1);
        alive && !link.blocked
    }

    /// The connection a message sent now travels on.
    #[must_use]
    pub fn epoch(&self, from: usize, to: usize) -> u64 {
        self.pairs[pair_of(from, to)].epoch
    }

    /// Connects a pair, if nothing is in the way. Each side may then raise its link.
    pub fn connect(&mut self, one: usize, other: usize) -> bool {
        let pair = &mut self.pairs[pair_of(one, other)];
        if pair.connected || self.links[one * SLOTS + other].blocked || self.links[other * SLOTS + one].blocked {
            return false;
        }
        pair.connected = true;
        pair.epoch += 1;
        true
    }

    /// Whether one side of a connected pair could say hello to the other now, and has not done so on this connection.
    #[must_use]
    pub fn can_raise(&self, from: usize, to: usize) -> bool {
        let (there, back) = (&self.links[from * SLOTS + to], &self.links[to * SLOTS + from]);
        let pair = &self.pairs[pair_of(from, to)];
        pair.connected && !there.blocked && !back.blocked && there.up.is_none_or(|(_, epoch)| epoch != pair.epoch)
    }

    /// One side's link stands from now on; what it calls it.
    pub fn raise(&mut self, from: usize, to: usize) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.links[from * SLOTS + to].up = Some((link, self.pairs[pair_of(from, to)].epoch));
        link
    }

    /// One side has let go of its link.
    pub fn lower(&mut self, from: usize, to: usize) {
        self.links[from * SLOTS + to].up = None;
    }

    /// Ends the connection of a pair, if it has one: when each side notices and what it called it.
    pub fn disconnect(&mut self, rng: &mut Rng, now: Micros, one: usize, other: usize) -> Vec<Notice> {
        let pair = &mut self.pairs[pair_of(one, other)];
        if !std::mem::take(&mut pair.connected) {
            return Vec::new();
        }
        [(one, other), (other, one)]
            .into_iter()
            .filter_map(|(side, peer)| {
                let (link, _) = self.links[side * SLOTS + peer].up?;
                Some(Notice { at: now + rng.below(NOTICE_MAX), side, peer, link })
            })
            .collect()
    }

    /// A side has noticed that this connection is gone.
    pub fn noticed(&mut self, side: usize, peer: usize, link: LinkId) {
        let up = &mut self.links[side * SLOTS + peer].up;
        if up.is_some_and(|(known, _)| known == link) {
            *up = None;
        }
    }

    /// Whether the pair is connected.
    #[must_use]
    pub fn is_connected(&self, one: usize, other: usize) -> bool {
        self.pairs[pair_of(one, other)].connected
    }

    /// Stops one direction, or lets it go on.
    pub fn block(&mut self, from: usize, to: usize, blocked: bool) {
        self.links[from * SLOTS + to].blocked = blocked;
    }

    /// Whether one direction is stopped.
    #[must_use]
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.links[from * SLOTS + to].blocked
    }

    /// Holds everything sent from now on back until then.
    pub fn clog(&mut self, from: usize, to: usize, until: Micros) {
        self.links[from * SLOTS + to].clogged_until = until;
    }

    /// Ends every partition and every clog, and messages fare well from now on.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            (link.blocked, link.clogged_until, link.tails) = (false, 0, [0; 2]);
        }
        self.options = NetworkOptions { ordered: true, loss: 0, replay: 0, capacity: u32::MAX, ..self.options.clone() };
    }
}

/// One side notices the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Micros,
    /// Who notices.
    pub side: usize,
    /// With whom it was connected.
    pub peer: usize,
    /// What it called the connection.
    pub link: LinkId,
}

fn pair_of(one: usize, other: usize) -> usize {
    one.min(other) * SLOTS + one.max(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::swarm::Swarm;

    fn network(ordered: bool) -> (Network, Rng) {
        let mut rng = Rng::new(1);
        let options = Swarm::draw(&mut rng, None).network;
        let options = NetworkOptions { ordered, loss: 0, replay: 0, capacity: 100, ..options };
        (Network::new(options), rng)
    }

    fn raise(network: &mut Network) -> LinkId {
        assert!(network.connect(0, 1), "nothing is in the way");
        network.raise(0, 1)
    }

    fn send(network: &mut Network, rng: &mut Rng, now: Micros) -> Fate {
        network.send(rng, now, (0, 1), Lane::Append, Kind::Consensus)
    }

    #[test]
    fn requests_come_once_and_on_their_connection() {
        let (mut network, mut rng) = network(false);
        network.options.replay = crate::sim::rng::MILLION;
        raise(&mut network);
        assert!(send(&mut network, &mut rng, 0).again.is_some());
        assert_eq!(network.send(&mut rng, 0, (0, 1), Lane::Append, Kind::Request).again, None);
        let epoch = network.epoch(0, 1);
        network.disconnect(&mut rng, 0, 0, 1);
        assert!(network.arrive(0, 1, epoch, Kind::Consensus));
        assert!(!network.arrive(0, 1, epoch, Kind::Request));
    }

    #[test]
    fn nothing_is_sent_without_a_connection_and_nothing_survives_it() {
        let (mut network, mut rng) = network(true);
        assert_eq!(send(&mut network, &mut rng, 0), Fate::default());
        raise(&mut network);
        assert!(send(&mut network, &mut rng, 0).first.is_some());
        let epoch = network.epoch(0, 1);
        network.disconnect(&mut rng, 0, 0, 1);
        raise(&mut network);
        assert!(!network.arrive(0, 1, epoch, Kind::Consensus));
    }

    #[test]
    fn an_ordered_link_keeps_the_order() {
        let (mut network, mut rng) = network(true);
        raise(&mut network);
        let times: Vec<_> = (0..50).map(|now| send(&mut network, &mut rng, now).first).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn an_unordered_link_does_not() {
        let (mut network, mut rng) = network(false);
        raise(&mut network);
        let times: Vec<_> = (0..50).map(|now| send(&mut network, &mut rng, now).first).collect();
        assert!(!times.is_sorted());
    }

    #[test]
    fn a_partition_stops_what_is_under_way_and_the_next_connection() {
        let (mut network, mut rng) = network(true);
        raise(&mut network);
        network.block(0, 1, true);
        assert!(!network.arrive(0, 1, network.epoch(0, 1), Kind::Consensus));
        assert!(network.arrive(1, 0, network.epoch(0, 1), Kind::Consensus));
        network.disconnect(&mut rng, 0, 0, 1);
        assert!(!network.connect(0, 1));
    }

    #[test]
    fn the_late_end_of_an_old_connection_does_not_end_the_new_one() {
        let (mut network, mut rng) = network(true);
        let old = raise(&mut network);
        network.disconnect(&mut rng, 0, 0, 1);
        raise(&mut network);
        network.noticed(0, 1, old);
        assert!(send(&mut network, &mut rng, 0).first.is_some());
    }
}
