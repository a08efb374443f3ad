//! What was written: every flag with a value of its kind and the place it was written. Values are within their own
//! bounds here; whether they go together is [`super::check`]'s matter.

use super::address::Address;
use super::flag::{Flag, Meaning};
use super::problem::{Field, Origin, Problem};
use super::table::{self, flags};
use super::value::{self, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One setting as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    pub(super) value: Value,
    /// The value as the person wrote it, for messages.
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Every setting that was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Raw {
    written: BTreeMap<&'static str, Written>,
}

impl Raw {
    /// Takes a flag's or a variable's text.
    ///
    /// # Errors
    /// It is not of the flag's kind, or the flag is one we refuse.
    pub(super) fn set_text(&mut self, name: &str, text: &str, origin: &Origin) -> Result<(), Problem> {
        let flag = table::find(name).expect("only known flags are read");
        self.set(flag, value::parse(flag.kind, text), text.to_owned(), origin.clone())
    }

    /// Takes a value that was read, or the phrase that says what would be allowed.
    ///
    /// # Errors
    /// The value was not read, or the flag is one we refuse.
    pub(super) fn set(
        &mut self,
        flag: &'static Flag,
        value: Result<Value, String>,
        text: String,
        origin: Origin,
    ) -> Result<(), Problem> {
        let field = Field { name: flag.name.to_owned(), origin: origin.clone() };
        let value = match value {
            Ok(value) => value,
            Err(allowed) => return Err(Problem::Value { field, value: text, allowed }),
        };
        match flag.meaning {
            Meaning::Refused(instead) if !text.is_empty() => Err(Problem::NotSupported { field, value: text, instead }),
            _ => {
                self.written.insert(flag.name, Written { value, text, origin });
                Ok(())
            }
        }
    }

    /// Whether a setting was written, and is not empty.
    pub(super) fn has(&self, name: &'static str) -> bool {
        debug_assert!(table::find(name).is_some(), "{name} is in the table");
        self.written.get(name).is_some_and(|written| !written.text.is_empty())
    }

    /// The settings written that have no meaning here, with the reason.
    pub(super) fn without_meaning(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        let written = flags().filter(|flag| self.written.contains_key(flag.name));
        written.filter_map(|flag| match flag.meaning {
            Meaning::Accepted(why) => Some((flag.name, why)),
            Meaning::Used | Meaning::Refused(_) | Meaning::Alias(_) => None,
        })
    }

    /// A refusal of what was written for `name`.
    pub(super) fn refuse(&self, name: &'static str, allowed: impl Into<String>) -> Problem {
        let written = self.get(name);
        let field = Field { name: name.to_owned(), origin: written.origin };
        Problem::Value { field, value: written.text, allowed: allowed.into() }
    }

    pub(super) fn text(&self, name: &'static str) -> String {
        match self.get(name).value {
            Value::Text(text) => text,
            other => unreachable!("the table says that --{name} is text: {other:?}"),
        }
    }

    /// A path; none when empty.
    pub(super) fn path(&self, name: &'static str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    pub(super) fn bool(&self, name: &'static str) -> bool {
        match self.get(name).value {
            Value::Bool(bool) => bool,
            other => unreachable!("the table says that --{name} is a boolean: {other:?}"),
        }
    }

    pub(super) fn number<N: TryFrom<i128>>(&self, name: &'static str) -> N {
        match self.get(name).value {
            Value::Number(number) => N::try_from(number).ok().expect("the table bounds the number to its type"),
            other => unreachable!("the table says that --{name} is a number: {other:?}"),
        }
    }

    pub(super) fn duration(&self, name: &'static str) -> Duration {
        match self.get(name).value {
            Value::Duration(duration) => duration,
            other => unreachable!("the table says that --{name} is a duration: {other:?}"),
        }
    }

    /// A duration where zero means never.
    pub(super) fn duration_unless_zero(&self, name: &'static str) -> Option<Duration> {
        Some(self.duration(name)).filter(|duration| !duration.is_zero())
    }

    pub(super) fn urls(&self, name: &'static str) -> Vec<Address> {
        match self.get(name).value {
            Value::Urls(urls) => urls,
            other => unreachable!("the table says that --{name} is URLs: {other:?}"),
        }
    }

    pub(super) fn list(&self, name: &'static str) -> Vec<String> {
        match self.get(name).value {
            Value::List(list) => list,
            other => unreachable!("the table says that --{name} is a list: {other:?}"),
        }
    }

    /// What was written, or the default.
    fn get(&self, name: &'static str) -> Written {
        self.written.get(name).cloned().unwrap_or_else(|| {
            let flag = table::find(name).expect("every setting asked for is in the table");
            let value = value::parse(flag.kind, flag.default).expect("every default is of its kind");
            Written { value, text: flag.default.to_owned(), origin: Origin::Default }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_of_its_kind_and_every_name_is_there_once() {
        let mut names: Vec<_> = flags().map(|flag| flag.name).collect();
        for flag in flags() {
            value::parse(flag.kind, flag.default).unwrap_or_else(|allowed| panic!("--{}: {allowed}", flag.name));
            let target = table::find(flag.name).unwrap();
            assert_eq!(target.kind, flag.kind, "--{} is of the kind it stands for", flag.name);
            assert!(!target.doc.is_empty());
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_value_out_of_bounds_names_field_value_and_what_is_allowed() {
        let refused = |name, text, origin| Raw::default().set_text(name, text, &origin).unwrap_err().to_string();
        assert_eq!(
            refused("heartbeat-interval", "0", Origin::Flag),
            r#"--heartbeat-interval: "0" must be a whole number from 1 to 10000"#
        );
        assert_eq!(
            refused("heartbeat-interval", "-5", Origin::Environment),
            r#"ETCD_HEARTBEAT_INTERVAL: "-5" must be a whole number from 1 to 10000"#
        );
        assert_eq!(
            refused("discovery-srv", "example.com", Origin::Flag),
            r#"--discovery-srv: "example.com" is not supported: name the members in --initial-cluster"#
        );
    }

    /// Every number and duration, against minus one, nothing, the greatest and beyond.
    #[test]
    fn no_numeric_flag_takes_a_value_outside_its_bounds() {
        use super::super::flag::Kind;
        for flag in flags() {
            let accepts = |text: &str| value::parse(flag.kind, text).is_ok();
            match flag.kind {
                Kind::Number { min, max } => {
                    assert!(accepts(&min.to_string()) && accepts(&max.to_string()), "{}", flag.name);
                    assert!(!accepts(&(min - 1).to_string()) && !accepts(&(max + 1).to_string()), "{}", flag.name);
                    assert!(!accepts("") && !accepts("1e3") && !accepts("170141183460469231731687303715884105728"));
                }
                Kind::Duration { min } => {
                    assert_eq!(accepts("0s"), min.is_zero(), "{}", flag.name);
                    assert!(!accepts("-1s") && !accepts("99999999999h") && !accepts("5") && !accepts(""));
                }
                _ => {}
            }
        }
    }
}
