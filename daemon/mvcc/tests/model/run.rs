//! Runs random commands on the model and on stores over some backend that flush, sweep and crash as they like.

use super::Model;
use super::sample::Sampler;
use mvcc::{
    Alarm, AlarmAction, AlarmChange, Apply, Backend, Body, Command, KeyRange, Outcome, RangeRequest, ReadError,
    Refusal, RequestId, Revision, Store,
};
use std::sync::Arc;

/// Opens what a crash leaves of a backend.
pub(crate) type Reopen = Box<dyn FnMut(Arc<dyn Backend>) -> Arc<dyn Backend>>;

/// A store that loses now and then what it has not flushed, and replays it from the log.
pub(crate) struct Subject {
    backend: Arc<dyn Backend>,
    store: Store,
    reopen: Reopen,
    /// In percent of commands.
    flushes: u64,
    crashes: u64,
}

impl Subject {
    pub(crate) fn new(backend: Arc<dyn Backend>, reopen: Reopen, flushes: u64, crashes: u64) -> Self {
        let store = Store::open(Arc::clone(&backend)).expect("new");
        Self { backend, store, reopen, flushes, crashes }
    }

    fn crash(mut self) -> Self {
        drop(self.store);
        let backend = (self.reopen)(self.backend);
        let store = Store::open(Arc::clone(&backend)).expect("what was committed can be opened");
        Self { backend, store, ..self }
    }

    fn apply(&self, index: u64, command: &Command) -> Outcome {
        self.store.apply(&[Apply { index, command, answered: true }]).expect("no fault").remove(0)
    }

    /// Applies what the log holds beyond the applied index, and expects what was answered the first time.
    fn replay(&self, log: &[(Command, Outcome)]) {
        for index in self.store.applied() + 1..=log.len() as u64 {
            let (command, outcome) = &log[index as usize - 1];
            assert_eq!(&self.apply(index, command), outcome, "replayed {index}");
        }
    }
}

/// One history of `commands` commands over `keys` keys (zero for a dozen), checked after every one.
pub(crate) fn run(seed: u64, commands: usize, keys: u64, mut subjects: Vec<Subject>) {
    let (mut model, mut sampler) = (Model::new(), Sampler::new(seed));
    sampler.keys = keys;
    let mut log: Vec<(Command, Outcome)> = Vec::new();
    for index in 1..=commands as u64 {
        let command = match model.alarms.first().copied() {
            Some(alarm) if sampler.chance(25) => disarm(alarm, index),
            _ => sampler.command(index),
        };
        let expected = model.apply(&command);
        sampler.revision = model.revision;
        log.push((command.clone(), expected.clone()));
        let request = sampler.range();
        let (from, at) = (model.revision - sampler.below(9) as i64, model.revision - sampler.below(9) as i64);
        subjects = subjects
            .into_iter()
            .map(|subject| {
                let subject = if sampler.chance(subject.crashes) { subject.crash() } else { subject };
                subject.replay(&log[..log.len() - 1]);
                let outcome = subject.apply(index, &command);
                assert_eq!(outcome, expected, "seed {seed} index {index}: {command:?}");
                if sampler.chance(subject.flushes) {
                    subject.store.flush(sampler.below(20) as usize).expect("no fault");
                }
                compare(&model, &subject.store, &request, from, seed);
                subject
            })
            .collect();
        compare_hashes(&subjects, Revision(at), seed);
    }
}

/// Alarms stop most commands: they must not last.
fn disarm(alarm: Alarm, sequence: u64) -> Command {
    let change = AlarmChange { action: AlarmAction::Deactivate, alarm };
    Command { id: RequestId { origin: 1, sequence }, body: Body::Alarm(change) }
}

fn compare(model: &Model, store: &Store, request: &RangeRequest, from: i64, seed: u64) {
    assert_eq!(refused(store.range(request)), model.range(request), "seed {seed}: {request:?}");
    let everything = RangeRequest { range: KeyRange::all(), ..RangeRequest::default() };
    assert_eq!(refused(store.range(&everything)), model.range(&everything), "seed {seed}: everything");
    assert_eq!((store.revision(), store.compacted()), (Revision(model.revision), Revision(model.compacted)));
    assert_eq!(store.alarms(), model.alarms.iter().copied().collect::<Vec<_>>());
    assert_eq!(store.members(), model.members.values().cloned().collect::<Vec<_>>());
    let mut staged = model.staged.clone();
    staged.sort_by_key(|snapshot| (snapshot.index, snapshot.staged_ms));
    assert_eq!(store.staged(), staged);
    assert_eq!(store.stager().unwrap_or(0), model.stager);
    let events = refused(store.events(Revision(from), usize::MAX, true, |_| true)).map(|found| found.events);
    let compacted = Refusal::Compacted { compacted: Revision(model.compacted) };
    let expected = if from < model.compacted { Err(compacted) } else { Ok(model.events(from, true)) };
    assert_eq!(events, expected, "seed {seed}: events from {from}");
}

/// Stores that have swept differently agree on every hash.
fn compare_hashes(subjects: &[Subject], at: Revision, seed: u64) {
    let hashes = subjects.iter().map(|subject| (refused(subject.store.hash_kv(at)), subject.store.state_hash()));
    let hashes: Vec<_> = hashes.collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: hashes at {at}: {hashes:?}");
}

fn refused<T>(result: Result<T, ReadError>) -> Result<T, Refusal> {
    result.map_err(|error| match error {
        ReadError::Refused(refusal) => refusal,
        ReadError::NoRoom => panic!("no range was bounded: {error}"),
        ReadError::Fault(fault) => panic!("no fault was injected: {fault}"),
    })
}
