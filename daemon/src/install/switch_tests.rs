//! The switch with the power failing at every step, on both disks.

use super::*;
use crate::bootstrap::ClusterId;
use crate::disk::{Fate, SimDisk};
use crate::snapshot::{Chunk, Digest};
use bytes::Bytes;
use mvcc::{Apply, Body, Command, Put, RequestId};
use raft::planted::{Bug, plant};
use raft::{Entry, EntryKind, HardState, Index, MemberId, Membership, Persist, Term};

/// Where the old state stands, and where the old log ends.
const OLD: (u64, u64) = (5, 7);
/// Where the snapshot stands: beyond the log, or in it.
const BEYOND: u64 = 20;
const WITHIN: u64 = 6;

const WHO: wal::Identity = wal::Identity { cluster: 9, member: MemberId(1), storage: [1; 16] };

fn options() -> Options {
    Options {
        segment_bytes: 8 << 10,
        spare_segments: 1,
        ballast_bytes: 512,
        create_if_missing: true,
        ..Options::default()
    }
}

/// What the two directories of a member hold.
struct Member {
    state: SimDisk,
    log: SimDisk,
    /// What is wrong with its switch.
    bug: Option<Bug>,
}

fn commands(through: u64) -> Vec<Command> {
    let put =
        |index: u64| Put { key: format!("k{}", index % 4).into(), value: index.to_string().into(), ..Put::default() };
    (1..=through).map(|index| Command { id: RequestId::default(), body: Body::Put(put(index)) }).collect()
}

fn apply(store: &Store, through: u64) {
    let from = store.applied();
    for (index, command) in (1..).zip(&commands(through)).filter(|(index, _)| *index > from) {
        store.apply(&[Apply { index, command, answered: false }]).expect("no fault");
    }
}

fn store_on(disk: &SimDisk) -> Store {
    let backend = RedbBackend::open(disk, store::Options { cache_bytes: 1 << 20 }).expect("a sound file");
    Store::open(Arc::new(backend)).expect("a sound store")
}

fn open_log(disk: &SimDisk) -> Recovered {
    Wal::open(Arc::new(disk.clone()), WHO, &options()).expect("a sound log")
}

/// A member with a vote, that has applied a little less than its log has.
fn old() -> Member {
    let (state, log) = (SimDisk::new(), SimDisk::new());
    let store = store_on(&state);
    apply(&store, OLD.0);
    store.flush(0).expect("no fault");
    let mut wal = open_log(&log).wal;
    let append = (1..=OLD.1).map(|index| Entry::new(LogId::new(1, index), EntryKind::Command, 0, b"x")).collect();
    let hard_state = Some(HardState { term: Term(4), vote: Some(MemberId(2)) });
    let persist = Persist { hard_state, append, ..Persist::default() };
    let first = WalRequest::Reset { start: LogId::ZERO, membership: Some((Index::ZERO, Bytes::from_static(b"old"))) };
    wal.perform([first, WalRequest::Persist(persist)], &mut Nobody).expect("no fault");
    Member { state, log, bug: None }
}

/// A manifest with these chunks.
pub(in crate::install) fn manifest(index: u64, chunks: Vec<Chunk>) -> Manifest {
    let membership = Membership { voters: [MemberId(1)].into(), ..Membership::default() };
    Manifest {
        cluster: ClusterId(9),
        last: LogId::new(if index > OLD.1 { 3 } else { 1 }, index),
        revision: 1,
        state_hash: 0,
        created_us: 0,
        daemon_version: "0".into(),
        membership_at: Index(0),
        membership,
        chunks,
    }
}

fn one_chunk(index: u64) -> Manifest {
    manifest(index, vec![Chunk { digest: Digest::of(b"chunk"), stored_bytes: 5, raw_bytes: 5 }])
}

/// Builds the next state, as `fetch` does.
fn build(disk: &SimDisk, index: u64) -> Result<Switch, Fault> {
    let whole = Store::open(Arc::new(mvcc::MemoryBackend::new()))?;
    apply(&whole, index);
    let mut blocks = whole.image()?.blocks();
    let backend = Arc::new(create_next(disk)?);
    let mut restore = mvcc::Restore::new(&*backend);
    while let Some(block) = blocks.next_block()? {
        restore.block(block).map_err(Fault::storage)?;
    }
    restore.finish(mvcc::Rebirth::Same).map_err(Fault::storage)?;
    Ok(Switch { manifest: one_chunk(index), replacement: Store::prepare(backend)? })
}

/// The whole install on a member that runs, until a disk stops.
fn install(member: &Member, index: u64) -> Result<(), Box<dyn std::error::Error>> {
    let backend = RedbBackend::open(&member.state, store::Options { cache_bytes: 1 << 20 })?;
    let store = Store::open(Arc::new(backend))?;
    let mut log = Wal::open(Arc::new(member.log.clone()), WHO, &options())?;
    let switch = build(&member.state, index)?;
    plant(member.bug);
    let ran = switch.run(&member.state, &store);
    plant(None);
    ran?;
    assert_eq!(store.applied(), index);
    log.wal.perform([reset_to(&one_chunk(index))], &mut Nobody)?;
    Ok(finish_switch(&member.state)?)
}

/// What a start finds and leaves.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    applied: u64,
    start: u64,
    last: u64,
    vote: Option<MemberId>,
}

/// A start after a crash.
fn start(member: &Member) -> Found {
    let intent = recover_state(&member.state).expect("it can be finished");
    let store = store_on(&member.state);
    let mut recovered = open_log(&member.log);
    if let Some(intent) = intent {
        let disk: Arc<dyn Disk> = Arc::new(member.log.clone());
        recovered = recover_log(recovered, &intent, (&disk, WHO, &options())).expect("the log takes it");
        finish_switch(&member.state).expect("no fault");
    }
    let remembered = recovered.remembered;
    let (applied, start, last) = (store.applied(), remembered.start.index.0, remembered.last.index.0);
    assert!(start <= applied && applied <= last, "no gap: {start} ≤ {applied} ≤ {last}");
    let names = member.state.list().expect("no fault");
    assert_eq!(names, [STATE_FILE], "nothing is left over");
    Found { applied, start, last, vote: remembered.hard_state.vote }
}

fn crashed(member: &Member, fate: Fate) -> Member {
    Member { state: member.state.crash(fate), log: member.log.crash(fate), bug: member.bug }
}

fn is_old(found: &Found) -> bool {
    *found == Found { applied: OLD.0, start: 0, last: OLD.1, vote: Some(MemberId(2)) }
}

/// A log that holds the snapshot's last entry keeps what follows it; any other starts after it.
fn is_new(found: &Found, index: u64) -> bool {
    let (start, last) = if index > OLD.1 { (index, index) } else { (0, OLD.1) };
    *found == Found { applied: index, start, last, vote: Some(MemberId(2)) }
}

#[test]
fn an_install_that_nothing_disturbs_leaves_the_new_state() {
    for index in [BEYOND, WITHIN] {
        let member = old();
        assert!(is_old(&start(&member)));
        install(&member, index).expect("no fault");
        let found = start(&crashed(&member, Fate::Lost));
        assert!(is_new(&found, index), "{found:?}");
    }
}

/// The power fails after each effect on one of the disks; the start that follows finds old or new, and so does the
/// next one. Says how often it found which.
fn fail_everywhere(index: u64, fates: &[Fate], pick: impl Fn(&Member) -> SimDisk) -> [usize; 2] {
    fail_everywhere_with(None, index, fates, pick)
}

fn fail_everywhere_with(bug: Option<Bug>, index: u64, fates: &[Fate], pick: impl Fn(&Member) -> SimDisk) -> [usize; 2] {
    let prepared = Member { bug, ..old() };
    let fresh = || crashed(&prepared, Fate::Lost);
    let whole = fresh();
    install(&whole, index).expect("no fault");
    let mut found_old_and_new = [0, 0];
    for effects in 0..=pick(&whole).counts().effects {
        let member = fresh();
        pick(&member).lose_power_after(effects);
        let ended = install(&member, index);
        for fate in fates {
            let member = crashed(&member, *fate);
            let found = start(&member);
            let new = is_new(&found, index);
            assert!(new || is_old(&found), "after {effects} effects, {fate:?}: {found:?}");
            assert!(new || ended.is_err(), "after {effects} effects: an install that was reported is lost");
            found_old_and_new[usize::from(new)] += 1;
            let again = start(&crashed(&member, Fate::Lost));
            assert_eq!(again, found, "after {effects} effects, {fate:?}: the next start finds the same");
        }
    }
    found_old_and_new
}

#[test]
fn whenever_the_power_fails_a_start_finds_the_old_state_or_the_new_one() {
    let fates = [Fate::Lost, Fate::Chance(7)];
    let [old, new] = fail_everywhere(BEYOND, &fates, |member| member.state.clone());
    assert!(old > 10 && new > 2, "both were seen: {old} and {new}");
    let [old, new] = fail_everywhere(WITHIN, &fates[..1], |member| member.state.clone());
    assert!(old > 10 && new > 2, "both were seen: {old} and {new}");
}

#[test]
fn what_a_start_finds_after_a_kill_the_loss_of_power_does_not_take() {
    let prepared = old();
    let fresh = || crashed(&prepared, Fate::Lost);
    let whole = fresh();
    install(&whole, BEYOND).expect("no fault");
    let mut begun = 0;
    for effects in 0..=whole.state.counts().effects {
        let member = fresh();
        // The process ends here, and its machine goes on: what it has renamed is there, synced or not.
        member.state.lose_power_after(effects);
        let _cut = install(&member, BEYOND);
        member.state.heal();
        let Some(intent) = recover_state(&member.state).expect("it can be finished") else { continue };
        begun += 1;
        // The log follows what the state covers, and only then the power fails.
        let disk: Arc<dyn Disk> = Arc::new(member.log.clone());
        drop(recover_log(open_log(&member.log), &intent, (&disk, WHO, &options())).expect("the log takes it"));
        let found = start(&crashed(&member, Fate::Lost));
        assert!(is_new(&found, BEYOND), "after {effects} effects: {found:?}");
    }
    assert!(begun > 3, "{begun} kills left an install that was begun");
}

#[test]
fn once_the_intent_is_there_a_start_ends_with_the_new_state_whatever_becomes_of_the_log() {
    let [old, new] = fail_everywhere(BEYOND, &[Fate::Lost, Fate::Chance(8)], |member| member.log.clone());
    assert!(new > 2, "{old} and {new}");
}

/// Whether it panics, whatever it says.
fn is_found(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

#[cfg(debug_assertions)]
#[test]
fn a_record_that_is_not_synced_before_the_log_is_reset_is_found_and_so_is_its_name() {
    for bug in [Bug::IntentNotSynced, Bug::SwitchNamesNotSynced] {
        let found = is_found(|| {
            fail_everywhere_with(Some(bug), BEYOND, &[Fate::Lost], |member| member.state.clone());
            fail_everywhere_with(Some(bug), BEYOND, &[Fate::Lost], |member| member.log.clone());
        });
        plant(None);
        assert!(found, "{} lives", bug.name());
    }
}

/// A member that has a snapshot ready, and then applies all of its log, which goes further; where it stands at last.
fn overtaken(bug: Option<Bug>) -> u64 {
    let member = old();
    let store = store_on(&member.state);
    let switch = build(&member.state, WITHIN).expect("no fault");
    apply(&store, OLD.1);
    plant(bug);
    if !switch.is_overtaken(Index(OLD.1)) {
        switch.run(&member.state, &store).expect("no fault");
    }
    plant(None);
    store.applied()
}

#[test]
fn a_snapshot_that_the_log_has_overtaken_is_not_switched_to() {
    assert_eq!(overtaken(None), OLD.1);
}

#[cfg(debug_assertions)]
#[test]
fn a_state_that_would_go_back_is_found() {
    let found = is_found(|| assert_eq!(overtaken(Some(Bug::GoesBack)), OLD.1));
    plant(None);
    assert!(found, "{} lives", Bug::GoesBack.name());
}

#[test]
fn a_start_that_is_cut_short_while_it_finishes_an_install_is_finished_by_the_next() {
    let prepared = old();
    drop(build(&prepared.state, BEYOND).expect("no fault"));
    write_intent(&prepared.state, &one_chunk(BEYOND)).expect("no fault");
    let begun = || crashed(&prepared, Fate::Lost);
    let whole = begun();
    let before = [whole.state.counts().effects, whole.log.counts().effects];
    assert!(is_new(&start(&whole), BEYOND));
    let after = [whole.state.counts().effects, whole.log.counts().effects];
    for (disk, (before, after)) in before.into_iter().zip(after).enumerate() {
        for effects in before..after {
            let member = begun();
            [&member.state, &member.log][disk].lose_power_after(effects);
            let cut = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(&member)));
            let found = start(&crashed(&member, Fate::Chance(effects)));
            assert!(is_new(&found, BEYOND), "disk {disk}, after {effects} effects ({}): {found:?}", cut.is_err());
        }
    }
}

#[test]
fn a_record_of_an_intent_that_cannot_be_read_stops_the_start() {
    let member = old();
    drop(build(&member.state, BEYOND).expect("no fault"));
    write_intent(&member.state, &one_chunk(BEYOND)).expect("no fault");
    assert!(member.state.flip(INTENT_FILE, 9, 1));
    assert!(matches!(recover_state(&member.state), Err(SwitchError::Damaged)));
}
