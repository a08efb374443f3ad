//! Carrying out one command. Every check comes before the first change, so a refused command changes nothing, and
//! every change is a row in the active buffer.

use crate::buffer::Row;
use crate::command::{AlarmAction, AlarmChange, Body, Command, DeleteRange, PublishedMember, Put};
use crate::error::{Fault, Refusal};
use crate::head::{alarm_number, put_member};
use crate::outcome::{DeleteRangeReply, Done, Outcome, PutReply, Reply};
use crate::range::{RangeRequest, RangeResult};
use crate::rank::Step;
use crate::read::Found;
use crate::row::{KeyMeta, Links, RowId, Version};
use crate::staging::{self, Staging};
use crate::state::{Keys, State};
use crate::txn::at;
use crate::types::{AlarmKind, KeyValue, Revision};
use bytes::Bytes;
use std::ops::ControlFlow;

/// What a row and its key's metadata take on disk besides key and value, about.
pub(crate) const STORED_OVERHEAD_BYTES: usize = 64;

/// What clients alone see of the outcomes of one batch: the keys that ranges found, and previous values. They are all in
/// memory until the last command of the batch is applied, and clients choose how large they are.
pub const ANSWERS_BYTES_MAX: usize = 64 << 20;

/// So much of it each command may have, however much the others have taken: a client that asks for little is not to
/// suffer from one that asks for all.
const ANSWER_BYTES_ALWAYS: usize = 64 << 10;

/// Carries out one command on the state.
pub(crate) struct Applier<'a> {
    pub(crate) state: &'a mut State,
    /// Whether a client waits for the outcome here. If not, what only it would see is left out.
    pub(crate) answered: bool,
    /// What the batch has left for answers.
    room: &'a mut usize,
    /// What the answer to this command takes of it.
    found_bytes: usize,
    /// The client does not get to see what there was no room for.
    left_out: bool,
    /// The log index of the command.
    index: u64,
    /// How many rows the command has written.
    rows: u32,
}

/// Why a command has no reply: a refusal is an outcome, a fault is the end.
pub(crate) type Refused<T> = Result<Result<T, Refusal>, Fault>;

impl<'a> Applier<'a> {
    pub(crate) fn new(state: &'a mut State, answered: bool, room: &'a mut usize) -> Self {
        Self { state, answered, room, found_bytes: 0, left_out: false, index: 0, rows: 0 }
    }

    pub(crate) fn apply(mut self, index: u64, command: &Command) -> Result<Outcome, Fault> {
        assert!(index > self.state.head.applied, "an entry is applied once");
        self.index = index;
        let reply = self.body(&command.body)?;
        *self.room = self.room.saturating_sub(self.found_bytes);
        let reply = if self.left_out { reply.map(|_| Reply::LeftOut) } else { reply };
        self.state.head.revision = self.revision();
        self.state.head.applied = index;
        self.state.head.fold(index);
        Ok(reply.map(|reply| Done { revision: Revision(self.state.head.revision), reply }))
    }

    fn body(&mut self, body: &Body) -> Refused<Reply> {
        if let Err(refusal) = self.check_alarms(body) {
            return Ok(Err(refusal));
        }
        match body {
            Body::Noop => Ok(Ok(Reply::Noop)),
            Body::Put(put) => match self.check_plain_put(put)? {
                Ok(()) => Ok(Ok(Reply::Put(self.put(put)?))),
                Err(refusal) => Ok(Err(refusal)),
            },
            Body::DeleteRange(delete) => Ok(Ok(Reply::DeleteRange(self.delete_range(delete)?))),
            Body::Txn(txn) => Ok(self.txn(txn)?.map(Reply::Txn)),
            Body::Compact { revision } => Ok(self.compact(*revision)),
            Body::Alarm(change) => Ok(Ok(self.alarm(*change))),
            Body::PublishMember(member) => Ok(Ok(self.publish(member))),
            Body::Staging(change) => Ok(Ok(self.staging(change))),
        }
    }

    /// A corrupt member stops every write of data; one without space stops what needs more of it.
    fn check_alarms(&self, body: &Body) -> Result<(), Refusal> {
        let raised = |kind| self.state.head.alarms.iter().any(|alarm| alarm.kind == kind);
        let (data, grows) = match body {
            Body::Put(_) => (true, true),
            Body::Txn(txn) => (true, txn.contains_put()),
            Body::DeleteRange(_) | Body::Compact { .. } => (true, false),
            Body::Noop | Body::Alarm(_) | Body::PublishMember(_) | Body::Staging(_) => (false, false),
        };
        match () {
            () if data && raised(AlarmKind::Corrupt) => Err(Refusal::Corrupt),
            () if grows && raised(AlarmKind::NoSpace) => Err(Refusal::NoSpace),
            () => Ok(()),
        }
    }

    /// A put of its own asks for the lease first, one in a transaction for the key.
    fn check_plain_put(&self, put: &Put) -> Refused<()> {
        if put.lease != 0 { Ok(Err(Refusal::LeaseNotFound)) } else { self.check_put(put) }
    }

    pub(crate) fn check_put(&self, put: &Put) -> Refused<()> {
        let needs_key = put.ignore_value || put.ignore_lease;
        if needs_key && !self.state.newest(&put.key)?.is_some_and(|meta| meta.is_live()) {
            return Ok(Err(Refusal::KeyNotFound));
        }
        Ok(if put.lease == 0 { Ok(()) } else { Err(Refusal::LeaseNotFound) })
    }

    pub(crate) fn put(&mut self, put: &Put) -> Result<PutReply, Fault> {
        let newest = self.state.newest(&put.key)?;
        let live = newest.filter(KeyMeta::is_live);
        let old_value = match live {
            Some(meta) if put.ignore_value || (put.prev_kv && self.answered) => Some(self.state.value(meta.id)?),
            _ => None,
        };
        let value = if put.ignore_value { old_value.clone().unwrap_or_default() } else { put.value.clone() };
        let lease = if put.ignore_lease { live.map_or(0, |meta| meta.version.lease) } else { put.lease };
        let prev = live.zip(old_value).filter(|_| put.prev_kv && self.answered);
        let prev = prev.filter(|(_, value)| self.has_room(put.key.len() + value.len()));
        let prev = prev.map(|(meta, value)| KeyValue { value, ..meta.key_only(put.key.clone()) });
        let id = self.next_id();
        let version = Version {
            create: live.map_or(id.main, |meta| meta.version.create),
            version: live.map_or(1, |meta| meta.version.version + 1),
            lease,
            tombstone: false,
            links: links_onward(newest.as_ref()),
        };
        self.write(newest.as_ref(), Row { id, version, key: put.key.clone(), value })?;
        Ok(PutReply { revision: Revision(self.revision()), prev })
    }

    pub(crate) fn delete_range(&mut self, delete: &DeleteRange) -> Result<DeleteRangeReply, Fault> {
        let doomed = match delete.range.is_one() {
            true => {
                let live = self.state.newest(&delete.range.key)?.filter(KeyMeta::is_live);
                live.map(|meta| (delete.range.key.clone(), meta)).into_iter().collect()
            }
            false => self.state.live(&Keys::of(&delete.range))?,
        };
        let mut prev = Vec::new();
        if delete.prev_kv && self.answered {
            for (key, meta) in &doomed {
                let value = self.state.value(meta.id)?;
                if !self.has_room(key.len() + value.len() + size_of::<KeyValue>()) {
                    break;
                }
                prev.push(KeyValue { value, ..meta.key_only(key.clone()) });
            }
        }
        for (key, meta) in &doomed {
            let version = Version { tombstone: true, links: meta.links_onward(), ..Version::default() };
            let row = Row { id: self.next_id(), version, key: key.clone(), value: Bytes::new() };
            self.write(Some(meta), row)?;
        }
        let deleted = i64::try_from(doomed.len()).expect("a collection in memory");
        Ok(DeleteRangeReply { revision: Revision(self.revision()), deleted, prev })
    }

    /// A range inside a transaction: of a revision of its own, or of now.
    pub(crate) fn inner_range(&mut self, request: &RangeRequest) -> Result<RangeResult, Fault> {
        let revision = self.revision();
        let unseen = RangeResult { revision: Revision(revision), ..RangeResult::default() };
        if !self.answered {
            return Ok(unseen);
        }
        let (before, mut found_bytes, room) = (self.found_bytes, 0, *self.room);
        let mut has_room = |found: Found| {
            found_bytes = found.memory_bytes;
            is_room(before + found_bytes, room)
        };
        let found = self.state.range(request, (revision, at(request, revision)), &mut has_room)?;
        self.found_bytes += found_bytes;
        Ok(found.unwrap_or_else(|| {
            self.leave_out();
            unseen
        }))
    }

    /// Takes room for more of the answer. Without, nothing more of it is looked up, and none of it is given.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.found_bytes += bytes;
        let has_room = is_room(self.found_bytes, *self.room);
        if !has_room {
            self.leave_out();
        }
        has_room
    }

    fn leave_out(&mut self) {
        (self.left_out, self.answered) = (true, false);
    }

    /// The store's revision as this command sees it: one more than before it once it has written.
    pub(crate) fn revision(&self) -> i64 {
        self.state.head.revision + i64::from(self.rows > 0)
    }

    fn next_id(&self) -> RowId {
        RowId { main: self.state.head.revision + 1, sub: self.rows }
    }

    fn write(&mut self, newest: Option<&KeyMeta>, row: Row) -> Result<(), Fault> {
        let stored = row.key.len() + row.value.len() + STORED_OVERHEAD_BYTES;
        let meta = KeyMeta {
            id: row.id,
            row_bytes: u32::try_from(stored).unwrap_or(u32::MAX),
            depth: newest.map_or(0, |newest| newest.depth + 1),
            version: row.version,
        };
        let step = match (newest, row.version.tombstone) {
            (None, _) => Some(Step::New),
            (Some(newest), false) => (!newest.is_live()).then_some(Step::Revived),
            (Some(newest), true) => newest.is_live().then_some(Step::Buried),
        };
        let key = row.key.clone();
        self.rows += 1;
        self.state.head.in_use += u64::from(meta.row_bytes);
        self.state.head.fold(row.view().fingerprint());
        self.state.active.push(row, meta);
        step.map_or(Ok(()), |step| self.state.rank(&key, step))
    }

    fn compact(&mut self, revision: Revision) -> Result<Reply, Refusal> {
        let head = &mut self.state.head;
        match revision {
            Revision(asked) if asked <= head.compacted => {
                Err(Refusal::Compacted { compacted: Revision(head.compacted) })
            }
            Revision(asked) if asked > head.revision => {
                Err(Refusal::FutureRevision { current: Revision(head.revision) })
            }
            Revision(asked) => {
                head.compacted = asked;
                head.fold(asked.cast_unsigned());
                Ok(Reply::Compact)
            }
        }
    }

    fn alarm(&mut self, change: AlarmChange) -> Reply {
        let head = &mut self.state.head;
        let told = match change.action {
            AlarmAction::Activate => {
                head.alarms.insert(change.alarm);
                true
            }
            AlarmAction::Deactivate => head.alarms.remove(&change.alarm),
        };
        head.fold(alarm_number(change.alarm.kind) << 1 | u64::from(change.action == AlarmAction::Activate));
        head.fold(change.alarm.member);
        Reply::Alarm(told.then_some(change.alarm).into_iter().collect())
    }

    fn publish(&mut self, member: &PublishedMember) -> Reply {
        let mut bytes = Vec::new();
        put_member(member, &mut bytes);
        self.state.head.fold(u64::from(crc32c::crc32c(&bytes)));
        self.state.head.members.insert(member.id, member.clone());
        Reply::PublishMember
    }

    fn staging(&mut self, change: &Staging) -> Reply {
        let mut bytes = Vec::new();
        staging::put_change(change, &mut bytes);
        self.state.head.fold(u64::from(crc32c::crc32c(&bytes)));
        Reply::Staging(staging::change(&mut self.state.head.staged, self.index, change))
    }
}

fn is_room(bytes: usize, room: usize) -> bool {
    bytes <= ANSWER_BYTES_ALWAYS || bytes <= room
}

fn links_onward(newest: Option<&KeyMeta>) -> Links {
    newest.map(KeyMeta::links_onward).unwrap_or_default()
}

impl State {
    /// Keeps the counts of keys, and their buckets small.
    pub(crate) fn rank(&mut self, key: &[u8], step: Step) -> Result<(), Fault> {
        if self.ranks.record(key, step) {
            self.cut_bucket(key)?;
        }
        if step == Step::Forgotten {
            self.ranks.tidy(key);
        }
        Ok(())
    }

    fn cut_bucket(&mut self, key: &[u8]) -> Result<(), Fault> {
        let (start, end) = self.ranks.bucket_of(key);
        let span = crate::backend::Span { start: &start, end: end.as_deref() };
        let mut entries = Vec::new();
        self.scan_keys(span, crate::backend::Direction::Forward, &mut |key, meta| {
            entries.push((key.to_bytes(), meta.is_live()));
            Ok(ControlFlow::Continue(()))
        })?;
        let half = entries.len() / 2;
        let live = entries[..half].iter().filter(|(_, live)| *live).count();
        let count = |number: usize| u32::try_from(number).expect("a bucket has some hundred entries");
        self.ranks.cut(&entries[half].0, count(half), count(live));
        Ok(())
    }
}
