//! The command line in Go's flag syntax: `-flag`, `--flag`, `--flag=value`, `--flag value`; a bare boolean is true and
//! never takes the next word; the last of a repeated flag wins; `--` ends.

use super::flag::Kind;
use super::problem::Problem;
use super::table::{self, flags};
use std::collections::BTreeMap;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `-h`, `--help`.
    Help,
    /// `--version`.
    Version,
    /// Flags by name, as text.
    Flags(BTreeMap<&'static str, String>),
}

/// # Errors
/// An unknown flag, a missing value, a stray word.
pub(super) fn parse(arguments: &[String]) -> Result<Asked, Problem> {
    let mut given = BTreeMap::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some((name, value)) = split(word) else {
            match word.as_str() {
                "--" => break,
                _ => return Err(Problem::NotAFlag { argument: word.clone() }),
            }
        };
        match name {
            "h" | "help" => return Ok(Asked::Help),
            "version" if value != Some("false") => return Ok(Asked::Version),
            "version" => continue,
            _ => {}
        }
        let flag = table::find(name).ok_or_else(|| unknown(name))?;
        let value = match (value, flag.kind) {
            (Some(value), _) => value.to_owned(),
            (None, Kind::Bool) => "true".to_owned(),
            (None, _) => words.next().ok_or_else(|| Problem::NoValue { name: name.to_owned() })?.clone(),
        };
        given.insert(flag.name, value);
    }
    match words.next() {
        Some(stray) => Err(Problem::NotAFlag { argument: stray.clone() }),
        None => Ok(Asked::Flags(given)),
    }
}

/// A flag's name and what follows its equals sign; none is no flag.
fn split(word: &str) -> Option<(&str, Option<&str>)> {
    let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    if body.is_empty() || body.starts_with(['-', '=']) {
        return None;
    }
    Some(body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value))))
}

fn unknown(name: &str) -> Problem {
    let nearest = table::nearest(name, flags().map(|flag| flag.name));
    Problem::UnknownFlag { name: name.to_owned(), nearest: nearest.map(|flag| format!("did you mean --{flag}?")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked, Problem> {
        parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    fn given(words: &[&str]) -> Vec<(&'static str, String)> {
        match asked(words).unwrap() {
            Asked::Flags(flags) => flags.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_dash_forms_with_and_without_an_equals_sign() {
        let wanted = vec![("data-dir", "/x=y".to_owned()), ("name", "m1".to_owned())];
        for words in [
            &["-name", "m1", "-data-dir", "/x=y"][..],
            &["--name=m1", "--data-dir=/x=y"],
            &["-name=m1", "--data-dir", "/x=y"],
        ] {
            assert_eq!(given(words), wanted, "{words:?}");
        }
    }

    #[test]
    fn a_bare_boolean_is_true_and_takes_no_word() {
        assert_eq!(given(&["--auto-tls", "--name", "a"]), [("auto-tls", "true".into()), ("name", "a".into())]);
        assert_eq!(given(&["--auto-tls=false"]), [("auto-tls", "false".into())]);
        assert_eq!(asked(&["--auto-tls", "false"]).unwrap_err().to_string(), "'false' is not a valid flag");
    }

    #[test]
    fn the_last_of_a_repeated_flag_wins() {
        assert_eq!(given(&["--name", "a", "-name=b"]), [("name", "b".into())]);
    }

    #[test]
    fn an_old_name_is_the_flag_it_stands_for() {
        let flags = given(&["--experimental-watch-progress-notify-interval=5s"]);
        assert_eq!(flags, [("watch-progress-notify-interval", "5s".into())]);
    }

    #[test]
    fn what_is_no_flag_is_named() {
        let refused = |words: &[&str]| asked(words).unwrap_err().to_string();
        assert_eq!(
            refused(&["--listen-peer-url=x"]),
            "flag provided but not defined: -listen-peer-url (did you mean --listen-peer-urls?)"
        );
        assert_eq!(refused(&["--nonsense"]), "flag provided but not defined: -nonsense");
        assert_eq!(refused(&["--name"]), "flag needs an argument: -name");
        for stray in ["gateway", "-", "---name", "--=x"] {
            assert_eq!(refused(&[stray]), format!("'{stray}' is not a valid flag"));
        }
        assert_eq!(refused(&["--name=a", "--", "b"]), "'b' is not a valid flag");
    }

    #[test]
    fn help_and_version_are_asked_for_in_any_form() {
        for word in ["-h", "--help", "-help"] {
            assert_eq!(asked(&["--name=a", word]).unwrap(), Asked::Help);
        }
        assert_eq!(asked(&["--version"]).unwrap(), Asked::Version);
        assert_eq!(asked(&["-version"]).unwrap(), Asked::Version);
    }
}
