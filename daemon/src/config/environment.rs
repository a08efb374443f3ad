//! `ETCD_*`: every flag in upper case with underscores. Empty is unset, as in etcd.

use super::problem::{Problem, environment_name};
use super::table::{self, flags};
use std::collections::BTreeMap;

/// Variables of etcd's that are no flags and say nothing to us.
const NOT_FLAGS: &[&str] = &["ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY"];

/// What the environment says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Flags by name, as text.
    pub(super) flags: BTreeMap<&'static str, String>,
    /// `ETCD_*` variables that are nothing we know.
    pub(super) unrecognized: Vec<String>,
}

/// # Errors
/// A variable for a setting that the command line has set too: one of the two would be ignored in silence.
pub(super) fn read(
    environment: impl Iterator<Item = (String, String)>,
    given: &BTreeMap<&'static str, String>,
) -> Result<Read, Problem> {
    let mut read = Read::default();
    for (variable, value) in environment.filter(|(variable, value)| variable.starts_with("ETCD_") && !value.is_empty())
    {
        match flags().find(|flag| environment_name(flag.name) == variable).and_then(|flag| table::find(flag.name)) {
            Some(flag) if given.contains_key(flag.name) => {
                return Err(Problem::Shadowed { flag: flag.name.to_owned() });
            }
            Some(flag) => drop(read.flags.insert(flag.name, value)),
            None if NOT_FLAGS.contains(&variable.as_str()) => {}
            None => read.unrecognized.push(variable),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_variable_sets_its_flag_and_an_empty_one_does_not() {
        let pairs =
            [("ETCD_LISTEN_PEER_URLS", "http://a:1"), ("ETCD_NAME", ""), ("PATH", "/bin"), ("ETCD_VERIFY", "all")];
        let read = read(variables(&pairs), &BTreeMap::new()).unwrap();
        assert_eq!(read.flags, BTreeMap::from([("listen-peer-urls", "http://a:1".to_owned())]));
        assert!(read.unrecognized.is_empty());
    }

    #[test]
    fn an_unknown_variable_is_remembered_for_a_warning() {
        let read = read(variables(&[("ETCD_SERVICE_HOST", "10.0.0.1")]), &BTreeMap::new()).unwrap();
        assert_eq!(read.unrecognized, ["ETCD_SERVICE_HOST"]);
    }

    #[test]
    fn a_variable_and_a_flag_for_one_setting_are_refused() {
        let given = BTreeMap::from([("name", "a".to_owned())]);
        let refused = read(variables(&[("ETCD_NAME", "a")]), &given).unwrap_err().to_string();
        assert_eq!(
            refused,
            "conflicting environment variable \"ETCD_NAME\" is shadowed by corresponding command-line flag --name \
             (either unset environment variable or disable flag)"
        );
    }
}
