//! A recovery with the power failing at every step, on both disks: of the data, with the identity, and of the log.

use super::{Log, carry_out, wal_identity};
use crate::bootstrap::{
    BootstrapError, ClusterId, Formatted, Former, Identity, NodeInfo, Place, StorageId, is_running_as, make_running,
};
use crate::config::{Mode, Settings, Wanted, load};
use crate::disk::{Disk, Fate, SimDisk};
use crate::install::{self, Switch};
use crate::node::{StartError, open_log};
use crate::snapshot::Take;
use crate::store::{self, RedbBackend};
use crate::wal::{self, Completion, Options, Wal, WalError, WalRequest};
use admin_api::Id;
use bytes::Bytes;
use mvcc::{
    Alarm, AlarmAction, AlarmChange, AlarmKind, Apply, Body, Command, HashKv, MemoryBackend, PublishedMember, Put,
    RequestId, Revision, Store,
};
use raft::planted::{Bug, plant};
use raft::{Entry, EntryKind, HardState, Index, LogId, MemberId, Membership, Persist, SnapshotPoint, Term};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

const FORMER: Former = Former { cluster: ClusterId(9), member: Id(1), storage: StorageId::from_bytes([1; 16]) };
/// Where the store stands, and where the log ends.
const APPLIED: u64 = 5;
const LAST: LogId = LogId { term: Term(3), index: Index(12) };
/// Of a member that is gone.
const CORRUPT: Alarm = Alarm { kind: AlarmKind::Corrupt, member: 2 };
/// An entry that changes the members, and one of the new leader's.
const MEMBERSHIP_AT: u64 = 7;
const NOOP_AT: u64 = 8;

/// What the two directories of a member hold.
#[derive(Clone)]
struct Member {
    data: SimDisk,
    log: SimDisk,
}

fn options() -> Options {
    Options { segment_bytes: 8 << 10, spare_segments: 1, ballast_bytes: 512, ..Options::default() }
}

fn settings(flag: bool) -> Settings {
    let flags = ["--name=m1".to_owned(), format!("--force-new-cluster={flag}")];
    match load(Mode::Quorate, &flags, std::iter::empty(), &|_| true).expect("nothing is wrong with them") {
        Wanted::Run(checked) => checked.settings,
        Wanted::Help(_) | Wanted::Version => panic!("neither was asked for"),
    }
}

fn command(index: u64) -> Command {
    let published = PublishedMember { id: 2, name: "m2".into(), client_urls: vec!["http://127.0.0.1:1".into()] };
    let body = match index {
        2 => Body::PublishMember(published),
        12 => Body::Alarm(AlarmChange { action: AlarmAction::Activate, alarm: CORRUPT }),
        _ => {
            Body::Put(Put { key: format!("k{}", index % 4).into(), value: index.to_string().into(), ..Put::default() })
        }
    };
    Command { id: RequestId::default(), body }
}

fn membership() -> Membership {
    Membership::bootstrap((1..=3).map(|id| (MemberId(id), NodeInfo::default().encode())))
}

fn entry(index: u64) -> Entry {
    let id = LogId { term: if index < NOOP_AT { Term(1) } else { LAST.term }, index: Index(index) };
    match index {
        MEMBERSHIP_AT => Entry::new(id, EntryKind::Membership, 0, &membership().encode()),
        NOOP_AT => Entry::new(id, EntryKind::Noop, 0, b""),
        _ => Entry::new(id, EntryKind::Command, 0, &command(index).encode()),
    }
}

fn apply(store: &Store, through: u64) {
    for index in store.applied() + 1..=through {
        match entry(index).kind() {
            EntryKind::Command => {
                let command = command(index);
                store.apply(&[Apply { index, command: &command, answered: false }]).expect("no fault");
            }
            EntryKind::Noop | EntryKind::Membership => store.advance(index),
        }
    }
}

fn store_on(disk: &SimDisk) -> Store {
    let backend = RedbBackend::open(disk, store::Options { cache_bytes: 1 << 20 }).expect("a sound file");
    Store::open(Arc::new(backend)).expect("a sound store")
}

/// A member of three that has heard of no commit since it applied a part of its log.
fn former() -> Member {
    former_with((1..=LAST.index.0).map(entry).collect())
}

fn former_with(append: Vec<Entry>) -> Member {
    let member = Member { data: SimDisk::new(), log: SimDisk::new() };
    make_running(&place(&member), "m1", FORMER);
    let store = store_on(&member.data);
    apply(&store, APPLIED);
    store.flush(0).expect("no fault");
    let options = Options { create_if_missing: true, ..options() };
    let log: Arc<dyn Disk> = Arc::new(member.log.clone());
    let mut wal = Wal::open(log, wal_identity(FORMER), &options).expect("a new log").wal;
    let hard_state = Some(HardState { term: Term(4), vote: Some(MemberId(2)) });
    let first = Some((Index::ZERO, membership().encode()));
    let persist = Persist { hard_state, append, ..Persist::default() };
    let requests = [WalRequest::Reset { start: LogId::ZERO, membership: first }, WalRequest::Persist(persist)];
    wal.perform(requests, &mut Nobody).expect("no fault");
    member
}

struct Nobody;

impl wal::Listener for Nobody {
    fn completed(&mut self, _: Completion) {}

    fn failed(&mut self, _: &WalError) {}
}

fn place(member: &Member) -> Place {
    Place::new(Arc::new(member.data.clone()), Path::new("data"))
}

fn recover(member: &Member, flag: bool) -> Result<(), StartError> {
    let data: Arc<dyn Disk> = Arc::new(member.data.clone());
    let open = || Ok(Arc::new(member.log.clone()) as Arc<dyn Disk>);
    carry_out(&settings(flag), &data, &Log { open: &open, options: options() })
}

/// What a start finds and leaves.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    identity: (ClusterId, MemberId, StorageId),
    hash: HashKv,
    revision: Revision,
    applied: u64,
    start: LogId,
    last: LogId,
    hard_state: HardState,
    voters: Vec<MemberId>,
    published: usize,
    alarms: usize,
}

/// All of a start up to the engine.
fn start(member: &Member, flag: bool) -> Result<Found, StartError> {
    recover(member, flag)?;
    let intent = install::recover_state(&member.data)?;
    let begun = intent.is_some();
    let backend = RedbBackend::open(&member.data, store::Options { cache_bytes: 1 << 20 })?;
    let store = Store::open(Arc::new(backend))?;
    let settings = settings(flag);
    let formatted = Formatted::open_in(place(member), &settings)?;
    let gate = formatted.gate();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut admitted = runtime.block_on(formatted.admit(&settings, &gate, None))?;
    let log: Arc<dyn Disk> = Arc::new(member.log.clone());
    let recovered = open_log(&log, &admitted.identity, &admitted.log, &options(), intent)?;
    admitted.log_created()?;
    if begun {
        install::finish_switch(&member.data)?;
    }
    let Identity { cluster, member, storage, .. } = admitted.identity;
    let remembered = recovered.remembered;
    let (_, bytes) = remembered.memberships.last().expect("there is a configuration");
    Ok(Found {
        identity: (cluster, member, storage),
        hash: store.hash_kv(Revision::ZERO).expect("readable"),
        revision: store.revision(),
        applied: store.applied(),
        start: remembered.start,
        last: remembered.last,
        hard_state: remembered.hard_state,
        voters: Membership::decode(bytes.clone()).expect("sound").voters.into_iter().collect(),
        published: store.members().len(),
        alarms: store.alarms().len(),
    })
}

/// The history of one that has applied everything up to there.
fn history(through: u64) -> (HashKv, Revision) {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    apply(&store, through);
    (store.hash_kv(Revision::ZERO).expect("readable"), store.revision())
}

fn is_former(found: &Found) -> bool {
    let (hash, revision) = history(APPLIED);
    let expected = Found {
        identity: (FORMER.cluster, MemberId(FORMER.member.0), FORMER.storage),
        hash,
        revision,
        applied: APPLIED,
        start: LogId::ZERO,
        last: LAST,
        hard_state: HardState { term: Term(4), vote: Some(MemberId(2)) },
        voters: (1..=3).map(MemberId).collect(),
        published: 1,
        alarms: 0,
    };
    *found == expected
}

/// Another member of another cluster, whose store is where the former log ends.
fn is_new(found: &Found, last: LogId) -> bool {
    let (hash, revision) = history(last.index.0);
    let (cluster, member, storage) = found.identity;
    let expected = Found {
        identity: found.identity,
        hash,
        revision,
        applied: last.index.0,
        start: last,
        last,
        hard_state: HardState { term: last.term, vote: None },
        voters: vec![member],
        published: 0,
        alarms: 0,
    };
    let other = cluster != FORMER.cluster && member.0 != FORMER.member.0 && storage != FORMER.storage;
    other && *found == expected
}

fn crashed(member: &Member, fate: Fate) -> Member {
    Member { data: member.data.crash(fate), log: member.log.crash(fate) }
}

#[test]
fn all_that_the_log_holds_is_in_the_new_cluster_and_the_member_is_its_only_voter() {
    let member = former();
    assert!(is_former(&start(&member, false).expect("no fault")));
    let found = start(&member, true).expect("no fault");
    assert!(is_new(&found, LAST), "{found:?}");
    assert_eq!(found.revision, Revision(1 + LAST.index.0 as i64 - 4), "one for each write");
}

#[test]
fn it_is_done_once_whether_the_flag_is_still_given_or_not() {
    let member = former();
    let first = start(&member, true).expect("no fault");
    for flag in [true, true, false] {
        assert_eq!(start(&member, flag).expect("no fault"), first);
    }
    let again = start(&member, true).expect("no fault");
    assert_ne!(again.identity, first.identity, "left out, and given anew");
}

/// The power fails after each effect on one of the disks; the start that follows, without the flag, finds the former
/// member or the new one, and stays with that. Says how often it found which.
fn fail_everywhere(pick: impl Fn(&Member) -> SimDisk) -> [usize; 2] {
    let prepared = former();
    let fresh = || crashed(&prepared, Fate::Lost);
    let whole = fresh();
    start(&whole, true).expect("no fault");
    let mut found_former_and_new = [0, 0];
    for effects in 0..=pick(&whole).counts().effects {
        let member = fresh();
        pick(&member).lose_power_after(effects);
        let ended = start(&member, true);
        for fate in [Fate::Lost, Fate::Kept, Fate::Chance(effects)] {
            let member = crashed(&member, fate);
            let found = start(&member, false).expect("it goes on");
            let new = is_new(&found, LAST);
            assert!(new || is_former(&found), "after {effects} effects, {fate:?}: {found:?}");
            found_former_and_new[usize::from(new)] += 1;
            if let Ok(ended) = &ended {
                assert_eq!(ended.identity, found.identity, "after {effects} effects: what was reported is lost");
            }
            let again = start(&crashed(&member, Fate::Lost), false).expect("no fault");
            assert_eq!(again, found, "after {effects} effects, {fate:?}: the next start finds the same");
            if !new {
                let found = start(&member, true).expect("it is done now");
                assert!(is_new(&found, LAST), "after {effects} effects, {fate:?}: {found:?}");
            }
        }
    }
    found_former_and_new
}

#[test]
fn whenever_the_power_fails_a_start_finds_the_former_member_or_the_new_one() {
    let [former, new] = fail_everywhere(|member| member.data.clone());
    assert!(former > 5 && new > 20, "both were seen: {former} and {new}");
    let [_, new] = fail_everywhere(|member| member.log.clone());
    assert!(new > 20, "{new}");
}

/// Whether it panics, whatever it says.
fn is_found(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

#[cfg(debug_assertions)]
#[test]
fn a_new_log_that_the_identity_counts_on_before_its_name_is_durable_is_found() {
    let found = is_found(|| {
        plant(Some(Bug::NameNotSynced));
        fail_everywhere(|member| member.data.clone());
    });
    plant(None);
    assert!(found, "{} lives", Bug::NameNotSynced.name());
}

#[test]
fn a_start_that_goes_on_and_is_cut_short_itself_is_finished_by_the_next() {
    let former = former();
    let cut_short = |effects| {
        let member = crashed(&former, Fate::Lost);
        member.data.lose_power_after(effects);
        start(&member, true).ok();
        crashed(&member, Fate::Lost)
    };
    let prepared = (0..).map(cut_short).find(|member| !is_running_as(&place(member), FORMER)).expect("it begins");
    let begun = || crashed(&prepared, Fate::Lost);
    let whole = begun();
    let identity = start(&whole, false).expect("it goes on").identity;
    for (disk, effects) in [whole.data.counts().effects, whole.log.counts().effects].into_iter().enumerate() {
        for effects in 0..effects {
            let member = begun();
            [&member.data, &member.log][disk].lose_power_after(effects);
            start(&member, false).ok();
            let found = start(&crashed(&member, Fate::Chance(effects)), false).expect("no fault");
            assert!(is_new(&found, LAST), "disk {disk}, after {effects} effects: {found:?}");
            assert_eq!(found.identity, identity, "the ids were drawn when it began");
        }
    }
}

/// What is refused leaves the former member as it was.
fn refused(member: &Member) -> StartError {
    let before = (member.data.contents("identity.json"), store_on(&member.data).state_hash());
    let error = recover(member, true).expect_err("there is something wrong");
    assert_eq!((member.data.contents("identity.json"), store_on(&member.data).state_hash()), before, "{error}");
    assert!(is_running_as(&place(member), FORMER));
    error
}

#[test]
fn a_damaged_log_is_refused_before_anything_is_written() {
    let member = former();
    let names = member.log.list().expect("no fault");
    let segment = names.iter().find(|name| name.contains(".wal")).expect("a segment");
    // In the first batch, which others follow.
    assert!(member.log.flip(segment, 4096 + 40, 1));
    let error = refused(&member);
    assert!(matches!(error, StartError::Log(wal::OpenError::Corrupt { .. })), "{error}");
}

#[test]
fn an_entry_that_cannot_be_applied_is_refused_before_anything_is_written() {
    let mut entries: Vec<Entry> = (1..=LAST.index.0).map(entry).collect();
    let odd = entries.last_mut().expect("entries");
    *odd = Entry::new(odd.id(), EntryKind::Command, 0, b"of a later version");
    let error = refused(&former_with(entries));
    assert!(matches!(error, StartError::Store(_)), "{error}");
}

#[test]
fn a_log_that_is_gone_or_empty_or_does_not_reach_the_store_is_refused() {
    let member = Member { log: SimDisk::new(), ..former() };
    let error = refused(&member);
    assert_eq!(error.exit_code(), crate::bootstrap::EXIT_DISK_REPLACED, "{error}");
    let error = refused(&former_with((1..APPLIED).map(entry).collect()));
    assert!(matches!(error, StartError::StoreAhead { .. }), "{error}");
    let member = former_with(Vec::new());
    member.data.remove(store::STATE_FILE).expect("it is there");
    let error = refused(&member);
    assert!(matches!(error, StartError::Bootstrap(BootstrapError::NothingToRecover(_))), "{error}");
}

/// A snapshot of a member that has applied this much, and its chunks.
fn snapshot(through: LogId) -> (crate::snapshot::Manifest, Vec<Bytes>) {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    apply(&store, through.index.0);
    let point = SnapshotPoint { last: through, membership_at: Index(MEMBERSHIP_AT), membership: membership() };
    let image = store.image().expect("no fault");
    let mut take = Take::new(&image, FORMER.cluster, point, SystemTime::UNIX_EPOCH);
    let chunks = std::iter::from_fn(|| take.next_chunk().expect("no fault")).map(|sealed| sealed.bytes).collect();
    (take.finish(), chunks)
}

#[test]
fn an_install_that_was_begun_is_finished_first() {
    let beyond = LogId { term: Term(3), index: Index(LAST.index.0 + 9) };
    let member = former();
    let (manifest, chunks) = snapshot(beyond);
    let switch = Switch::build(&member.data, None, &manifest, chunks).expect("sound");
    // The log would have been reset now.
    switch.run(&member.data, &store_on(&member.data)).expect("no fault");
    let found = start(&crashed(&member, Fate::Lost), true).expect("no fault");
    assert!(is_new(&found, beyond), "{found:?}");
}
