//! Whether a history is that of a linearizable store, found by trying every order: slow, and without the thought that
//! [`super::judge`] rests on, which is held against it.

use super::{Answer, Change, Operation, Request};
use std::collections::{BTreeMap, BTreeSet};

/// What each key holds, and since which revision.
type State<'a> = BTreeMap<&'a str, (&'a str, i64)>;

/// Whether the operations can have happened one after another, so that each is answered as it was and the log comes out.
pub(super) fn is_possible(history: &[Operation], log: &[Change]) -> bool {
    assert!(history.len() <= 64, "one bit for each");
    let Some(states) = states(log) else { return false };
    let search = Search { history, log, states };
    let is_plain = values_are_unique(history) && compactions_ascend(history) && no_member_goes_back(history);
    is_plain && search.goes_on(0, Point { made: 0, compacted: 0 }, &mut BTreeSet::new())
}

/// How far a store is: so many changes, and everything before that revision taken away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    made: usize,
    compacted: i64,
}

/// The states before and after each change; none when no store makes such a log.
fn states(log: &[Change]) -> Option<Vec<State<'_>>> {
    let mut states = vec![State::new()];
    for (change, revision) in log.iter().zip(2..) {
        let mut state = states.last().expect("one is there").clone();
        match &change.value {
            Some(value) => _ = state.insert(&change.key, (value, revision)),
            None => _ = state.remove(change.key.as_str())?,
        }
        if change.revision != revision {
            return None;
        }
        states.push(state);
    }
    Some(states)
}

fn values_are_unique(history: &[Operation]) -> bool {
    let mut values = BTreeSet::new();
    history.iter().all(|operation| match &operation.request {
        Request::Put { value, .. } | Request::CompareAndPut { value, .. } => values.insert(value),
        Request::Delete { .. } | Request::Get { .. } | Request::GetAt { .. } | Request::Compact { .. } => true,
    })
}

/// One client asks for them, and what it asks for grows.
fn compactions_ascend(history: &[Operation]) -> bool {
    let asked = |operation: &Operation| match operation.request {
        Request::Compact { revision } => Some((operation.invoked, operation.returned, revision)),
        _ => None,
    };
    let mut compactions: Vec<_> = history.iter().filter_map(asked).collect();
    compactions.sort_by_key(|(invoked, ..)| *invoked);
    compactions.windows(2).all(|pair| pair[0].1 < pair[1].0 && pair[0].2 < pair[1].2)
}

/// Every pair of one client's operations, with no failure between them.
fn no_member_goes_back(history: &[Operation]) -> bool {
    let mut order: Vec<&Operation> = history.iter().collect();
    order.sort_by_key(|operation| operation.returned);
    (0..order.len()).all(|later| {
        let of_client = order[..later].iter().rev().filter(|earlier| earlier.client == order[later].client);
        let mut since_failure = of_client.take_while(|earlier| earlier.answer != Answer::Unknown);
        let is_read = matches!(order[later].request, Request::Get { serializable: true, .. });
        !is_read || since_failure.all(|earlier| revision(order[later]).is_none_or(|at| Some(at) >= revision(earlier)))
    })
}

fn revision(operation: &Operation) -> Option<i64> {
    match operation.answer {
        Answer::Written { revision } | Answer::Unchanged { revision } | Answer::Read { revision, .. } => Some(revision),
        Answer::Compacted | Answer::Ahead | Answer::Unknown | Answer::Refused => None,
    }
}

struct Search<'a> {
    history: &'a [Operation],
    log: &'a [Change],
    states: Vec<State<'a>>,
}

impl Search<'_> {
    /// Whether the rest can happen once the operations in `done` have brought the store as far as this.
    fn goes_on(&self, done: u64, point: Point, tried: &mut BTreeSet<(u64, Point)>) -> bool {
        if !tried.insert((done, point)) {
            return false;
        }
        let rest = || (0..self.history.len()).filter(move |n| done & (1 << n) == 0);
        let answered = |n: &usize| !matches!(self.history[*n].answer, Answer::Unknown | Answer::Refused);
        if point.made == self.log.len() && !rest().any(|n| answered(&n)) {
            return true;
        }
        // What had returned before another one began comes first.
        let first_end = rest().filter(answered).map(|n| self.history[n].returned).min();
        let may_be_next = |n: &usize| first_end.is_none_or(|end| self.history[*n].invoked <= end);
        rest().filter(may_be_next).any(|n| {
            let after = self.after(&self.history[n], point);
            after.is_some_and(|point| self.goes_on(done | 1 << n, point, tried))
        })
    }

    /// How far the store is once this operation has happened; none when it cannot happen now and be answered so.
    fn after(&self, operation: &Operation, point: Point) -> Option<Point> {
        let Point { made, compacted } = point;
        let now = i64::try_from(made).expect("a short log") + 1;
        let change = self.change_of(&operation.request, made);
        let makes_the_next = change.is_some() && change.as_ref() == self.log.get(made);
        let one_more = Point { made: made + 1, ..point };
        match (&operation.request, &operation.answer) {
            (Request::Compact { revision: asked }, Answer::Unchanged { .. } | Answer::Unknown) => {
                let takes_effect = *asked > compacted && *asked <= now;
                let in_time = revision(operation).is_none_or(|revision| revision == now);
                (takes_effect && in_time).then_some(Point { compacted: *asked, ..point })
            }
            (Request::Compact { revision: asked } | Request::GetAt { at: asked, .. }, Answer::Ahead) => {
                (*asked > now).then_some(point)
            }
            (Request::GetAt { at, .. }, Answer::Compacted) => (*at < compacted).then_some(point),
            (Request::GetAt { key, at, .. }, Answer::Read { revision, found }) => {
                let is_there = *at >= compacted && *at <= now && *revision == now;
                (is_there && self.held(key, *at)? == *found).then_some(point)
            }
            (_, Answer::Written { revision }) => (makes_the_next && *revision == now + 1).then_some(one_more),
            (_, Answer::Unknown) => makes_the_next.then_some(one_more),
            (Request::Delete { .. } | Request::CompareAndPut { .. }, Answer::Unchanged { revision }) => {
                (change.is_none() && *revision == now).then_some(point)
            }
            (Request::Get { key, serializable }, Answer::Read { revision, found }) => {
                let in_time = *revision == now || *serializable && *revision < now;
                (in_time && self.held(key, *revision)? == *found).then_some(point)
            }
            _ => None,
        }
    }

    /// What a key held at a revision, if there is one.
    fn held(&self, key: &str, revision: i64) -> Option<Option<(String, i64)>> {
        let state = self.states.get(usize::try_from(revision - 1).ok()?)?;
        Some(state.get(key).map(|(value, at)| ((*value).to_owned(), *at)))
    }

    /// What a request changes after so many changes, if anything.
    fn change_of(&self, request: &Request, made: usize) -> Option<Change> {
        let state = &self.states[made];
        let (key, value) = match request {
            Request::Put { key, value } => (key, Some(value.clone())),
            Request::Delete { key } => state.contains_key(key.as_str()).then_some((key, None))?,
            Request::CompareAndPut { key, expected, value } => {
                let at = state.get(key.as_str()).map_or(0, |(_, at)| *at);
                (at == *expected).then(|| (key, Some(value.clone())))?
            }
            Request::Get { .. } | Request::GetAt { .. } | Request::Compact { .. } => return None,
        };
        Some(Change { revision: i64::try_from(made).expect("a short log") + 2, key: key.clone(), value })
    }
}
