use super::*;
use crate::command::{Body, DeleteRange, Op, Put};
use crate::memory::MemoryBackend;
use crate::outcome::{Done, Reply};
use crate::range::{Sort, SortOrder, SortTarget};
use crate::read::Found;
use crate::types::{KeyRange, RequestId};
use bytes::Bytes;

fn put(key: &'static str, value: &'static str) -> Command {
    Command {
        id: RequestId::default(),
        body: Body::Put(Put { key: key.into(), value: value.into(), ..Put::default() }),
    }
}

fn delete(range: KeyRange) -> Command {
    Command { id: RequestId::default(), body: Body::DeleteRange(DeleteRange { range, prev_kv: true }) }
}

fn get(store: &Store, range: KeyRange) -> RangeResult {
    store.range(&RangeRequest { range, ..RangeRequest::default() }).expect("readable")
}

fn apply(store: &Store, command: &Command) -> Outcome {
    let apply = Apply { index: store.applied() + 1, command, answered: true };
    store.apply(&[apply]).expect("no fault").remove(0)
}

#[test]
fn what_waits_for_a_flush_is_in_use_and_counts_as_what_it_will_take() {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("empty");
    apply(&store, &put("a", "some value")).expect("put");
    let size = store.size();
    assert!(size.in_use >= 11 && size.allocated >= size.in_use, "{size:?}");
    store.flush(10).expect("no fault");
    assert_eq!(store.size().in_use, size.in_use);
}

#[test]
fn what_was_flushed_and_what_was_not_are_read_as_one_and_only_the_flushed_survives() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let store = Store::open(Arc::clone(&backend)).expect("empty");
    assert_eq!(store.revision(), Revision(1));
    assert!(matches!(apply(&store, &put("a", "1")), Ok(Done { revision: Revision(2), reply: Reply::Put(_) })));
    apply(&store, &put("b", "2")).expect("put");
    store.flush(10).expect("no fault");
    apply(&store, &put("b", "3")).expect("put");
    apply(&store, &put("c", "4")).expect("put");
    apply(&store, &delete(KeyRange::one("a"))).expect("delete");
    let all = get(&store, KeyRange::all());
    assert_eq!(
        all.kvs.iter().map(|kv| (&kv.key[..], &kv.value[..])).collect::<Vec<_>>(),
        [(&b"b"[..], &b"3"[..]), (b"c", b"4")]
    );
    assert_eq!((all.count, store.durable(), store.applied()), (2, 2, 5));

    let reopened = Store::open(backend).expect("sound");
    assert_eq!((reopened.applied(), reopened.revision()), (2, Revision(3)));
    assert_eq!(get(&reopened, KeyRange::all()).count, 2);
}

#[test]
fn whether_a_client_waits_changes_what_is_told_and_nothing_else() {
    let open = || Store::open(Arc::new(MemoryBackend::new())).expect("new");
    let (answered, unanswered, mut sampler) = (open(), open(), crate::sample::Sampler::new(3));
    for index in 1..=2_000 {
        let command = &sampler.command(index);
        let [told, untold] = [(&answered, true), (&unanswered, false)]
            .map(|(store, answered)| store.apply(&[Apply { index, command, answered }]).expect("no fault").remove(0));
        sampler.revision = answered.revision().0;
        assert_eq!(told.as_ref().map(|done| done.revision), untold.as_ref().map(|done| done.revision));
        assert_eq!(answered.state_hash(), unanswered.state_hash(), "{command:?}");
    }
}

#[test]
fn events_come_in_whole_revisions_and_go_on_where_they_stopped() {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("new");
    for key in ["a", "b", "c", "d"] {
        apply(&store, &put(key, "1")).expect("put");
    }
    apply(&store, &delete(KeyRange::span("a", "d"))).expect("delete");
    store.flush(10).expect("no fault");
    apply(&store, &put("e", "1")).expect("put");
    let mut from = Revision(2);
    let mut batches = Vec::new();
    while from <= store.revision() {
        let found = store.events(from, 2, false, |key| key != b"b").expect("readable");
        batches.push(found.events.iter().map(|event| (event.kv.mod_revision.0, event.kv.key[0])).collect::<Vec<_>>());
        assert!(found.next > from);
        from = found.next;
    }
    assert_eq!(batches, [vec![(2, b'a')], vec![(4, b'c'), (5, b'd')], vec![(6, b'a'), (6, b'c')], vec![(7, b'e')]]);
}

#[test]
fn history_is_found_through_thousands_of_versions() {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("new");
    for turn in 0..9_000 {
        let value = if turn % 500 == 499 { delete(KeyRange::one("k")) } else { put("k", "v") };
        apply(&store, &value).expect("allowed");
        if turn % 2_000 == 0 {
            store.flush(10).expect("no fault");
        }
    }
    for revision in (2..=9_001).rev().step_by(37) {
        let request =
            RangeRequest { range: KeyRange::one("k"), revision: Revision(revision), ..RangeRequest::default() };
        let found = store.range(&request).expect("readable").kvs;
        let deleted = (revision - 2) % 500 == 499;
        assert_eq!(found.first().map(|kv| kv.mod_revision.0), (!deleted).then_some(revision));
    }
}

/// A backend that does something else in the middle of a commit, as other threads may.
#[derive(Default)]
struct Interrupted {
    inner: MemoryBackend,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Backend for Interrupted {
    fn view(&self) -> Result<Arc<dyn crate::View>, Fault> {
        self.inner.view()
    }

    fn commit(&self, write: &mut dyn FnMut(&mut dyn crate::Change) -> Result<(), Fault>) -> Result<(), Fault> {
        let meanwhile = self.meanwhile.lock().expect("no holder panics").take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        self.inner.commit(write)
    }

    fn allocated(&self) -> u64 {
        self.inner.allocated()
    }
}

#[test]
fn a_key_that_lives_again_while_its_tombstone_is_swept_is_counted_once() {
    let backend = Arc::new(Interrupted::default());
    let store = Arc::new(Store::open(Arc::clone(&backend) as Arc<dyn Backend>).expect("new"));
    let compact = || {
        let compact = Body::Compact { revision: store.revision() };
        apply(&store, &Command { id: RequestId::default(), body: compact }).expect("allowed");
    };
    for turn in 0..3 {
        apply(&store, &put("k", "1")).expect("put");
        apply(&store, &delete(KeyRange::one("k"))).expect("delete");
        apply(&store, &put("other", "1")).expect("put");
        store.flush(100).expect("no fault");
        compact();
        let again = Arc::clone(&store);
        *backend.meanwhile.lock().expect("no holder panics") = Some(Box::new(move || {
            apply(&again, &put("k", "2")).expect("put");
            assert_eq!(get(&again, KeyRange::all()).count, 2);
        }));
        store.flush(100).expect("no fault");
        assert_eq!((store.keys(), get(&store, KeyRange::one("k")).count), (2, 1), "turn {turn}");
        apply(&store, &delete(KeyRange::one("k"))).expect("delete");
        apply(&store, &put("other", "2")).expect("put");
        compact();
        store.flush(100).expect("no fault");
        store.flush(100).expect("no fault");
        assert_eq!((store.keys(), get(&store, KeyRange::all()).count), (1, 1), "turn {turn}");
    }
}

#[test]
fn a_range_is_given_up_once_it_takes_more_than_it_may() {
    let store = Store::open(Arc::new(MemoryBackend::new())).unwrap();
    for number in 0..1_000_u64 {
        let key = format!("{number:03}");
        let body = Body::Put(Put { key: key.into(), value: vec![7; 97].into(), ..Put::default() });
        let command = Command { id: RequestId::default(), body };
        store.apply(&[Apply { index: number + 1, command: &command, answered: false }]).unwrap()[0].as_ref().unwrap();
    }
    let all = RangeRequest { range: KeyRange::all(), ..RangeRequest::default() };
    let within = |request: &RangeRequest, bytes_max| {
        let range = store.range_within(request, &mut |found| found.payload_bytes <= bytes_max);
        range.map(|range| range.kvs.len())
    };
    assert_eq!(within(&all, 100_000).unwrap(), 1_000);
    assert!(matches!(within(&all, 99_999), Err(ReadError::NoRoom)));
    let keys = RangeRequest { keys_only: true, ..all.clone() };
    assert_eq!(within(&keys, 3_000).unwrap(), 1_000);
    let few = RangeRequest { limit: 10, ..all.clone() };
    assert_eq!(within(&few, 1_100).unwrap(), 10);
    // Values that are looked up once it is known which are shown count as well.
    let sort = Sort { target: SortTarget::Version, order: SortOrder::Descend };
    let late = RangeRequest { limit: 10, sort, ..all.clone() };
    assert_eq!(within(&late, 3_000 + 970).unwrap(), 10);
    assert!(matches!(within(&late, 3_000 + 969), Err(ReadError::NoRoom)));
    // What holds them in memory is no part of what clients get, and is told as well.
    let mut most = Found::default();
    store.range_within(&keys, &mut |found| (most = found, true).1).unwrap();
    assert_eq!(most.payload_bytes, 3_000);
    assert!(most.memory_bytes > 50_000, "{most:?}");
    // All ranges of a transaction count together.
    let success = vec![Op::Range(all.clone()), Op::Range(all)];
    let txn = Txn { success, ..Txn::default() };
    let txn_within = |bytes_max| store.read_txn(&txn, &mut |found| found.payload_bytes <= bytes_max);
    assert_eq!(txn_within(200_000).unwrap().replies.len(), 2);
    assert!(matches!(txn_within(199_999), Err(ReadError::NoRoom)));
}

#[test]
fn answers_of_a_batch_are_left_out_once_they_take_more_than_they_may_and_small_ones_never() {
    let store = Store::open(Arc::new(MemoryBackend::new())).unwrap();
    let command = |body| Command { id: RequestId::default(), body };
    let value = Bytes::from(vec![7; 1 << 20]);
    for number in 0..20_u64 {
        let put = Put { key: format!("{number:02}").into(), value: value.clone(), ..Put::default() };
        let put = command(Body::Put(put));
        store.apply(&[Apply { index: number + 1, command: &put, answered: false }]).unwrap()[0].as_ref().unwrap();
    }
    let put = |key: &str| Op::Put(Put { key: Bytes::copy_from_slice(key.as_bytes()), ..Put::default() });
    let all = Op::Range(RangeRequest { range: KeyRange::all(), ..RangeRequest::default() });
    let one = Op::Range(RangeRequest { range: KeyRange::one("small"), ..RangeRequest::default() });
    let greedy = command(Body::Txn(Txn { success: vec![put("greedy"), all.clone()], ..Txn::default() }));
    let modest = command(Body::Txn(Txn { success: vec![put("small"), one], ..Txn::default() }));
    let too_greedy = command(Body::Txn(Txn {
        success: vec![put("x"), all.clone(), all.clone(), all.clone(), all],
        ..Txn::default()
    }));
    let doomed = command(Body::DeleteRange(DeleteRange { range: KeyRange::all(), prev_kv: true }));
    let batch = [&greedy, &greedy, &greedy, &greedy, &modest, &too_greedy, &doomed];
    let applies = |from: u64, answered| {
        (from..).zip(&batch).map(|(index, command)| Apply { index, command, answered }).collect::<Vec<_>>()
    };
    let outcomes = store.apply(&applies(21, true)).unwrap();
    let left_out: Vec<bool> = outcomes.iter().map(|done| done.as_ref().unwrap().reply == Reply::LeftOut).collect();
    assert_eq!(left_out, [false, false, false, true, false, true, true]);
    assert_eq!(store.range(&RangeRequest { range: KeyRange::all(), ..RangeRequest::default() }).unwrap().kvs.len(), 0);
    // The next batch has room again.
    let outcomes = store.apply(&applies(28, true)).unwrap();
    assert!(outcomes.iter().all(|done| done.as_ref().unwrap().reply != Reply::LeftOut));
}
