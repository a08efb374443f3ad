//! What the one client of a member knows of it, and whether what a start leaves is that.
//!
//! * A client asks one thing after the other, and nothing more once it does not know what came of one: so at most one write
//!   is in doubt, and the member is in one of two states.
//! * Which of them is seen when the member is read. From then on it is the only one: a write that was not there after one
//!   start must not be there after the next.

use std::collections::BTreeMap;

/// What is there is not what was acknowledged, or asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lost(String);

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) key: String,
    /// None deletes it.
    pub(super) value: Option<String>,
}

/// Everything a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// By key: the value, and the revision that wrote it.
    pub(super) held: BTreeMap<String, (String, i64)>,
    pub(super) revision: i64,
}

impl State {
    /// The state after a write.
    fn after(&self, write: &Write) -> Self {
        let mut state = self.clone();
        match &write.value {
            Some(value) => {
                state.revision += 1;
                state.held.insert(write.key.clone(), (value.clone(), state.revision));
            }
            None => state.revision += i64::from(state.held.remove(&write.key).is_some()),
        }
        state
    }

    /// How another state differs, in few words.
    fn difference(&self, found: &Self) -> String {
        let those = |of: &Self, other: &Self| -> Vec<String> {
            let only = of.held.iter().filter(|(key, held)| other.held.get(*key) != Some(held));
            only.map(|(key, (value, at))| format!("{key}={value:.12}@{at}")).collect()
        };
        let (missing, made_up) = (those(self, found), those(found, self));
        format!("revision {} instead of {}, missing {missing:?}, instead {made_up:?}", found.revision, self.revision)
    }
}

/// What a client knows.
#[derive(Debug)]
pub(super) struct Known {
    state: State,
    in_doubt: Option<Write>,
    /// Writes that were asked for.
    pub(super) asked: u64,
    /// Of them, acknowledged.
    pub(super) acknowledged: u64,
}

impl Known {
    /// Of a member that is new.
    pub(super) fn nothing() -> Self {
        Self { state: State { held: BTreeMap::new(), revision: 1 }, in_doubt: None, asked: 0, acknowledged: 0 }
    }

    /// The last revision that it was told of.
    pub(super) fn revision(&self) -> i64 {
        self.state.revision
    }

    /// A write was acknowledged at a revision.
    ///
    /// # Errors
    /// When that is not the revision that it makes.
    pub(super) fn acknowledge(&mut self, write: &Write, revision: i64) -> Result<(), Lost> {
        assert_eq!(self.in_doubt, None, "a client in doubt reads before it writes");
        let after = self.state.after(write);
        if after.revision != revision {
            return Err(Lost(format!("{write:?} is acknowledged at {revision}, it makes {}", after.revision)));
        }
        self.state = after;
        self.asked += 1;
        self.acknowledged += 1;
        Ok(())
    }

    /// Nobody knows what came of a write.
    pub(super) fn doubt(&mut self, write: Write) {
        assert_eq!(self.in_doubt, None, "a client in doubt reads before it writes");
        self.asked += 1;
        self.in_doubt = Some(write);
    }

    /// A member was read after a start. That is what it has from now on.
    ///
    /// # Errors
    /// When it is neither what was acknowledged, nor that and what was in doubt.
    pub(super) fn read(&mut self, found: State) -> Result<(), Lost> {
        let in_doubt = self.in_doubt.take().map(|write| self.state.after(&write));
        if found != self.state && in_doubt.as_ref() != Some(&found) {
            let or = in_doubt.map_or(String::new(), |state| format!("; or {}", state.difference(&found)));
            return Err(Lost(format!("{}{or}", self.state.difference(&found))));
        }
        self.state = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Write {
        Write { key: key.to_owned(), value: Some(value.to_owned()) }
    }

    fn delete(key: &str) -> Write {
        Write { key: key.to_owned(), value: None }
    }

    fn state(revision: i64, held: &[(&str, &str, i64)]) -> State {
        let held = held.iter().map(|(key, value, at)| ((*key).to_owned(), ((*value).to_owned(), *at))).collect();
        State { held, revision }
    }

    /// Of a member that has acknowledged two writes of `a` and one of `b`, and then the deletion of `b`.
    fn known() -> Known {
        let mut known = Known::nothing();
        for (write, revision) in [(put("a", "1"), 2), (put("a", "2"), 3), (put("b", "3"), 4), (delete("b"), 5)] {
            known.acknowledge(&write, revision).expect("as it should be");
        }
        known
    }

    #[test]
    fn what_was_acknowledged_last_is_what_must_be_there() {
        known().read(state(5, &[("a", "2", 3)])).expect("as it was");
        let wrong = [
            ("a write is undone", state(5, &[("a", "1", 2)])),
            ("a write is lost", state(5, &[])),
            ("a deletion is lost", state(4, &[("a", "2", 3), ("b", "3", 4)])),
            ("a write is done again", state(6, &[("a", "2", 6)])),
            ("nobody asked for it", state(6, &[("a", "2", 3), ("c", "4", 6)])),
            ("the revision has gone back", state(4, &[("a", "2", 3)])),
        ];
        for (what, found) in wrong {
            assert!(known().read(found).is_err(), "{what}, and nobody noticed");
        }
    }

    #[test]
    fn a_write_in_doubt_is_there_or_not() {
        for write in [put("a", "4"), put("c", "4"), delete("a")] {
            let after = known().state.after(&write);
            for found in [known().state, after] {
                let mut known = known();
                known.doubt(write.clone());
                known.read(found).expect("either may be");
            }
        }
        let mut known = known();
        known.doubt(put("a", "4"));
        assert!(known.read(state(6, &[("a", "5", 6)])).is_err(), "another value");
    }

    #[test]
    fn a_truncated_tail_that_comes_back_at_the_second_start_is_refused() {
        let mut known = known();
        let (without, with) = (known.state.clone(), known.state.after(&put("c", "4")));
        known.doubt(put("c", "4"));
        known.read(without).expect("it may be cut off");
        assert!(known.read(with).is_err());
    }

    #[test]
    fn a_write_in_doubt_that_was_there_stays() {
        let mut known = known();
        let (without, with) = (known.state.clone(), known.state.after(&delete("a")));
        known.doubt(delete("a"));
        known.read(with).expect("it may be there");
        assert!(known.read(without).is_err());
    }

    #[test]
    fn a_write_is_acknowledged_at_the_revision_that_it_makes() {
        known().acknowledge(&put("c", "4"), 6).expect("the next one");
        known().acknowledge(&delete("c"), 5).expect("the same one, as nothing is there");
        assert!(known().acknowledge(&put("c", "4"), 5).is_err());
        assert!(known().acknowledge(&put("c", "4"), 7).is_err());
        assert!(known().acknowledge(&delete("a"), 5).is_err(), "it was there, and is not found");
    }
}
