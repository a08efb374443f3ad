use super::*;
use crate::sim::machine::Machine;
use raft::{EntryKind, Persist, SnapshotPoint};

fn write(io: u64) -> Persist {
    let entry = Entry::new(LogId::new(1, io), EntryKind::Command, 0, b"");
    Persist { io: IoId(io), append: vec![entry], ..Persist::default() }
}

fn submit(disk: &mut Disk, write: Persist) -> Result<(), String> {
    disk.submit(WalRequest::Persist(write), None)
}

/// The last write that is durable now, and whether the disk failed.
fn end_flush(disk: &mut Disk) -> (Option<IoId>, bool) {
    let Flushed { reported, failed, .. } = disk.end_flush();
    let persisted = reported.iter().rev().find_map(|completion| match completion {
        Completion::Persisted { io, .. } => Some(*io),
        _ => None,
    });
    (persisted, failed)
}

fn started() -> Disk {
    let options = Options { segment_bytes: 8 << 10, spare_segments: 1, ballast_bytes: 0, ..Options::default() };
    let mut disk = Disk::format(MemberId(1), None, options);
    disk.start(1, Index::ZERO, None).expect("a new log").expect("room");
    disk
}

fn with_twenty_writes() -> Disk {
    let mut disk = started();
    for io in 1..=20 {
        submit(&mut disk, write(io)).expect("in order");
        disk.start_flush();
        disk.end_flush();
    }
    disk
}

#[test]
fn a_flush_covers_what_was_queued_when_it_began() {
    let mut disk = started();
    submit(&mut disk, write(1)).expect("in order");
    assert!(disk.start_flush());
    submit(&mut disk, write(2)).expect("in order");
    assert!(!disk.start_flush());
    disk.flushing = 1;
    assert_eq!(end_flush(&mut disk), (Some(IoId(1)), false));
    assert_eq!(disk.durable.last().last, LogId::new(1, 1));
    assert_eq!(disk.live.last().last, LogId::new(1, 2));
}

#[test]
fn an_end_keeps_a_first_part_of_the_queue_and_every_length_of_it_happens() {
    let mut rng = Rng::new(5);
    for how in [End::Process, End::Power] {
        let mut kept = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut disk = started();
            for io in 1..=3 {
                submit(&mut disk, Persist { truncate_from: Some(Index(io)), ..write(io) }).expect("in order");
            }
            disk.end(how, &mut rng).expect("a step between");
            assert_eq!(disk.live.last(), disk.durable.last());
            let boot = disk.start(2, Index::ZERO, None).expect("the log as it was found").expect("room");
            assert_eq!(boot.last, disk.durable.last().last);
            kept.insert(disk.durable.last().last.index.0);
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3], "{how:?}");
    }
}

#[test]
fn a_log_that_lost_what_it_reported_is_refused() {
    let mut disk = started();
    submit(&mut disk, write(1)).expect("in order");
    disk.start_flush();
    disk.end_flush();
    // The model believes in one more write than there ever was.
    disk.durable.apply(&write(2)).expect("it follows");
    let refused = disk.end(End::Power, &mut Rng::new(1)).expect_err("the second write is not there");
    assert_eq!(refused.check, "S6");
}

#[test]
fn a_failed_sync_reports_nothing_and_the_log_opens_again() {
    let mut disk = started();
    submit(&mut disk, write(1)).expect("in order");
    disk.start_flush();
    disk.medium.fail_next_sync();
    assert_eq!(end_flush(&mut disk), (None, true));
    disk.end(End::Process, &mut Rng::new(3)).expect("a step between");
    disk.start(2, Index::ZERO, None).expect("it opens").expect("room");
}

#[test]
fn a_disk_that_holds_entries_back_still_takes_the_hard_state() {
    let mut disk = started();
    disk.full = true;
    let state = HardState { term: Term(2), vote: Some(MemberId(1)) };
    submit(&mut disk, Persist { hard_state: Some(state), append: vec![], ..write(1) }).expect("in order");
    submit(&mut disk, Persist { io: IoId(2), ..write(1) }).expect("in order");
    assert!(disk.start_flush());
    assert_eq!(end_flush(&mut disk).0, Some(IoId(1)));
    assert!(!disk.start_flush());
    assert_eq!(disk.votes.get(&Term(2)), Some(&MemberId(1)));
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_nothing_that_counts() {
    let disk = with_twenty_writes();
    let mut rng = Rng::new(9);
    let mut found = std::collections::BTreeMap::new();
    for _ in 0..300 {
        *found.entry(disk.rot(&mut rng).expect("nothing is made up")).or_insert(0) += 1;
    }
    assert!(found.get("bit flip: noticed").is_some_and(|count| *count > 50), "{found:?}");
}

#[test]
fn a_flipped_bit_in_the_note_of_a_compaction_brings_back_what_it_let_go_and_takes_nothing() {
    let mut disk = with_twenty_writes();
    for through in [5, 8] {
        disk.submit(WalRequest::Compact { through: Index(through) }, None).expect("nothing is under way");
        disk.start_flush();
        disk.end_flush();
    }
    let mut rng = Rng::new(11);
    let cut = (0..300).filter(|_| disk.rot(&mut rng).expect("nothing is made up") == "bit flip: last batch cut");
    assert!(cut.count() > 0);
}

#[test]
fn a_write_out_of_order_is_refused() {
    let mut disk = started();
    submit(&mut disk, write(1)).expect("in order");
    assert!(submit(&mut disk, write(3)).is_err());
}

#[test]
fn a_log_follows_a_snapshot_only_when_nothing_else_is_under_way() {
    let base = Base { last: LogId::new(1, 9), ..Base::default() };
    let membership = Arc::new(Membership::default());
    let reset = WalRequest::Reset { start: base.last, membership: Some((Index::ZERO, membership.encode())) };
    let following = Some((base, (Index::ZERO, membership)));
    let mut disk = started();
    submit(&mut disk, write(1)).expect("in order");
    assert!(disk.submit(reset.clone(), following.clone()).is_err(), "a write is under way");
    disk.start_flush();
    disk.end_flush();
    assert!(disk.submit(reset.clone(), None).is_err(), "the state machine stands elsewhere");
    disk.submit(reset, following).expect("quiet");
    disk.start_flush();
    assert!(!disk.end_flush().failed);
    assert_eq!((disk.live.last(), disk.durable.last()), (base, base));
}

/// A snapshot that some member's state was switched to: the record of that, and where the log is to follow.
fn a_switch() -> (Intent, Following) {
    let membership = Membership::bootstrap([(MemberId(1), bytes::Bytes::new())]);
    let mut source = Machine::format(MemberId(2), Some(Arc::new(membership.clone())), false);
    let mut machine = Machine::format(MemberId(1), None, false);
    source.start().expect("an empty store");
    machine.start().expect("an empty store");
    let entries: Vec<Entry> = (1..=90).map(|at| Entry::new(LogId::new(1, at), EntryKind::Noop, 0, b"")).collect();
    entries.iter().for_each(|entry| source.state.apply(entry));
    source.apply(&entries).expect("sound");
    let point = |last: Index| SnapshotPoint { last: LogId::new(1, last.0), membership_at: Index::ZERO, membership };
    let snapshot = source.snapshot(|last| Some(point(last))).expect("readable").expect("it runs");
    machine.switch = Some(Box::new(machine.prepare(snapshot).expect("sound")));
    assert!(machine.switched());
    machine.end(End::Process, &mut Rng::new(1));
    let intent = machine.start().expect("the new state").expect("the log has not followed");
    (intent, (machine.state.applied, machine.state.membership.clone()))
}

#[test]
fn what_finds_no_room_waits_and_a_compaction_goes_before_it() {
    let mut disk = with_twenty_writes();
    disk.medium.limit(Some(0));
    let large = |io| {
        let entry = Entry::new(LogId::new(1, io), EntryKind::Command, 0, &[7; 3000]);
        Persist { io: IoId(io), append: vec![entry], ..Persist::default() }
    };
    let mut io = 20;
    loop {
        io += 1;
        submit(&mut disk, large(io)).expect("in order");
        assert!(disk.start_flush());
        let Flushed { starved, failed, .. } = disk.end_flush();
        assert!(!failed && io < 60, "a full disk is no failure, and it is full at some time");
        if starved {
            break;
        }
        disk.look_after();
    }
    submit(&mut disk, large(io + 1)).expect("in order");
    assert!(!disk.start_flush(), "nothing goes before what waits");
    let durable = disk.durable.last().last;
    assert_eq!(durable.index, Index(io - 1));
    disk.submit(WalRequest::Compact { through: durable.index }, None).expect("always");
    assert!(disk.start_flush());
    let Flushed { reported, .. } = disk.end_flush();
    assert!(matches!(reported[..], [Completion::Compacted { .. }]), "{reported:?}");
    disk.look_after();
    assert!(disk.start_flush());
    assert_eq!(end_flush(&mut disk).0, Some(IoId(io + 1)));
}

#[test]
fn a_start_that_finds_no_room_to_follow_a_snapshot_is_made_again_until_there_is() {
    let (intent, following) = a_switch();
    let options = Options { segment_bytes: 8 << 10, spare_segments: 0, ballast_bytes: 2 << 10, ..Options::default() };
    let mut rng = Rng::new(13);
    let (mut in_vain, mut half_way) = (0, 0);
    for (writes, left) in (0..40).flat_map(|writes| [0, 1, 3, 5, 7, 9].map(|left| (writes, left << 10))) {
        let mut disk = Disk::format(MemberId(1), None, options.clone());
        disk.start(1, Index::ZERO, None).expect("a new log").expect("room");
        for io in 1..=writes {
            submit(&mut disk, write(io)).expect("in order");
            disk.start_flush();
            disk.end_flush();
        }
        disk.look_after();
        disk.end(End::Process, &mut rng).expect("as it was");
        disk.medium.limit(Some(left));
        let mut salt = 2;
        let mut start = |disk: &mut Disk| {
            salt += 1;
            disk.start(salt, following.0.last.index, Some((&intent, following.clone()))).expect("sound")
        };
        while start(&mut disk).is_none() {
            in_vain += 1;
            let budget = disk.medium.budget().expect("it stays full");
            let how = if rng.coin() { End::Power } else { End::Process };
            disk.end(how, &mut rng).expect("the log as it was, or behind the snapshot");
            half_way += u64::from(disk.durable.last() == following.0);
            disk.medium.set_budget(Some(budget + 512));
        }
        assert_eq!(disk.durable.last(), following.0);
    }
    assert!(in_vain > 0 && half_way > 0, "in vain {in_vain}, half-way {half_way}");
}
