use super::*;
use crate::command::{Body, DeleteRange, Put};
use crate::memory::MemoryBackend;
use crate::outcome::{Done, Reply};
use crate::types::{KeyRange, RequestId};

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
