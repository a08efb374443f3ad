use super::*;
use crate::disk::SimDisk;
use crate::disk::sim::Fate;
use model::Model;
use model::run::{Reopen, Subject, run};
use model::sample::Sampler;
use mvcc::{Apply, Command, KeyRange, RangeRequest, Revision, Store};

#[path = "../../mvcc/tests/model/mod.rs"]
mod model;

fn open(disk: &SimDisk) -> Arc<RedbBackend> {
    Arc::new(RedbBackend::open(disk, Options { cache_bytes: 1 << 20 }).expect("a disk without faults"))
}

/// Each crash loses, keeps or mangles by chance what was not synced.
fn crashing(mut disk: SimDisk, mut seed: u64) -> Reopen {
    Box::new(move |old| {
        seed += 1;
        let image = disk.crash(Fate::Chance(seed));
        drop(old);
        disk = image;
        open(&disk)
    })
}

fn subject(seed: u64, flushes: u64, crashes: u64) -> Subject {
    let disk = SimDisk::new();
    let backend = open(&disk);
    Subject::new(backend, crashing(disk, seed << 32), flushes, crashes)
}

#[test]
fn random_histories_agree_with_the_model_through_crashes_of_the_disk() {
    for seed in 100..106 {
        let memory = Subject::new(Arc::new(mvcc::MemoryBackend::new()), Box::new(|backend| backend), 15, 1);
        run(seed, 200, 0, vec![subject(seed, 12, 3), memory]);
    }
}

/// Commands, and the model after each of them.
fn history(commands: u64) -> Vec<(Command, Model)> {
    let (mut model, mut sampler) = (Model::new(), Sampler::new(4));
    let mut history = Vec::new();
    for index in 1..=commands {
        let command = sampler.command(index);
        let _ = model.apply(&command);
        sampler.revision = model.revision;
        history.push((command, model.clone()));
    }
    history
}

/// Applies the history with a flush after every tenth command, until the disk stops.
fn flush_until_power_is_lost(disk: &SimDisk, history: &[(Command, Model)]) -> Result<u64, Fault> {
    let store = Store::open(Arc::new(RedbBackend::open(disk, Options { cache_bytes: 1 << 20 })?))?;
    for (index, (command, _)) in (1..).zip(history) {
        store.apply(&[Apply { index, command, answered: true }])?;
        if index % 10 == 0 {
            store.flush(5)?;
        }
    }
    Ok(store.durable())
}

#[test]
fn whatever_moment_the_power_fails_the_applied_index_and_the_data_belong_together() {
    let history = history(40);
    let everything = RangeRequest { range: KeyRange::all(), ..RangeRequest::default() };
    let whole = SimDisk::new();
    assert_eq!(flush_until_power_is_lost(&whole, &history).expect("no faults"), 40);
    let mut found = std::collections::BTreeSet::new();
    for effects in 0..whole.counts().effects {
        let disk = SimDisk::new();
        disk.lose_power_after(effects);
        // Only the effects of closing the file come after the last flush.
        let finished = flush_until_power_is_lost(&disk, &history).ok();
        let store = Store::open(open(&disk.crash(Fate::Chance(effects)))).expect("a crash leaves a sound file");
        let applied = store.applied();
        assert!(finished.is_none_or(|durable| durable == applied), "after {effects} effects");
        let model = match applied {
            0 => Model::new(),
            index => history[index as usize - 1].1.clone(),
        };
        assert_eq!(store.revision(), Revision(model.revision), "after {effects} effects, applied {applied}");
        let seen = store.range(&everything).expect("readable");
        assert_eq!(seen, model.range(&everything).expect("readable"), "after {effects} effects, applied {applied}");
        found.insert(applied);
    }
    assert_eq!(found, [0, 10, 20, 30, 40].into(), "crashes were tried around every commit");
}

#[test]
fn a_commit_whose_sync_fails_is_a_fault() {
    let disk = SimDisk::new();
    let store = Store::open(open(&disk)).expect("new");
    store.advance(1);
    disk.fail_sync(disk.counts().syncs + 1);
    assert!(matches!(store.flush(0), Err(Fault::Storage(_))));
}

/// What is asked of a store that was opened again, or why it is not served: the applied index and every key.
fn served(disk: &SimDisk) -> Result<(u64, mvcc::RangeResult), String> {
    let backend = RedbBackend::open(disk, Options { cache_bytes: 1 << 20 }).map_err(|fault| fault.to_string())?;
    let store = Store::open(Arc::new(backend)).map_err(|fault| fault.to_string())?;
    let everything = RangeRequest { range: KeyRange::all(), ..RangeRequest::default() };
    let seen = store.range(&everything).map_err(|error| error.to_string())?;
    store.hash_kv(Revision(0)).map_err(|error| error.to_string())?;
    Ok((store.applied(), seen))
}

/// Opens copies of a file with one bit the wrong way round, each in a byte that is in use, or was.
fn flip_bits(flips: u64) -> (u64, u64) {
    let history = history(120);
    let disk = SimDisk::new();
    flush_until_power_is_lost(&disk, &history).expect("no faults");
    let expected = served(&disk).expect("sound");
    let bytes = disk.contents(STATE_FILE).expect("it is there");
    let used: Vec<u64> = (0..).zip(&bytes).filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    let (mut noticed, mut harmless) = (0, 0);
    let mut dice: u64 = 1;
    for flip in 0..flips {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = used[usize::try_from(dice >> 33).expect("31 bits") % used.len()];
        let mask = 1 << (flip % 8);
        let copy = disk.crash(Fate::Kept);
        assert!(copy.flip(STATE_FILE, at, mask));
        // A database that meets what cannot be may also panic: the member ends, and serves nothing.
        match std::panic::catch_unwind(|| served(&copy)) {
            Ok(Ok(found)) => {
                assert_eq!(found, expected, "a bit of the byte at {at} was flipped");
                harmless += 1;
            }
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
    }
    (noticed, harmless)
}

#[test]
fn a_bit_that_has_turned_is_noticed_or_changes_nothing() {
    let (noticed, harmless) = flip_bits(400);
    println!("noticed {noticed}, harmless {harmless}, wrong answers 0");
    assert!(noticed > 20, "noticed {noticed}, harmless {harmless}");
}

#[test]
fn a_row_that_rots_under_an_open_database_is_not_served() {
    let row = [b"value".as_slice(), &checksum(b"key", b"value")].concat();
    assert_eq!(unsealed(b"key", &row).expect("as it was written"), b"value");
    for bit in 0..row.len() * 8 {
        let mut rotten = row.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(unsealed(b"key", &rotten), Err(Fault::Damaged(_))), "bit {bit}");
    }
    assert!(unsealed(b"kez", &row).is_err());
    assert!(unsealed(b"key", b"abc").is_err());
}
