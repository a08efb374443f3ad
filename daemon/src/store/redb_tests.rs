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
