use super::*;
use std::io::IoSlice;

const FATES: u64 = 400;

fn fates() -> impl Iterator<Item = Fate> {
    [Fate::Kept, Fate::Lost].into_iter().chain((0..FATES).map(Fate::Chance))
}

fn synced_file(disk: &SimDisk, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create("file").unwrap();
    file.write_at(0, &[IoSlice::new(bytes)]).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file
}

#[test]
fn what_was_synced_survives_every_crash() {
    let disk = SimDisk::new();
    synced_file(&disk, &[7; 1300]);
    for fate in fates() {
        assert_eq!(disk.crash(fate).contents("file"), Some(vec![7; 1300]), "{fate:?}");
    }
}

#[test]
fn each_sector_that_was_not_synced_is_decided_on_its_own() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; 3 * SECTOR_BYTES]);
    file.write_at(SECTOR_BYTES as u64, &[IoSlice::new(&[2; 2 * SECTOR_BYTES])]).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for fate in fates() {
        let bytes = disk.crash(fate).contents("file").unwrap();
        assert!(bytes[..SECTOR_BYTES].iter().all(|&byte| byte == 1), "a sector that was not written changed");
        let is = |sector: usize, value: u8| sector_of_all(&bytes, sector, value);
        seen.insert((is(1, 1), is(1, 2), is(2, 1), is(2, 2)));
    }
    let kept_and_lost = [(false, true, true, false), (true, false, false, true)];
    assert!(kept_and_lost.iter().all(|case| seen.contains(case)), "{seen:?}");
    assert!(seen.contains(&(false, false, false, true)), "torn: {seen:?}");
}

fn sector_of_all(bytes: &[u8], sector: usize, value: u8) -> bool {
    file::sector_of(bytes, sector).iter().all(|&byte| byte == value)
}

#[test]
fn names_need_a_directory_sync() {
    let disk = SimDisk::new();
    disk.create("a").unwrap().sync().unwrap();
    disk.create("b").unwrap();
    let found: std::collections::BTreeSet<_> = fates().map(|fate| disk.crash(fate).list().unwrap()).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    disk.sync_dir().unwrap();
    disk.rename("a", "c").unwrap();
    let found: std::collections::BTreeSet<_> = fates().map(|fate| disk.crash(fate).list().unwrap()).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [["a", "b"], ["b", "c"]]);
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; SECTOR_BYTES]);
    file.write_at(0, &[IoSlice::new(&[2; SECTOR_BYTES])]).unwrap();
    disk.fail_sync(disk.counts().syncs + 1);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.contents("file").unwrap()[0], 2, "memory shows the new bytes");
    assert_eq!(disk.crash(Fate::Kept).contents("file").unwrap()[0], 1, "the medium does not have them");
    file.drop_cache().unwrap();
    assert_eq!(disk.contents("file").unwrap()[0], 1);
}

#[test]
fn a_full_disk_takes_no_growth_and_still_takes_what_fits() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; 1000]);
    disk.set_budget(Some(1000));
    let error = file.write_at(900, &[IoSlice::new(&[2; 200])]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 1000);
    file.write_at(0, &[IoSlice::new(&[3; 1000])]).unwrap();
    assert_eq!(file.set_size(1001).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn nothing_happens_after_the_power_is_gone() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; 10]);
    disk.lose_power_after(disk.counts().effects + 1);
    file.write_at(0, &[IoSlice::new(&[2; 10])]).unwrap();
    assert!(file.sync().is_err());
    assert!(file.write_at(0, &[IoSlice::new(&[3; 10])]).is_err());
    assert!(disk.create("other").is_err());
    assert_eq!(disk.crash(Fate::Kept).contents("file").unwrap(), [2; 10]);
    assert_eq!(disk.crash(Fate::Lost).contents("file").unwrap(), [1; 10]);
}

#[test]
fn faults_of_reading_and_of_the_medium_are_seen() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; 10]);
    assert!(disk.flip("file", 3, 0x80));
    assert!(!disk.flip("file", 10, 0x80));
    let mut byte = [0];
    file.read_at(3, &mut byte).unwrap();
    assert_eq!(byte, [0x81]);
    disk.set_unreadable(Some("file"));
    assert!(file.read_at(3, &mut byte).is_err());
}

#[test]
fn what_a_shrunken_file_lost_does_not_come_back_when_it_grows() {
    let disk = SimDisk::new();
    let file = synced_file(&disk, &[1; 3 * SECTOR_BYTES]);
    file.set_size(700).unwrap();
    file.set_size(2 * SECTOR_BYTES as u64).unwrap();
    file.sync().unwrap();
    let bytes = disk.crash(Fate::Lost).contents("file").unwrap();
    assert!(bytes[..700].iter().all(|&byte| byte == 1) && bytes[700..].iter().all(|&byte| byte == 0));
    assert_eq!(bytes.len(), 2 * SECTOR_BYTES);
}
