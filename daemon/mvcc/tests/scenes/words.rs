//! The words of scenes, one command a line; `#` begins a remark.
//!
//! ```text
//!   put KEY VALUE [prev] [lease=N] [ignore_value] [ignore_lease]
//!   del KEY [END] [prev]
//!   get KEY [END] [rev=N] [limit=N] [keys] [count] [sort=TARGET:asc|desc|none] [min_mod=N] [max_mod=N]
//!           [min_create=N] [max_create=N]
//!   txn if COMPARE... then OP... else OP...      read OP as a line above, in { }; nested: { txn ... }
//!   compact REV      alarm nospace|corrupt on|off      events REV [prev]      flush      hash REV      status
//!   COMPARE          KEY[..END].version|create|mod|value|lease =|!=|<|> OPERAND
//! ```
//!
//! `\0` in a key stands for the zero byte, `""` for nothing.

use super::show;
use bytes::Bytes;
use mvcc::{
    Alarm, AlarmAction, AlarmChange, AlarmKind, Apply, Body, Command, Compare, DeleteRange, KeyRange, MemoryBackend,
    Op, Put, RangeRequest, Relation, RequestId, Revision, Sort, SortOrder, SortTarget, Store, Target, Txn,
};
use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

type Words = Peekable<IntoIter<String>>;

pub(crate) fn play(script: &str) -> String {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("new");
    let lines = script.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| format!("{}\n", answer(&store, line))).collect()
}

fn answer(store: &Store, line: &str) -> String {
    let line = line.replace('{', " { ").replace('}', " } ");
    let mut words = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter().peekable();
    match word(&mut words).as_str() {
        "get" => show::range(store.range(&range(&mut words))),
        "put" => apply(store, Body::Put(put(&mut words))),
        "del" => apply(store, Body::DeleteRange(delete(&mut words))),
        "compact" => apply(store, Body::Compact { revision: Revision(number(&word(&mut words))) }),
        "alarm" => apply(store, Body::Alarm(alarm(&mut words))),
        "txn" => {
            let txn = txn(&mut words);
            if txn.is_read_only() {
                let local = store.read_txn(&txn, &mut |_| true).map_or_else(
                    |error| format!("refused: {error}"),
                    |reply| format!("{} {}", reply.revision, show::txn(&reply)),
                );
                let replicated = apply(store, Body::Txn(txn));
                assert_eq!(local, replicated, "a read-only transaction reads the same on both ways");
                return local;
            }
            apply(store, Body::Txn(txn))
        }
        "events" => {
            let from = Revision(number(&word(&mut words)));
            let found = store.events(from, usize::MAX, words.next().is_some(), |_| true);
            found.map_or_else(
                |error| format!("refused: {error}"),
                |found| {
                    found
                        .events
                        .iter()
                        .map(show::event)
                        .chain([format!("next {}", found.next)])
                        .collect::<Vec<_>>()
                        .join("; ")
                },
            )
        }
        "flush" => {
            store.flush(usize::MAX).expect("no fault");
            store.flush(usize::MAX).expect("no fault"); // sweeps what the first one wrote
            "flushed".into()
        }
        "hash" => match store.hash_kv(Revision(number(&word(&mut words)))) {
            Ok(hash) => format!("{:08x} at {} since {}", hash.hash, hash.revision, hash.compacted),
            Err(error) => format!("refused: {error}"),
        },
        "status" => {
            format!("{} compacted {} keys {} {:?}", store.revision(), store.compacted(), store.keys(), store.alarms())
        }
        unknown => panic!("no such word: {unknown}"),
    }
}

fn apply(store: &Store, body: Body) -> String {
    let command = Command { id: RequestId::default(), body };
    let apply = Apply { index: store.applied() + 1, command: &command, answered: true };
    show::outcome(&store.apply(&[apply]).expect("no fault")[0])
}

fn word(words: &mut Words) -> String {
    words.next().expect("the line goes on")
}

fn bytes(text: &str) -> Bytes {
    let text = if text == "\"\"" { "" } else { text };
    Bytes::from(text.replace("\\0", "\0"))
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

/// Takes the words that follow up to the end of the operation.
fn options(words: &mut Words) -> Vec<String> {
    let mut options = Vec::new();
    while let Some(option) = words.next_if(|word| word != "}") {
        options.push(option);
    }
    options
}

fn put(words: &mut Words) -> Put {
    let (key, value) = (bytes(&word(words)), bytes(&word(words)));
    let mut put = Put { key, value, ..Put::default() };
    for option in options(words) {
        match option.split_once('=') {
            Some(("lease", id)) => put.lease = number(id),
            None if option == "prev" => put.prev_kv = true,
            None if option == "ignore_value" => put.ignore_value = true,
            None if option == "ignore_lease" => put.ignore_lease = true,
            _ => panic!("no such option: {option}"),
        }
    }
    put
}

fn key_range(words: &mut Words) -> KeyRange {
    let key = bytes(&word(words));
    let is_end = |word: &String| !word.contains('=') && !["prev", "keys", "count", "}"].contains(&word.as_str());
    let end = words.next_if(is_end).map(|end| bytes(&end)).unwrap_or_default();
    KeyRange { key, end }
}

fn delete(words: &mut Words) -> DeleteRange {
    DeleteRange { range: key_range(words), prev_kv: options(words) == ["prev"] }
}

fn range(words: &mut Words) -> RangeRequest {
    let mut request = RangeRequest { range: key_range(words), ..RangeRequest::default() };
    for option in options(words) {
        match option.split_once('=').unwrap_or((&option, "")) {
            ("rev", rev) => request.revision = Revision(number(rev)),
            ("limit", limit) => request.limit = number(limit),
            ("keys", _) => request.keys_only = true,
            ("count", _) => request.count_only = true,
            ("sort", by) => request.sort = sort(by),
            ("min_mod", rev) => request.min_mod_revision = Revision(number(rev)),
            ("max_mod", rev) => request.max_mod_revision = Revision(number(rev)),
            ("min_create", rev) => request.min_create_revision = Revision(number(rev)),
            ("max_create", rev) => request.max_create_revision = Revision(number(rev)),
            _ => panic!("no such option: {option}"),
        }
    }
    request
}

fn sort(by: &str) -> Sort {
    let (target, order) = by.split_once(':').expect("target:order");
    let target = match target {
        "key" => SortTarget::Key,
        "version" => SortTarget::Version,
        "create" => SortTarget::Create,
        "mod" => SortTarget::Mod,
        "value" => SortTarget::Value,
        _ => panic!("no such target: {target}"),
    };
    let order = match order {
        "none" => SortOrder::None,
        "asc" => SortOrder::Ascend,
        "desc" => SortOrder::Descend,
        _ => panic!("no such order: {order}"),
    };
    Sort { order, target }
}

fn alarm(words: &mut Words) -> AlarmChange {
    let kind = if word(words) == "nospace" { AlarmKind::NoSpace } else { AlarmKind::Corrupt };
    let action = if word(words) == "on" { AlarmAction::Activate } else { AlarmAction::Deactivate };
    AlarmChange { action, alarm: Alarm { kind, member: 1 } }
}

fn txn(words: &mut Words) -> Txn {
    let mut txn = Txn::default();
    assert_eq!(word(words), "if");
    while let Some(what) = words.next_if(|word| word != "then") {
        let (relation, operand) = (word(words), word(words));
        txn.compares.push(compare(&what, &relation, &operand));
    }
    assert_eq!(word(words), "then");
    txn.success = ops(words);
    assert_eq!(word(words), "else");
    txn.failure = ops(words);
    txn
}

fn ops(words: &mut Words) -> Vec<Op> {
    let mut ops = Vec::new();
    while words.next_if_eq("{").is_some() {
        ops.push(match word(words).as_str() {
            "get" => Op::Range(range(words)),
            "put" => Op::Put(put(words)),
            "del" => Op::DeleteRange(delete(words)),
            "txn" => Op::Txn(txn(words)),
            unknown => panic!("no such operation: {unknown}"),
        });
        assert_eq!(word(words), "}");
    }
    ops
}

fn compare(what: &str, relation: &str, operand: &str) -> Compare {
    let (range, target) = what.rsplit_once('.').expect("KEY.target");
    let (key, end) = range.split_once("..").unwrap_or((range, "\"\""));
    let relation = match relation {
        "=" => Relation::Equal,
        "!=" => Relation::NotEqual,
        "<" => Relation::Less,
        ">" => Relation::Greater,
        _ => panic!("no such relation: {relation}"),
    };
    let target = match target {
        "version" => Target::Version(number(operand)),
        "create" => Target::Create(Revision(number(operand))),
        "mod" => Target::Mod(Revision(number(operand))),
        "lease" => Target::Lease(number(operand)),
        "value" => Target::Value(bytes(operand)),
        _ => panic!("no such target: {target}"),
    };
    Compare { range: KeyRange { key: bytes(key), end: bytes(end) }, relation, target }
}
