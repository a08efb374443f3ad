//! Bytes that had been durable change.

use super::bench::*;
use crate::disk::{Fate, SimDisk};
use crate::wal::batch::{BatchWriter, Place};
use crate::wal::control::Control;
use crate::wal::header::Header;
use crate::wal::segment::segment_name;
use crate::wal::state::LogState;
use crate::wal::*;
use raft::{HardState, Index, LogId, MemberId, Persist, Term};

/// A log of three segments, closed in good order, and what it says.
fn closed_log() -> (SimDisk, Remembered, Vec<raft::Entry>) {
    let disk = SimDisk::new();
    let mut bench = Bench::new(&disk).unwrap();
    let vote = HardState { term: Term(1), vote: Some(MemberId(7)) };
    bench.persist(Persist { hard_state: Some(vote), ..append(vec![membership(1, 1)]) }).unwrap();
    for _ in 0..11 {
        bench.append(2, 1100).unwrap();
        bench.wal.look_after().unwrap();
    }
    bench.persist(Persist { truncate_from: Some(Index(22)), ..append(vec![entry(22, 2, 9)]) }).unwrap();
    let bench = bench.restart();
    bench.wal.close().unwrap();
    let found = open(&disk).unwrap();
    let entries = read_all(&found);
    (disk, found.remembered, entries)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let names = crate::disk::Disk::list(disk).unwrap();
    names.into_iter().filter(|name| name.ends_with(".wal")).collect()
}

#[test]
fn every_byte_that_changes_is_noticed_or_changes_nothing() {
    let (disk, expected, entries) = closed_log();
    let segments = segments(&disk);
    assert!(segments.len() >= 3, "{segments:?}");
    let (mut noticed, mut harmless) = (0, 0);
    for name in &segments {
        let bytes = disk.contents(name).unwrap();
        for at in 0..bytes.len() as u64 {
            let mask = 1 << (at % 8);
            disk.flip(name, at, mask);
            match open(&disk) {
                // A segment's bytes that no batch covers, and padding.
                Ok(found) => {
                    assert_eq!(
                        Remembered { recent: Vec::new(), ..found.remembered.clone() },
                        Remembered { recent: Vec::new(), ..expected.clone() },
                        "{name} +{at}"
                    );
                    same(&read_all(&found), &entries);
                    harmless += 1;
                }
                Err(error) => {
                    named(&error, name);
                    noticed += 1;
                }
            }
            disk.flip(name, at, mask);
        }
    }
    assert!(noticed > 20_000 && harmless > 1000, "noticed {noticed}, harmless {harmless}");
}

#[test]
fn a_segment_that_has_lost_its_end_is_noticed() {
    let (disk, ..) = closed_log();
    let name = segments(&disk).pop().unwrap();
    let whole = disk.contents(&name).unwrap().len() as u64;
    for left in (0..whole).step_by(512) {
        let shorter = disk.crash(Fate::Kept);
        let file = crate::disk::Disk::open(&shorter, &name).unwrap();
        file.set_size(left).unwrap();
        file.sync().unwrap();
        let error = open(&shorter).err().unwrap_or_else(|| panic!("opened with {left} of {whole} bytes"));
        named(&error, &name);
        assert!(error.is_damage(), "{error}");
    }
}

/// Equal in all that counts; the padding of a record may differ.
fn same(found: &[raft::Entry], expected: &[raft::Entry]) {
    assert_eq!(found.len(), expected.len());
    for (one, other) in found.iter().zip(expected) {
        assert_eq!((one.id(), one.kind(), one.payload()), (other.id(), other.kind(), other.payload()));
    }
}

/// The error says in which file.
fn named(error: &OpenError, name: &str) {
    match error {
        OpenError::Corrupt { file, .. } | OpenError::Version { file, .. } => assert_eq!(file, name, "{error}"),
        error => panic!("{name}: {error}"),
    }
}

#[test]
fn a_sector_that_is_lost_before_a_sound_batch_stops_the_member() {
    let (disk, ..) = closed_log();
    let name = &segments(&disk)[2];
    let file = crate::disk::Disk::open(&disk, name).unwrap();
    file.write_at(4096, &[std::io::IoSlice::new(&[0; 512])]).unwrap();
    let error = open(&disk).err().expect("the segment's first batch is gone, others follow");
    assert!(error.to_string().contains("0000000000000003.wal is corrupt at offset 4096, after entry"), "{error}");
}

#[test]
fn a_file_that_is_cut_short_before_its_end_stops_the_member() {
    let (disk, ..) = closed_log();
    let name = &segments(&disk)[0];
    crate::disk::Disk::open(&disk, name).unwrap().set_size(8192).unwrap();
    named(&open(&disk).err().expect("batches are gone"), name);
}

#[test]
fn a_missing_segment_stops_the_member() {
    for missing in [0, 1] {
        let (disk, ..) = closed_log();
        crate::disk::Disk::remove(&disk, &segments(&disk)[missing]).unwrap();
        let error = open(&disk).err().expect("a segment is gone");
        let expected = missing as u64 + 1;
        assert!(matches!(error, OpenError::MissingSegment { missing, .. } if missing == expected), "{error}");
    }
}

/// A log of one segment that is sound, checksums and all, and says this.
fn log_that_says(controls: &[Control]) -> SimDisk {
    let (sequence, salt) = (1, 5);
    let (mut bytes, previous) =
        Header { identity: IDENTITY, sequence, salt, base: LogId::ZERO, previous_end: 0, previous_chain: 0, length: 0 }
            .encode();
    let mut batch = BatchWriter::default();
    batch.begin(Place { salt, offset: bytes.len() as u64, previous });
    controls.iter().for_each(|control| batch.control(control));
    batch.seal();
    batch.parts().iter().for_each(|part| bytes.extend_from_slice(part));
    let disk = SimDisk::new();
    let file = crate::disk::Disk::create(&disk, &segment_name(sequence)).unwrap();
    file.write_at(0, &[std::io::IoSlice::new(&bytes)]).unwrap();
    file.sync().unwrap();
    disk
}

#[test]
fn a_log_that_begins_after_its_last_segment_stops_the_member() {
    let checkpoint = |first_segment| Control::Checkpoint { first_segment, state: LogState::default() };
    assert!(open(&log_that_says(&[checkpoint(1)])).is_ok());
    for first in [2, 9, u64::MAX] {
        let later = [
            vec![checkpoint(first)],
            vec![checkpoint(1), Control::Start { start: LogId::ZERO, first_segment: first }],
            vec![checkpoint(1), Control::Reset { start: LogId::new(1, 5), first_segment: first, membership: None }],
        ];
        for controls in later {
            let error = open(&log_that_says(&controls)).err().expect("where the log begins is no segment");
            assert!(matches!(error, OpenError::MissingSegment { missing: 2, .. }), "{controls:?}: {error}");
        }
    }
}

#[test]
fn a_log_that_says_what_no_log_can_be_like_stops_the_member() {
    let state = LogState { last: LogId::new(1, u64::MAX), ..LogState::default() };
    let error = open(&log_that_says(&[Control::Checkpoint { first_segment: 1, state }])).err().unwrap();
    assert!(matches!(error, OpenError::Corrupt { problem: Problem::Contradiction, .. }), "{error}");
}

#[test]
fn a_wiped_disk_is_not_taken_for_a_new_one() {
    let refused =
        Wal::open(std::sync::Arc::new(SimDisk::new()), IDENTITY, &Options { create_if_missing: false, ..options() });
    assert!(matches!(refused, Err(OpenError::Missing)));
}

#[test]
fn the_log_of_another_cluster_member_or_disk_is_refused() {
    let disk = SimDisk::new();
    Bench::new(&disk).unwrap();
    let others = [
        Identity { cluster: 1, ..IDENTITY },
        Identity { member: MemberId(8), ..IDENTITY },
        Identity { storage: [8; 16], ..IDENTITY },
    ];
    for other in others {
        let refused = Wal::open(std::sync::Arc::new(disk.clone()), other, &options());
        assert!(matches!(refused, Err(OpenError::Foreign { found, .. }) if found == IDENTITY));
    }
}

#[test]
fn a_disk_that_does_not_read_stops_the_member() {
    let (disk, ..) = closed_log();
    for name in segments(&disk) {
        disk.set_unreadable(Some(&name));
        assert!(matches!(open(&disk), Err(OpenError::Io { file, .. }) if file == name));
    }
    disk.set_unreadable(None);
    assert_eq!(open(&disk).unwrap().remembered.last, LogId::new(2, 22));
}

#[test]
fn nothing_is_changed_by_an_open_that_refuses() {
    let (disk, ..) = closed_log();
    disk.flip(&segments(&disk)[1], 5000, 1);
    let before = disk.counts().writes;
    open(&disk).err().expect("corrupt");
    assert_eq!(disk.counts().writes, before);
}

#[test]
fn a_cold_read_notices_what_changed_under_it() {
    let (disk, ..) = closed_log();
    let found = open(&disk).unwrap();
    let reader = found.wal.reader();
    disk.flip(&segments(&disk)[0], 4096 + 1024, 0x10);
    let error = reader.read(Index(1), Index(22), u64::MAX).unwrap_err();
    assert!(matches!(error, ReadError::Unreadable { segment: 1, .. }), "{error}");
    disk.set_unreadable(Some(&segments(&disk)[0]));
    assert!(matches!(reader.read(Index(1), Index(1), 1), Err(ReadError::Unreadable { .. })));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]

    /// Lengths and indexes in etcd's log let it panic (TOB-ETCD-006, TOB-ETCD-007, CVE-2020-15106, CVE-2020-15112).
    #[test]
    fn whatever_bytes_stand_there_no_entry_is_made_up(nth in 0..3usize, at in 0..16_384u64, junk: Vec<u8>) {
        let (disk, _, entries) = closed_log();
        let file = crate::disk::Disk::open(&disk, &segments(&disk)[nth]).unwrap();
        file.write_at(at, &[std::io::IoSlice::new(&junk)]).unwrap();
        for line in dump(&disk).unwrap() {
            proptest::prop_assert!(!line.is_empty());
        }
        if let Ok(found) = open(&disk) {
            let found = read_all(&found);
            same(&found, &entries[..found.len()]);
        }
    }
}
