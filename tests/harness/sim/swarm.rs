//! What one seed turns on. Every fault and every feature is on with probability one half and its parameters are drawn,
//! because a run with everything on hides what a run with half of it shows (Groce et al., swarm testing). Limits are
//! drawn small: small limits reach edge code fastest.

use super::queue::{MILLI, Micros, SECOND};
use super::rng::{MILLION, Rng};
use quorate::config::settings::Snapshot;
use raft::{Config, MemberId};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long things go wrong.
pub const TROUBLE: Micros = 60 * SECOND;

/// What waits to be committed is no more than so many appends. A client gives up after a few seconds; a queue that takes
/// longer than that to drain, at an append for each round trip, answers nobody as long as it is kept full.
const UNCOMMITTED_APPENDS_MAX: u64 = 32;

/// The pause between two requests on average, in a run without load, at least.
const UNLOADED_MEAN_MIN: Micros = 50 * MILLI;
/// Bytes of an append, as a power of two, in a run without writes larger than that, at least.
const APPEND_BITS_MIN: u64 = 8;
/// Bytes of a write beyond its head where no write is larger than an append.
const SMALL_PAYLOAD_MAX: u64 = 64;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// One member loses power.
    Crash,
    /// One member's process is killed; what it has written is still in its machine's memory.
    Kill,
    /// All members lose power at once.
    CrashAll,
    /// A member stands still, with everything sent to it waiting.
    Pause,
    /// One member is cut off.
    Isolate,
    /// The members fall into two groups.
    Split,
    /// Some members cannot be heard by others, which they hear.
    OneWay,
    /// Two groups know each other through one member only.
    Bridge,
    /// One pair of members cannot talk.
    Cut,
    /// A connection is lost and comes back.
    Reset,
    /// Messages are lost.
    Loss,
    /// Messages arrive twice, the second time late.
    Replay,
    /// Messages overtake each other.
    Reorder,
    /// A direction of a link holds everything back for a while.
    Clog,
    /// A disk is slow.
    SlowDisk,
    /// A sync fails.
    SyncFails,
    /// A disk takes no more bytes.
    OutOfSpace,
    /// A stopped member's log has a bit that is the wrong way round.
    BitRot,
    /// A disk announces that it is full and still takes writes.
    DiskFull,
    /// A disk announces that it is full and takes no entries.
    DiskStuck,
    /// Monotonic clocks run at different rates.
    Drift,
    /// A wall clock jumps.
    WallJump,
    /// A state machine is slow.
    SlowApply,
    /// Entries are read back from a disk with a bit that is the wrong way round.
    Unreadable,
    /// A snapshot cannot be fetched.
    FetchFails,
    /// A member's disks say that a sync is done when nothing of it is on the medium.
    SyncLies,
    /// A member's disk is gone, and a process with an empty one wants to be that member.
    DiskLost,
}

/// What the cluster is asked to do, besides taking writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Linearizable reads.
    Reads,
    /// Membership changes.
    Membership,
    /// Hand-overs of leadership.
    Transfer,
    /// The log is cut.
    Compaction,
    /// The state machine is durable at checkpoints only.
    Checkpoints,
    /// Several writes in one proposal.
    Batches,
    /// Writes larger than an append.
    Large,
    /// Many writes.
    Load,
    /// Stores are database files on simulated disks.
    Database,
}

impl Fault {
    /// Those that strike one member at one moment.
    pub const STRIKING: [Self; 20] = [
        Self::Crash,
        Self::Kill,
        Self::SyncFails,
        Self::OutOfSpace,
        Self::CrashAll,
        Self::Pause,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Bridge,
        Self::Cut,
        Self::Reset,
        Self::Clog,
        Self::SlowDisk,
        Self::DiskFull,
        Self::DiskStuck,
        Self::WallJump,
        Self::SlowApply,
        Self::SyncLies,
        Self::DiskLost,
    ];

    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Crash,
        Self::Kill,
        Self::SyncFails,
        Self::OutOfSpace,
        Self::BitRot,
        Self::CrashAll,
        Self::Pause,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Bridge,
        Self::Cut,
        Self::Reset,
        Self::Loss,
        Self::Replay,
        Self::Reorder,
        Self::Clog,
        Self::SlowDisk,
        Self::DiskFull,
        Self::DiskStuck,
        Self::Drift,
        Self::WallJump,
        Self::SlowApply,
        Self::Unreadable,
        Self::FetchFails,
        Self::SyncLies,
        Self::DiskLost,
    ];
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reads,
        Self::Membership,
        Self::Transfer,
        Self::Compaction,
        Self::Checkpoints,
        Self::Batches,
        Self::Large,
        Self::Load,
        Self::Database,
    ];
}

/// The network of one run.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Messages of one lane of one direction stay in order and die with their connection, as on TCP.
    pub ordered: bool,
    /// No message is faster.
    pub delay_min: Micros,
    /// What a message takes beyond that, on average.
    pub delay_mean: Micros,
    /// Millionths of messages that are lost.
    pub loss: u64,
    /// Millionths of messages that arrive twice.
    pub replay: u64,
    /// Messages one direction holds; the next one is lost.
    pub capacity: u32,
}

/// What is left out of a run, to see whether it fails without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Faults that do not strike.
    pub faults: BTreeSet<Fault>,
    /// Features that are not used.
    pub features: BTreeSet<Feature>,
    /// When the trouble ends, if earlier than drawn.
    pub trouble: Option<Micros>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Voters of the first configuration.
    pub voters: usize,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// What is asked.
    pub features: BTreeSet<Feature>,
    /// The network.
    pub network: NetworkOptions,
    /// How long a flush takes on average.
    pub flush_mean: Micros,
    /// How long a slice takes to be applied on average.
    pub apply_mean: Micros,
    /// How wrong clocks are, in millionths.
    pub drift: u64,
    /// The pause between two faults on average.
    pub fault_mean: Micros,
    /// The pause between two requests on average.
    pub request_mean: Micros,
    /// Bytes of a write beyond its head.
    pub payload_max: u64,
    /// How much of their logs members keep.
    pub retention: Snapshot,
    /// How long what has reached a member waits for the loop's next turn, on average; 0 for a turn of its own.
    pub turn_mean: Micros,
    /// Entries between two checkpoints of the state machine.
    pub checkpoint_every: u64,
    /// The settings of every member, but for its id and its seed.
    pub config: Config,
    /// How long faults go on.
    pub trouble: Micros,
}

impl Swarm {
    /// What `seed` turns on, with `voters` members if that is given.
    #[must_use]
    pub fn draw(rng: &mut Rng, voters: Option<usize>) -> Self {
        let faults: BTreeSet<Fault> = Fault::ALL.into_iter().filter(|_| rng.coin()).collect();
        let features: BTreeSet<Feature> = Feature::ALL.into_iter().filter(|_| rng.coin()).collect();
        let mut config = config(rng);
        if features.contains(&Feature::Large) {
            config.append_bytes_max = rng.between(64, 1024);
        }
        config.uncommitted_bytes_max =
            config.uncommitted_bytes_max.min(UNCOMMITTED_APPENDS_MAX * config.append_bytes_max);
        Self {
            voters: voters.unwrap_or_else(|| draw_voters(rng)),
            network: network(rng, &faults, config.election),
            flush_mean: rng.exponential(3 * MILLI).max(50),
            apply_mean: rng.exponential(MILLI).max(10),
            drift: if faults.contains(&Fault::Drift) { rng.below(50_000) } else { 0 },
            fault_mean: rng.between(300 * MILLI, 5 * SECOND),
            request_mean: request_mean(rng, &features),
            payload_max: if features.contains(&Feature::Large) { 4096 } else { SMALL_PAYLOAD_MAX },
            retention: retention(rng, features.contains(&Feature::Compaction)),
            turn_mean: if rng.coin() { rng.between(20, 2 * MILLI) } else { 0 },
            checkpoint_every: checkpoint_every(rng, &features),
            trouble: TROUBLE,
            faults,
            features,
            config,
        }
    }

    /// Turns some of it off again, and ends the trouble earlier.
    #[must_use]
    pub fn without(mut self, cut: &Cut) -> Self {
        self.faults.retain(|fault| !cut.faults.contains(fault));
        self.features.retain(|feature| !cut.features.contains(feature));
        self.trouble = self.trouble.min(cut.trouble.unwrap_or(Micros::MAX));
        self.quiet_network();
        self.forgo_features();
        self
    }

    /// What no fault wants of links and clocks does not happen.
    fn quiet_network(&mut self) {
        let wanted = |fault| u64::from(self.faults.contains(&fault));
        self.drift *= wanted(Fault::Drift);
        self.network.loss *= wanted(Fault::Loss);
        self.network.replay *= wanted(Fault::Replay);
        self.network.ordered |= wanted(Fault::Reorder) == 0;
    }

    /// What was drawn for features that are not there becomes what a run without them could have drawn, as near as can
    /// be.
    fn forgo_features(&mut self) {
        if !self.does(Feature::Large) {
            self.payload_max = SMALL_PAYLOAD_MAX;
            self.config.append_bytes_max = self.config.append_bytes_max.max(1 << APPEND_BITS_MIN);
        }
        if !self.does(Feature::Load) {
            self.request_mean = self.request_mean.max(UNLOADED_MEAN_MIN);
        }
        if !self.does(Feature::Compaction) {
            self.retention = keep_all(self.retention);
        }
        if !self.does(Feature::Database) && !self.does(Feature::Checkpoints) {
            self.checkpoint_every = 1;
        }
    }

    /// Whether this may go wrong.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether this is asked.
    #[must_use]
    pub fn does(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

fn request_mean(rng: &mut Rng, features: &BTreeSet<Feature>) -> Micros {
    let least = UNLOADED_MEAN_MIN / MILLI;
    if features.contains(&Feature::Load) { 20 * MILLI } else { rng.between(least, 500) * MILLI }
}

/// A database is flushed seldom, as in the daemon: it is slow.
fn checkpoint_every(rng: &mut Rng, features: &BTreeSet<Feature>) -> u64 {
    match (features.contains(&Feature::Database), features.contains(&Feature::Checkpoints)) {
        (true, _) => rng.between(20, 100),
        (false, true) => rng.between(2, 50),
        (false, false) => 1,
    }
}

/// Little is kept, so that cuts are many and followers fall behind them; or all of it.
fn retention(rng: &mut Rng, cut: bool) -> Snapshot {
    let little = Snapshot {
        entries: rng.between(1, 20),
        catchup_entries: rng.between(0, 60),
        segment_bytes: 0,
        tail_bytes: 1 << rng.between(8, 16),
        anchor_bytes: 1 << rng.between(13, 20),
        send_bytes_per_second: 0,
        anchor_time: Duration::from_millis(rng.between(500, 10_000)),
    };
    if cut { little } else { keep_all(little) }
}

fn keep_all(retention: Snapshot) -> Snapshot {
    let most = u64::MAX;
    Snapshot { entries: most, catchup_entries: most, tail_bytes: most, anchor_bytes: most, ..retention }
}

fn draw_voters(rng: &mut Rng) -> usize {
    *rng.pick(&[1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7]).expect("a list")
}

/// Delays stay well below the election timeout: a network that is always slower elects nobody, rightly.
fn network(rng: &mut Rng, faults: &BTreeSet<Fault>, election: Duration) -> NetworkOptions {
    let share = u64::try_from(election.as_micros()).expect("a short time") / 40;
    let rate = |fault, most: u64, rng: &mut Rng| if faults.contains(&fault) { rng.below(most) } else { 0 };
    NetworkOptions {
        ordered: !faults.contains(&Fault::Reorder),
        delay_min: rng.between(10, share / 2),
        delay_mean: rng.between(10, share),
        loss: rate(Fault::Loss, 3 * MILLION / 10, rng),
        replay: rate(Fault::Replay, 3 * MILLION / 10, rng),
        capacity: if rng.coin() { u32::MAX } else { u32::try_from(rng.between(8, 200)).expect("small") },
    }
}

fn config(rng: &mut Rng) -> Config {
    let heartbeat = Duration::from_millis(rng.between(50, 150));
    let bytes = |rng: &mut Rng, most| 1 << rng.between(APPEND_BITS_MIN, most);
    Config {
        heartbeat,
        election: heartbeat * u32::try_from(rng.between(8, 12)).expect("small"),
        append_bytes_max: bytes(rng, 16),
        inflight_bytes_start: bytes(rng, 14),
        inflight_bytes_max: bytes(rng, 18),
        inflight_messages_max: usize::try_from(rng.between(1, 64)).expect("small"),
        cache_bytes_max: bytes(rng, 20),
        uncommitted_bytes_max: bytes(rng, 20),
        undurable_bytes_max: bytes(rng, 18),
        apply_bytes_max: bytes(rng, 16),
        applying_bytes_max: bytes(rng, 18),
        promote_lag_entries_max: rng.between(0, 50),
        promote_lag_bytes_max: bytes(rng, 16),
        ..Config::new(MemberId::NONE, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_many_seeds_every_fault_and_feature_is_on_about_half_the_time() {
        let runs: Vec<Swarm> = (0..400).map(|seed| Swarm::draw(&mut Rng::new(seed), None)).collect();
        for fault in Fault::ALL {
            let on = runs.iter().filter(|run| run.has(fault)).count();
            assert!((140..260).contains(&on), "{fault:?} is on in {on} of 400");
        }
        for feature in Feature::ALL {
            let on = runs.iter().filter(|run| run.does(feature)).count();
            assert!((140..260).contains(&on), "{feature:?} is on in {on} of 400");
        }
    }

    #[test]
    fn a_fault_that_is_off_leaves_the_network_alone() {
        for seed in 0..100 {
            let run = Swarm::draw(&mut Rng::new(seed), Some(3));
            assert!(run.has(Fault::Loss) || run.network.loss == 0);
            assert!(run.has(Fault::Replay) || run.network.replay == 0);
            assert!(run.has(Fault::Reorder) || run.network.ordered);
        }
    }

    #[test]
    fn what_is_left_out_of_a_run_does_not_act_in_it() {
        let cut = Cut { faults: Fault::ALL.into(), features: Feature::ALL.into(), trouble: None };
        for seed in 0..100 {
            let run = Swarm::draw(&mut Rng::new(seed), Some(3)).without(&cut);
            assert_eq!((run.network.loss, run.network.replay, run.network.ordered, run.drift), (0, 0, true, 0));
            assert_eq!((run.payload_max, run.checkpoint_every), (64, 1));
            assert!(run.request_mean >= 50 * MILLI && run.config.append_bytes_max >= 256, "{run:?}");
            let kept = [run.retention.entries, run.retention.catchup_entries, run.retention.tail_bytes];
            assert_eq!(kept, [u64::MAX; 3]);
            assert_eq!(run.retention.anchor_bytes, u64::MAX);
        }
    }

    #[test]
    fn each_fault_and_feature_is_left_out_without_the_others() {
        for seed in 0..40 {
            let drawn = || Swarm::draw(&mut Rng::new(seed), None);
            let whole = drawn().without(&Cut::default());
            assert_eq!(format!("{whole:?}"), format!("{:?}", drawn()), "nothing is left out");
            let lossless = drawn().without(&Cut { faults: [Fault::Loss].into(), ..Cut::default() });
            assert_eq!((lossless.network.loss, lossless.network.replay), (0, whole.network.replay));
            assert_eq!((lossless.drift, lossless.network.ordered), (whole.drift, whole.network.ordered));
            let unloaded = drawn().without(&Cut { features: [Feature::Load].into(), ..Cut::default() });
            assert_eq!((unloaded.payload_max, unloaded.checkpoint_every), (whole.payload_max, whole.checkpoint_every));
            assert_eq!(unloaded.retention.entries, whole.retention.entries);
        }
    }
}
