//! The same log on the operating system's disk.

use super::bench::*;
use crate::disk::RealDisk;
use crate::wal::*;
use raft::{Index, LogId};
use std::sync::Arc;

fn open_real(path: &std::path::Path) -> Recovered {
    Wal::open(Arc::new(RealDisk::open(path).unwrap()), IDENTITY, &options()).unwrap()
}

#[test]
fn a_log_on_a_real_disk_is_written_compacted_closed_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("wal");
    let mut wal = open_real(&path).wal;
    let mut heard = Heard::default();
    for round in 0..30 {
        let entries = (1..=3).map(|n| entry(round * 3 + n, 1, if n == 2 { 6000 } else { 300 })).collect();
        let persist = raft::Persist { io: raft::IoId(round + 1), ..append(entries) };
        wal.perform([WalRequest::Persist(persist)], &mut heard).unwrap();
        wal.look_after().unwrap();
    }
    wal.perform([WalRequest::Compact { through: Index(60) }], &mut heard).unwrap();
    wal.look_after().unwrap();
    wal.close().unwrap();
    let found = open_real(&path);
    assert!(found.report.closed);
    assert_eq!(found.remembered.last, LogId::new(1, 90));
    assert!(found.remembered.start.index > Index(50), "{}", found.remembered.start);
    let entries = read_all(&found);
    assert!(
        entries
            .iter()
            .all(|found| *found == entry(found.index().0, 1, if found.index().0 % 3 == 2 { 6000 } else { 300 }))
    );
    assert_eq!(entries.len() as u64, 90 - found.remembered.start.index.0);
    let lines = dump(&RealDisk::read_only(&path)).unwrap().count();
    assert!(lines > 30, "a log in use can be looked at: {lines} lines");
}
