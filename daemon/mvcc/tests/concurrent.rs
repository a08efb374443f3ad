//! Reads in many steps beside writes, flushes and compaction: each shows one state, whatever happens meanwhile.

use bytes::Bytes;
use mvcc::{
    Apply, Body, Command, Compare, KeyRange, MemoryBackend, Op, OpReply, Put, RangeRequest, RangeResult, ReadError,
    Refusal, Relation, RequestId, Revision, Sort, SortOrder, SortTarget, Store, Target, Txn,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// More than one read visits under one hold of the lock.
const KEYS: u64 = 900;
const TURNS: u64 = 120;
/// Compaction takes away what is being read or hashed, as it should; if every turn did, a slow machine would never see a
/// read end.
const COMPACT_EVERY: u64 = 6;
/// What the readers and the hasher must have managed beside the writes before these end.
const READS_MIN: u64 = 10;
/// They manage it beside the writes on an idle machine. On another one flushes fall behind, because the memory backend
/// copies its tables for a flush beside a read, and every read then meets a compaction: the rest is read when the
/// writes have ended and the flushes have caught up, which takes seconds; this many looks take a minute.
const LOOKS_MAX: u32 = 30_000;
/// Between two turns: an applier that never rests leaves readers no lock.
const REST: Duration = Duration::from_millis(2);

/// Ends the loops beside the writer also when it panics: a scope waits for its threads.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn command(body: Body) -> Command {
    Command { id: RequestId::default(), body }
}

fn key(number: u64) -> Bytes {
    format!("k{number:04}").into()
}

/// Every key gets the number of the turn, in one revision; every third key is gone in every other turn.
fn turn(turn: u64) -> Command {
    let value = Bytes::from(turn.to_string());
    let ops = (0..KEYS).map(|number| match (number.is_multiple_of(3), turn.is_multiple_of(2)) {
        (true, true) => Op::DeleteRange(mvcc::DeleteRange { range: KeyRange::one(key(number)), prev_kv: false }),
        _ => Op::Put(Put { key: key(number), value: value.clone(), ..Put::default() }),
    });
    command(Body::Txn(Txn { success: ops.collect(), ..Txn::default() }))
}

/// Every state has one value in all its keys, and as many keys as its turn says. `None` if it is gone.
fn check(store: &Store, request: &RangeRequest) -> Option<Bytes> {
    let found = match store.range(request) {
        Err(ReadError::Refused(Refusal::Compacted { .. })) => return None,
        found => found.expect("no fault"),
    };
    Some(check_found(&found))
}

fn check_found(found: &RangeResult) -> Bytes {
    let value = found.kvs[0].value.clone();
    assert!(found.kvs.iter().all(|kv| kv.value == value), "one state");
    let turn: u64 = std::str::from_utf8(&value).expect("digits").parse().expect("digits");
    let keys = if turn.is_multiple_of(2) { KEYS - KEYS / 3 } else { KEYS };
    assert_eq!((found.kvs.len() as u64, found.count), (keys, keys.cast_signed()), "turn {turn}");
    value
}

/// Its comparison of all keys and both its ranges tell of one state, whichever that is.
fn check_txn(store: &Store, value: &Bytes) -> Bytes {
    let compares =
        vec![Compare { range: KeyRange::all(), relation: Relation::Equal, target: Target::Value(value.clone()) }];
    let ops = [SortOrder::None, SortOrder::Descend].map(|order| {
        let sort = Sort { order, target: SortTarget::Key };
        Op::Range(RangeRequest { range: KeyRange::all(), sort, ..RangeRequest::default() })
    });
    let txn = Txn { compares, success: ops.to_vec(), failure: ops.to_vec() };
    let reply = store.read_txn(&txn, &mut |_| true).expect("no fault");
    let [OpReply::Range(forward), OpReply::Range(backward)] = &reply.replies[..] else { panic!("two ranges") };
    let found = check_found(forward);
    assert_eq!((check_found(backward), reply.succeeded), (found.clone(), found == *value));
    assert_eq!((forward.revision, backward.revision), (reply.revision, reply.revision));
    found
}

#[test]
fn a_long_read_shows_one_state_beside_writes_flushes_and_compaction() {
    let store = Arc::new(Store::open(Arc::new(MemoryBackend::new())).expect("new"));
    let apply = |index: u64, command: &Command| {
        store.apply(&[Apply { index, command, answered: false }]).expect("no fault").remove(0).expect("allowed");
    };
    apply(1, &turn(1));
    let (done, hashes) = (AtomicBool::new(false), AtomicU64::new(0));
    let [reads, txns] = [const { AtomicU64::new(0) }; 2];
    thread::scope(|scope| {
        for reader in 0..2 {
            let (store, done, reads) = (&store, &done, &reads);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let back = if reader == 0 { 0 } else { (store.revision().0 - 2).max(2) };
                    let order = if reader == 0 { SortOrder::Descend } else { SortOrder::None };
                    let request = RangeRequest {
                        range: KeyRange::all(),
                        revision: Revision(back),
                        sort: Sort { order, target: SortTarget::Key },
                        ..RangeRequest::default()
                    };
                    reads.fetch_add(u64::from(check(store, &request).is_some()), Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut value = Bytes::new();
            while !done.load(Ordering::Relaxed) {
                value = check_txn(&store, &value);
                txns.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.flush(500).expect("no fault");
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let first = store.hash_kv(Revision::ZERO).expect("readable");
                match store.hash_kv(first.revision) {
                    Ok(again) if again.compacted == first.compacted => assert_eq!(again.hash, first.hash),
                    _ => continue,
                }
                hashes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = EndOnDrop(&done);
        let worked = || {
            let read = [&reads, &txns].iter().all(|reads| reads.load(Ordering::Relaxed) > READS_MIN);
            read && hashes.load(Ordering::Relaxed) > 0
        };
        let mut index = 1;
        for number in 2..TURNS {
            index += 2;
            thread::sleep(REST);
            apply(index - 1, &turn(number));
            if !number.is_multiple_of(COMPACT_EVERY) {
                store.advance(index);
                continue;
            }
            let revision = Revision(store.revision().0 - 1);
            let compact = command(Body::Compact { revision });
            let refused = store.apply(&[Apply { index, command: &compact, answered: false }]).expect("no fault");
            assert!(refused[0].is_ok(), "{refused:?}");
        }
        for _ in (0..LOOKS_MAX).take_while(|_| !worked()) {
            thread::sleep(REST);
        }
        assert!(worked(), "{reads:?} reads, {txns:?} transactions, {hashes:?} hashes");
    });
}
