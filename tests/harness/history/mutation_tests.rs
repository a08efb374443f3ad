//! The judge on histories of a sound store and on mutations of them, held against a search over every order.

use super::search::is_possible;
use super::*;
use crate::sim::rng::Rng;
use std::collections::BTreeMap;

/// Sound histories, each mutated in each way.
const HISTORIES: u64 = 5_000;
/// Writes before the others, one after the other: enough for the judge to say anything.
const QUIET_WRITES: u64 = 11;
const CLIENTS: usize = 3;
/// Operations of each client.
const OPERATIONS: u64 = 5;
/// The one that compacts.
const COMPACTOR: usize = CLIENTS + 1;
const COMPACTIONS: u64 = 3;

/// What clients saw, and what was committed.
#[derive(Clone, Debug)]
struct Run {
    history: Vec<Operation>,
    log: Vec<Change>,
}

/// An operation that is yet to happen, and when it takes effect.
struct Planned {
    takes_effect: u64,
    operation: Operation,
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A run of a sound store whose members are behind as they like.
fn sound(rng: &mut Rng) -> Run {
    let quiet = (0..QUIET_WRITES).map(|n| {
        let request = Request::Put { key: "quiet".to_owned(), value: format!("quiet-{n}") };
        let operation =
            Operation { client: CLIENTS, invoked: ms(n), returned: ms(n), request, answer: Answer::Refused };
        Planned { takes_effect: n, operation }
    });
    let mut planned: Vec<Planned> = quiet.collect();
    for client in 0..CLIENTS {
        planned.extend(one_client(client, rng));
    }
    planned.extend(compactor(rng));
    planned.sort_by_key(|planned| planned.takes_effect);
    let mut store = Store::default();
    for Planned { operation, .. } in &mut planned {
        store.take(operation, rng);
    }
    Run { history: planned.into_iter().map(|planned| planned.operation).collect(), log: store.log }
}

/// What one client asks. Times are so few that many are equal.
fn one_client(client: usize, rng: &mut Rng) -> Vec<Planned> {
    let mut now = QUIET_WRITES;
    let mut planned = Vec::new();
    for n in 0..OPERATIONS {
        let invoked = now + rng.below(3);
        let takes_effect = invoked + rng.below(4);
        let returned = takes_effect + rng.below(4);
        let request = request(&format!("{client}-{n}"), rng);
        // An answer that is not lost is filled in by the store.
        let (answer, late) = match rng.below(8) {
            0 => (Answer::Unknown, rng.below(9)),
            _ => (Answer::Refused, 0),
        };
        let operation = Operation { client, invoked: ms(invoked), returned: ms(returned), request, answer };
        planned.push(Planned { takes_effect: takes_effect + late, operation });
        now = returned;
    }
    planned
}

/// Compactions, one after the other.
fn compactor(rng: &mut Rng) -> Vec<Planned> {
    let (mut now, mut revision) = (QUIET_WRITES, 8);
    let mut planned = Vec::new();
    for _ in 0..COMPACTIONS {
        let invoked = now + 1 + rng.below(8);
        let takes_effect = invoked + rng.below(3);
        let returned = takes_effect + rng.below(3);
        revision += i64::try_from(rng.between(1, 6)).expect("small");
        let (answer, late) = if rng.below(3) == 0 { (Answer::Unknown, rng.below(9)) } else { (Answer::Refused, 0) };
        let request = Request::Compact { revision };
        let operation = Operation { client: COMPACTOR, invoked: ms(invoked), returned: ms(returned), request, answer };
        planned.push(Planned { takes_effect: takes_effect + late, operation });
        now = returned;
    }
    planned
}

fn request(unique: &str, rng: &mut Rng) -> Request {
    let key = if rng.coin() { "a" } else { "b" }.to_owned();
    let value = unique.to_owned();
    match rng.below(12) {
        0 | 1 => Request::Put { key, value },
        2..5 => Request::Delete { key },
        5 => {
            let expected = if rng.coin() { 0 } else { i64::try_from(rng.between(12, 18)).expect("small") };
            Request::CompareAndPut { key, expected, value }
        }
        6 | 7 => Request::Get { key, serializable: false },
        8 => Request::Get { key, serializable: true },
        _ => {
            let at = i64::try_from(rng.between(7, 22)).expect("small");
            Request::GetAt { key, at, serializable: false }
        }
    }
}

/// A store, and what each client has been shown.
#[derive(Default)]
struct Store {
    log: Vec<Change>,
    compacted: i64,
    shown: BTreeMap<usize, usize>,
}

impl Store {
    /// Takes an operation, and answers it unless nobody hears the answer.
    fn take(&mut self, operation: &mut Operation, rng: &mut Rng) {
        let (client, is_unknown) = (operation.client, operation.answer == Answer::Unknown);
        if is_unknown && rng.coin() {
            return;
        }
        let answer = match &operation.request {
            Request::Get { key, serializable } => {
                let floor = self.shown.get(&client).copied().unwrap_or_default();
                let most = self.log.len();
                let behind = if *serializable { rng.below((most - floor) as u64 + 1) } else { 0 };
                let made = most - usize::try_from(behind).expect("below a length");
                Answer::Read { revision: revision(made), found: at(&self.log, key, made) }
            }
            Request::GetAt { key, at: asked, .. } => match (*asked, revision(self.log.len())) {
                (asked, now) if asked > now => Answer::Ahead,
                (asked, _) if asked < self.compacted => Answer::Compacted,
                (asked, revision) => {
                    let made = usize::try_from(asked - 1).expect("revisions from 1 on");
                    Answer::Read { revision, found: at(&self.log, key, made) }
                }
            },
            Request::Compact { revision: asked } => match (*asked, revision(self.log.len())) {
                (asked, now) if asked > now => Answer::Ahead,
                // Only one that nobody has heard of for long can be as late as that.
                (asked, _) if asked <= self.compacted => Answer::Compacted,
                (asked, revision) => {
                    self.compacted = asked;
                    Answer::Unchanged { revision }
                }
            },
            // One of a few is refused at the door.
            _ if !is_unknown && rng.below(12) == 0 && client < CLIENTS => Answer::Refused,
            request => self.write(request),
        };
        if !is_unknown {
            let shown = match answer {
                Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } => {
                    revision
                }
                Answer::Compacted | Answer::Ahead | Answer::Unknown | Answer::Refused => 1,
            };
            let shown = usize::try_from(shown - 1).expect("revisions from 1 on");
            let before = self.shown.entry(client).or_default();
            *before = shown.max(*before);
            operation.answer = answer;
        }
    }

    fn write(&mut self, request: &Request) -> Answer {
        let made = self.log.len();
        let (key, value) = match request {
            Request::Put { key, value } => (key, Some(value)),
            Request::Delete { key } if at(&self.log, key, made).is_some() => (key, None),
            Request::CompareAndPut { key, expected, value }
                if at(&self.log, key, made).map_or(0, |(_, at)| at) == *expected =>
            {
                (key, Some(value))
            }
            _ => return Answer::Unchanged { revision: revision(made) },
        };
        self.log.push(Change { revision: revision(made) + 1, key: key.clone(), value: value.cloned() });
        Answer::Written { revision: revision(made) + 1 }
    }
}

/// The revision after so many changes.
fn revision(made: usize) -> i64 {
    i64::try_from(made).expect("a short log") + 1
}

/// What a key held after so many changes.
fn at(log: &[Change], key: &str, made: usize) -> Option<(String, i64)> {
    let last = log[..made].iter().rfind(|change| change.key == key)?;
    Some((last.value.clone()?, last.revision))
}

/// A way to change a run. Not each makes it wrong: two reads may be exchanged, one that is concurrent may be older.
type Mutation = fn(&mut Run, &mut Rng);

const MUTATIONS: [(&str, Mutation); 14] = [
    ("two answers exchanged", |run, rng| {
        let (one, other) = (some(&run.history, rng), some(&run.history, rng));
        let answer = run.history[one].answer.clone();
        run.history[one].answer = std::mem::replace(&mut run.history[other].answer, answer);
    }),
    ("two changes exchanged", |run, rng| {
        let (one, other) = (rng.pick_index(&run.log), rng.pick_index(&run.log));
        run.log.swap(one, other);
        number(&mut run.log);
    }),
    ("an operation dropped", |run, rng| drop(run.history.remove(some(&run.history, rng)))),
    ("a change dropped", |run, rng| {
        run.log.remove(rng.pick_index(&run.log));
        number(&mut run.log);
    }),
    ("a hole", |run, rng| drop(run.log.remove(rng.pick_index(&run.log)))),
    ("an operation doubled", |run, rng| run.history.push(run.history[some(&run.history, rng)].clone())),
    ("a change doubled", |run, rng| {
        let again = run.log[rng.pick_index(&run.log)].clone();
        run.log.push(again);
        number(&mut run.log);
    }),
    ("a deletion more", |run, rng| {
        let key = if rng.coin() { "a" } else { "b" }.to_owned();
        run.log.push(Change { revision: revision(run.log.len()) + 1, key, value: None });
    }),
    ("an older state shown", |run, rng| {
        let at_most = rng.pick_index(&run.log);
        let is_read = |operation: &&mut Operation| matches!(operation.request, Request::Get { .. });
        let mut reads: Vec<&mut Operation> = run.history.iter_mut().filter(is_read).collect();
        let chosen = usize::try_from(rng.below(OPERATIONS)).expect("a few");
        if let Some(Operation { request: Request::Get { key, .. }, answer, .. }) = reads.get_mut(chosen)
            && matches!(answer, Answer::Read { .. })
        {
            *answer = Answer::Read { revision: revision(at_most), found: at(&run.log, key, at_most) };
        }
    }),
    ("a revision less", |run, rng| {
        let n = some(&run.history, rng);
        match &mut run.history[n].answer {
            Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } => {
                *revision -= 1;
            }
            Answer::Compacted | Answer::Ahead | Answer::Unknown | Answer::Refused => {}
        }
    }),
    ("another outcome", |run, rng| {
        let n = some(&run.history, rng);
        let revision = revision(rng.pick_index(&run.log));
        let (unchanged, written) = (Answer::Unchanged { revision }, Answer::Written { revision });
        let outcomes = [Answer::Refused, Answer::Unknown, unchanged, written, Answer::Compacted, Answer::Ahead];
        run.history[n].answer = rng.pick(&outcomes).expect("six").clone();
    }),
    ("another state of the past asked for", |run, rng| {
        let by = i64::try_from(rng.between(1, 4)).expect("small");
        let (by, chosen) = (if rng.coin() { by } else { -by }, rng.below(9));
        let of_the_past =
            |operation: &&mut Operation| matches!(operation.request, Request::GetAt { .. } | Request::Compact { .. });
        let mut those: Vec<&mut Operation> = run.history.iter_mut().filter(of_the_past).collect();
        let n = usize::try_from(chosen).expect("below nine") % those.len();
        if let Request::GetAt { at: revision, .. } | Request::Compact { revision } = &mut those[n].request {
            *revision += by;
        }
    }),
    ("a compacted state shown", |run, _| {
        let mut last = 1;
        for Operation { request, answer, .. } in &mut run.history {
            match (&*request, &*answer) {
                (Request::GetAt { key, at: asked, .. }, Answer::Compacted) => {
                    let made = usize::try_from(asked - 1).expect("revisions from 1 on");
                    *answer = Answer::Read { revision: last, found: at(&run.log, key, made) };
                    return;
                }
                (_, Answer::Written { revision } | Answer::Read { revision, .. }) => last = last.max(*revision),
                _ => {}
            }
        }
    }),
    ("an operation postponed", |run, rng| {
        let by = ms(rng.between(1, 30));
        let n = some(&run.history, rng);
        run.history[n].invoked += by;
        run.history[n].returned += by;
    }),
];

/// An operation that is none of the quiet ones, which are evidence only.
fn some(history: &[Operation], rng: &mut Rng) -> usize {
    let quiet = usize::try_from(QUIET_WRITES).expect("a few");
    quiet + rng.pick_index(&history[quiet..])
}

/// Gives changes the revisions of their places.
fn number(log: &mut [Change]) {
    for (change, revision) in log.iter_mut().zip(2..) {
        change.revision = revision;
    }
}

#[test]
fn sound_histories_are_accepted() {
    for seed in 0..HISTORIES {
        let run = sound(&mut Rng::new(seed));
        judge(&run.history, &run.log).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        assert!(is_possible(&run.history, &run.log), "seed {seed}: the search finds no order");
    }
}

#[test]
fn every_mutation_that_no_order_explains_is_refused_and_every_other_one_accepted() {
    for (name, mutation) in MUTATIONS {
        let mut wrong = 0;
        for seed in 0..HISTORIES {
            let mut rng = Rng::new(seed);
            let mut run = sound(&mut rng);
            mutation(&mut run, &mut rng);
            let (judged, possible) = (judge(&run.history, &run.log), is_possible(&run.history, &run.log));
            assert_eq!(judged.is_ok(), possible, "{name}, seed {seed}: {judged:?} of {run:#?}");
            wrong += u64::from(!possible);
        }
        assert!(wrong >= HISTORIES / 10, "{name} made {wrong} of {HISTORIES} histories wrong: it tests nothing");
    }
}
