//! Names of objects: a small alphabet that is the same in a URL, a signature, a file system and a log line.

use std::fmt;
use std::str::FromStr;

/// The longest name. S3 allows 1,024 bytes; the rest is left to the prefix of the location.
const NAME_BYTES_MAX: usize = 512;

/// The longest part between two slashes: what every file system takes, less what a temporary name adds.
const PART_BYTES_MAX: usize = 200;

/// The name of an object within its store: parts of `A-Z a-z 0-9 - _ .` between slashes, none of them empty and none
/// beginning with a dot. So there is no way up, nothing hidden, and nothing to escape.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// Why a text names no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of an object: {problem}")]
pub struct BadName {
    /// The text, shortened.
    text: String,
    /// What is wrong.
    problem: &'static str,
}

impl ObjectName {
    /// Checks `text`.
    ///
    /// # Errors
    /// If it is not a name.
    pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
        let text = text.into();
        match problem(&text) {
            None => Ok(Self(text)),
            Some(problem) => Err(BadName { text: text.chars().take(80).collect(), problem }),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first thing that is wrong with a name.
fn problem(text: &str) -> Option<&'static str> {
    if text.len() > NAME_BYTES_MAX {
        return Some("it is longer than 512 bytes");
    }
    text.split('/').find_map(part_problem)
}

/// The first thing that is wrong with one part of a name.
fn part_problem(part: &str) -> Option<&'static str> {
    match part.as_bytes() {
        [] => Some("a part of it is empty"),
        [b'.', ..] => Some("a part of it begins with a dot"),
        long if long.len() > PART_BYTES_MAX => Some("a part of it is longer than 200 bytes"),
        part if !part.iter().copied().all(is_allowed) => Some("only A-Z a-z 0-9 - _ . are allowed between slashes"),
        _ => None,
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}

/// What names to list: everything, or what lies under a name (`chunks` lists `chunks/a`, and not `chunks2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Option<ObjectName>);

impl Prefix {
    /// Everything in the store.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// What lies under `name`.
    #[must_use]
    pub fn under(name: ObjectName) -> Self {
        Self(Some(name))
    }

    /// The folder, if it is not the whole store.
    #[must_use]
    pub fn folder(&self) -> Option<&ObjectName> {
        self.0.as_ref()
    }

    /// Whether `name` lies under it.
    #[must_use]
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.0
            .as_ref()
            .is_none_or(|folder| name.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_between_slashes() {
        for good in ["a", "chunks/ab/0123.zst", "manifests/00000000000000ff-7.json", "A_b-c.d"] {
            assert_eq!(ObjectName::new(good).expect("it is a name").as_str(), good);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(201);
        let longer = vec!["ab"; 200].join("/");
        for bad in
            ["", "/a", "a/", "a//b", "..", "a/../b", ".hidden", "a b", "a\0b", "a%2fb", "ä", "a\\b", &long, &longer]
        {
            assert!(ObjectName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let under = Prefix::under(ObjectName::new("chunks").expect("a name"));
        let name = |text: &str| ObjectName::new(text).expect("a name");
        assert!(under.contains(&name("chunks/a")));
        assert!(!under.contains(&name("chunks2/a")));
        assert!(!under.contains(&name("chunks")));
        assert!(Prefix::all().contains(&name("anything")));
    }
}
