//! The rules of the store in their plainest form: every version of every key in a map, nothing ever forgotten,
//! every question answered by looking at everything. What the real store says must be what this says.

pub(crate) mod run;
pub(crate) mod sample;

use bytes::Bytes;
use mvcc::{
    Alarm, AlarmAction, AlarmKind, Body, Command, Compare, DeleteRange, DeleteRangeReply, Done, Event, EventKind,
    KeyRange, KeyValue, Op, OpReply, Outcome, PublishedMember, Put, PutReply, RangeRequest, RangeResult, Refusal,
    Relation, Reply, Revision, SortOrder, SortTarget, StagedSnapshot, Staging, Target, Txn, TxnReply,
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that ever happened.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Key to its versions, oldest first; `None` is a deletion.
    history: BTreeMap<Bytes, Vec<(i64, Option<KeyValue>)>>,
    /// Every change in the order of execution, with what was there before.
    changes: Vec<Event>,
    pub(crate) alarms: BTreeSet<Alarm>,
    pub(crate) members: BTreeMap<u64, PublishedMember>,
    pub(crate) staged: Vec<StagedSnapshot>,
    pub(crate) stager: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            history: BTreeMap::new(),
            changes: Vec::new(),
            alarms: BTreeSet::new(),
            members: BTreeMap::new(),
            staged: Vec::new(),
            stager: 0,
        }
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        self.check_alarms(&command.body)?;
        let before = self.changes.len();
        let mut next = self.clone();
        let reply = next.body(&command.body)?;
        *self = next;
        self.revision += i64::from(self.changes.len() > before);
        Ok(Done { revision: Revision(self.revision), reply })
    }

    fn check_alarms(&self, body: &Body) -> Result<(), Refusal> {
        let raised = |kind| self.alarms.iter().any(|alarm| alarm.kind == kind);
        let writes = matches!(body, Body::Put(_) | Body::DeleteRange(_) | Body::Txn(_) | Body::Compact { .. });
        if writes && raised(AlarmKind::Corrupt) {
            return Err(Refusal::Corrupt);
        }
        let puts = match body {
            Body::Put(_) => true,
            Body::Txn(txn) => contains_put(txn),
            _ => false,
        };
        if puts && raised(AlarmKind::NoSpace) { Err(Refusal::NoSpace) } else { Ok(()) }
    }

    fn body(&mut self, body: &Body) -> Result<Reply, Refusal> {
        let start = self.changes.len();
        Ok(match body {
            Body::Noop => Reply::Noop,
            Body::Put(put) => {
                if put.lease != 0 {
                    return Err(Refusal::LeaseNotFound);
                }
                self.check_put(put)?;
                Reply::Put(self.put(put, start))
            }
            Body::DeleteRange(delete) => Reply::DeleteRange(self.delete(delete, start)),
            Body::Txn(txn) => {
                let before = self.clone();
                before.check(txn, &before)?;
                let reply = self.txn(txn, &before, start);
                Reply::Txn(TxnReply { revision: Revision(self.now(start)), ..reply })
            }
            Body::Compact { revision } => {
                if revision.0 <= self.compacted {
                    return Err(Refusal::Compacted { compacted: Revision(self.compacted) });
                }
                if revision.0 > self.revision {
                    return Err(Refusal::FutureRevision { current: Revision(self.revision) });
                }
                self.compacted = revision.0;
                Reply::Compact
            }
            Body::Alarm(change) => {
                let told = match change.action {
                    AlarmAction::Activate => {
                        self.alarms.insert(change.alarm);
                        true
                    }
                    AlarmAction::Deactivate => self.alarms.remove(&change.alarm),
                };
                Reply::Alarm(if told { vec![change.alarm] } else { vec![] })
            }
            Body::PublishMember(member) => {
                self.members.insert(member.id, member.clone());
                Reply::PublishMember
            }
            Body::Staging(change) => Reply::Staging(self.staging(change)),
        })
    }

    fn staging(&mut self, change: &Staging) -> bool {
        let known = |id| self.staged.iter().position(|snapshot| snapshot.id == id);
        match *change {
            Staging::Delegated { member } => std::mem::replace(&mut self.stager, member) != member,
            Staging::Wanted => true,
            Staging::Staged(snapshot) => {
                let fresh = known(snapshot.id).is_none() && self.staged.len() < mvcc::STAGED_SNAPSHOTS_MAX;
                if fresh {
                    self.staged.push(snapshot);
                }
                fresh
            }
            Staging::Retired { id, at_ms } => {
                let kept = known(id).filter(|at| self.staged[*at].retired_ms.is_none());
                kept.map(|at| self.staged[at].retired_ms = Some(at_ms)).is_some()
            }
            Staging::Forgotten { id } => {
                let retired = known(id).filter(|at| self.staged[*at].retired_ms.is_some());
                retired.map(|at| self.staged.remove(at)).is_some()
            }
        }
    }

    /// The revision as a command sees it that began with `start` changes made.
    fn now(&self, start: usize) -> i64 {
        self.revision + i64::from(self.changes.len() > start)
    }

    fn write(&mut self, key: &Bytes, kv: Option<KeyValue>) {
        let main = self.revision + 1;
        let prev = self.at(key, main);
        let tombstone = KeyValue { key: key.clone(), mod_revision: Revision(main), ..KeyValue::default() };
        let kind = if kv.is_some() { EventKind::Put } else { EventKind::Delete };
        self.changes.push(Event { kind, kv: kv.clone().unwrap_or(tombstone), prev });
        self.history.entry(key.clone()).or_default().push((main, kv));
    }

    fn put(&mut self, put: &Put, start: usize) -> PutReply {
        let main = self.revision + 1;
        let old = self.at(&put.key, main);
        let kv = KeyValue {
            key: put.key.clone(),
            value: if put.ignore_value { old.clone().unwrap_or_default().value } else { put.value.clone() },
            create_revision: old.as_ref().map_or(Revision(main), |old| old.create_revision),
            mod_revision: Revision(main),
            version: old.as_ref().map_or(0, |old| old.version) + 1,
            lease: if put.ignore_lease { old.clone().unwrap_or_default().lease } else { put.lease },
        };
        self.write(&put.key, Some(kv));
        PutReply { revision: Revision(self.now(start)), prev: old.filter(|_| put.prev_kv) }
    }

    fn delete(&mut self, delete: &DeleteRange, start: usize) -> DeleteRangeReply {
        let doomed = self.live(&delete.range, self.revision + 1);
        doomed.iter().for_each(|kv| self.write(&kv.key, None));
        let deleted = doomed.len() as i64;
        DeleteRangeReply {
            revision: Revision(self.now(start)),
            deleted,
            prev: if delete.prev_kv { doomed } else { vec![] },
        }
    }

    fn check(&self, txn: &Txn, before: &Self) -> Result<(), Refusal> {
        for op in before.branch(txn).1 {
            match op {
                Op::Range(range) if range.revision.0 == 0 => {}
                Op::Range(range) if range.revision.0 > self.revision => {
                    return Err(Refusal::FutureRevision { current: Revision(self.revision) });
                }
                Op::Range(range) if range.revision.0 < self.compacted => {
                    return Err(Refusal::Compacted { compacted: Revision(self.compacted) });
                }
                Op::Range(_) | Op::DeleteRange(_) => {}
                Op::Put(put) => {
                    self.check_put(put)?;
                    if put.lease != 0 {
                        return Err(Refusal::LeaseNotFound);
                    }
                }
                Op::Txn(nested) => self.check(nested, before)?,
            }
        }
        Ok(())
    }

    fn check_put(&self, put: &Put) -> Result<(), Refusal> {
        let missing = self.at(&put.key, self.revision).is_none();
        if (put.ignore_value || put.ignore_lease) && missing { Err(Refusal::KeyNotFound) } else { Ok(()) }
    }

    /// The branch a transaction takes, judged by this state.
    fn branch<'t>(&self, txn: &'t Txn) -> (bool, &'t [Op]) {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        (succeeded, if succeeded { &txn.success } else { &txn.failure })
    }

    fn txn(&mut self, txn: &Txn, before: &Self, start: usize) -> TxnReply {
        let (succeeded, ops) = before.branch(txn);
        let mut replies = Vec::new();
        for op in ops {
            replies.push(match op {
                Op::Range(request) => {
                    let now = self.now(start);
                    let at = if request.revision.0 <= 0 { now } else { request.revision.0 };
                    OpReply::Range(self.range_at(request, now, at))
                }
                Op::Put(put) => OpReply::Put(self.put(put, start)),
                Op::DeleteRange(delete) => OpReply::DeleteRange(self.delete(delete, start)),
                Op::Txn(nested) => OpReply::Txn(self.txn(nested, before, start)),
            });
        }
        TxnReply { revision: Revision(0), succeeded, replies }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let related = |order: std::cmp::Ordering| match compare.relation {
            Relation::Equal => order.is_eq(),
            Relation::Greater => order.is_gt(),
            Relation::Less => order.is_lt(),
            Relation::NotEqual => order.is_ne(),
        };
        let key_holds = |kv: &KeyValue| {
            related(match &compare.target {
                Target::Version(version) => kv.version.cmp(version),
                Target::Create(revision) => kv.create_revision.cmp(revision),
                Target::Mod(revision) => kv.mod_revision.cmp(revision),
                Target::Value(value) => kv.value.cmp(value),
                Target::Lease(lease) => kv.lease.cmp(lease),
            })
        };
        let kvs = self.live(&compare.range, self.revision);
        match kvs.is_empty() {
            true => !matches!(compare.target, Target::Value(_)) && key_holds(&KeyValue::default()),
            false => kvs.iter().all(key_holds),
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResult, Refusal> {
        let at = if request.revision.0 <= 0 { self.revision } else { request.revision.0 };
        if at > self.revision {
            return Err(Refusal::FutureRevision { current: Revision(self.revision) });
        }
        if at < self.compacted {
            return Err(Refusal::Compacted { compacted: Revision(self.compacted) });
        }
        Ok(self.range_at(request, self.revision, at))
    }

    fn range_at(&self, request: &RangeRequest, revision: i64, at: i64) -> RangeResult {
        let mut kvs = self.live(&request.range, at);
        let count = kvs.len() as i64;
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let filtered = filters.iter().any(|filter| filter.0 != 0);
        let unordered = request.sort.order == SortOrder::None
            || (request.sort.order == SortOrder::Ascend && request.sort.target == SortTarget::Key);
        if request.limit > 0 && unordered && !filtered {
            kvs.truncate(request.limit as usize + 1);
        }
        let [min_mod, max_mod, min_create, max_create] = filters.map(|filter| filter.0);
        kvs.retain(|kv| max_mod == 0 || kv.mod_revision.0 <= max_mod);
        kvs.retain(|kv| min_mod == 0 || kv.mod_revision.0 >= min_mod);
        kvs.retain(|kv| max_create == 0 || kv.create_revision.0 <= max_create);
        kvs.retain(|kv| min_create == 0 || kv.create_revision.0 >= min_create);
        let order = |a: &KeyValue, b: &KeyValue| match request.sort.target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        match request.sort.order {
            SortOrder::None | SortOrder::Ascend => kvs.sort_by(order),
            SortOrder::Descend => kvs.sort_by(|a, b| order(b, a)),
        }
        if request.count_only {
            kvs.clear();
        }
        let more = request.limit > 0 && kvs.len() > request.limit as usize;
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        RangeResult { revision: Revision(revision), kvs, more, count }
    }

    pub(crate) fn events(&self, from: i64, prev_kv: bool) -> Vec<Event> {
        let mut events: Vec<_> = self.changes.iter().filter(|event| event.kv.mod_revision.0 >= from).cloned().collect();
        let hidden = |event: &Event| !prev_kv || event.kv.mod_revision.0 - 1 < self.compacted;
        events.iter_mut().filter(|event| hidden(event)).for_each(|event| event.prev = None);
        events
    }

    fn at(&self, key: &Bytes, at: i64) -> Option<KeyValue> {
        self.history.get(key)?.iter().rev().find(|(main, _)| *main <= at)?.1.clone()
    }

    fn live(&self, range: &KeyRange, at: i64) -> Vec<KeyValue> {
        self.history.keys().filter(|key| range.contains(key)).filter_map(|key| self.at(key, at)).collect()
    }
}

fn contains_put(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        Op::Put(_) => true,
        Op::Txn(nested) => contains_put(nested),
        Op::Range(_) | Op::DeleteRange(_) => false,
    })
}
