//! Every flag of `serve`, in the order of the help text, a file for each part of it. Each is an environment variable and
//! a key of the configuration file too.

mod clustering;
mod features;
mod member;
mod security;
mod seeing;

use super::flag::{Flag, Group, Kind, Meaning};
use std::time::Duration;

const U32: Kind = number(0, u32::MAX as i128);
const U32_FROM_1: Kind = number(1, u32::MAX as i128);
const U64: Kind = number(0, u64::MAX as i128);
const U64_FROM_1: Kind = number(1, u64::MAX as i128);
const I64: Kind = number(i64::MIN as i128, i64::MAX as i128);
const TIME: Kind = Kind::Duration { min: Duration::ZERO };
const TIME_ABOVE_0: Kind = Kind::Duration { min: Duration::from_nanos(1) };

/// Why what compares members' states is accepted.
pub(super) const NOT_COMPARED: &str = "the members' states are never compared; etcdctl endpoint hashkv does so by hand";

const fn number(min: i128, max: i128) -> Kind {
    Kind::Number { min, max }
}

const fn flag(group: Group, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Flag {
    Flag::new(group, name, kind, default, doc)
}

/// Every flag there is.
pub(super) fn flags() -> impl Iterator<Item = &'static Flag> + Clone {
    [member::FLAGS, clustering::FLAGS, security::FLAGS, seeing::FLAGS, features::FLAGS].into_iter().flatten()
}

/// The flag of this name; an alias leads to the one it stands for.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    let flag = flags().find(|flag| flag.name == name)?;
    match flag.meaning {
        Meaning::Alias(of) => flags().find(|flag| flag.name == of),
        Meaning::Used | Meaning::Accepted(_) | Meaning::Refused(_) => Some(flag),
    }
}

/// The flag whose name is nearest, if one is near: for a hint.
pub(super) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| distance(name, candidate);
    among.min_by_key(near).filter(|best| distance(name, best) <= HINT_EDITS_MAX)
}

/// More edits than this and the guess would be noise.
const HINT_EDITS_MAX: usize = 3;

/// Edits (insert, drop, replace) between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
