//! Answers in one short form.

use mvcc::{Done, Event, EventKind, KeyValue, OpReply, Outcome, RangeResult, ReadError, Reply, TxnReply};

pub(crate) fn kv(kv: &KeyValue) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\\0");
    let value = if kv.value.is_empty() { "\"\"".to_owned() } else { text(&kv.value) };
    format!("{}={value} c{} m{} v{}", text(&kv.key), kv.create_revision.0, kv.mod_revision.0, kv.version)
}

pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(Done { revision, reply }) => format!("{revision} {}", reply_text(reply)),
    }
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Noop => "nothing".into(),
        Reply::Put(put) => put_text(put.prev.as_ref()),
        Reply::DeleteRange(delete) => delete_text(delete.deleted, &delete.prev),
        Reply::Txn(reply) => txn(reply),
        Reply::Compact => "compacted".into(),
        Reply::Alarm(alarms) => format!("{alarms:?}"),
        Reply::PublishMember => "published".into(),
        Reply::LeftOut => "left out".into(),
        Reply::Staging(changed) => format!("staging {}", if *changed { "changed" } else { "stays" }),
    }
}

fn put_text(prev: Option<&KeyValue>) -> String {
    prev.map_or("put".into(), |prev| format!("put, was {}", kv(prev)))
}

fn delete_text(deleted: i64, prev: &[KeyValue]) -> String {
    let prev: Vec<_> = prev.iter().map(kv).collect();
    if prev.is_empty() { format!("deleted {deleted}") } else { format!("deleted {deleted}, was {}", prev.join(", ")) }
}

pub(crate) fn txn(reply: &TxnReply) -> String {
    let ops = reply.replies.iter().map(|op| match op {
        OpReply::Range(range) => result(range),
        OpReply::Put(put) => format!("{} {}", put.revision, put_text(put.prev.as_ref())),
        OpReply::DeleteRange(delete) => format!("{} {}", delete.revision, delete_text(delete.deleted, &delete.prev)),
        OpReply::Txn(nested) => format!("({} {})", nested.revision, txn(nested)),
    });
    let ops: Vec<_> = ops.collect();
    format!("{} [{}]", if reply.succeeded { "then" } else { "else" }, ops.join("; "))
}

pub(crate) fn result(result: &RangeResult) -> String {
    let kvs: Vec<_> = result.kvs.iter().map(kv).collect();
    let more = if result.more { " more" } else { "" };
    format!("{} count={}{more} [{}]", result.revision, result.count, kvs.join(", "))
}

pub(crate) fn range(answer: Result<RangeResult, ReadError>) -> String {
    answer.map_or_else(|error| format!("refused: {error}"), |found| result(&found))
}

pub(crate) fn event(event: &Event) -> String {
    let kind = if event.kind == EventKind::Put { "put" } else { "delete" };
    let prev = event.prev.as_ref().map(|prev| format!(", was {}", kv(prev))).unwrap_or_default();
    format!("{kind} {}{prev}", kv(&event.kv))
}
