//! What is wrong with a configuration: each names the field, the value and what is allowed.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In this file.
    File(PathBuf),
}

/// A setting as the person who wrote it would find it again: `--name`, `ETCD_NAME`, or `name in FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The flag's name.
    pub name: String,
    /// Where it was written.
    pub origin: Origin,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default | Origin::Flag => write!(f, "--{}", self.name),
            Origin::Environment => f.write_str(&environment_name(&self.name)),
            Origin::File(path) => write!(f, "{} in {}", self.name, path.display()),
        }
    }
}

/// The environment variable of a flag.
pub(super) fn environment_name(flag: &str) -> String {
    format!("ETCD_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Why there are no settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No flag has this name.
    #[error("flag provided but not defined: -{name}{}", hint(nearest.as_ref()))]
    UnknownFlag {
        /// As written.
        name: String,
        /// The flag that was probably meant.
        nearest: Option<String>,
    },
    /// A flag stands last and wants a value.
    #[error("flag needs an argument: -{name}")]
    NoValue {
        /// The flag.
        name: String,
    },
    /// A word that belongs to no flag.
    #[error("'{argument}' is not a valid flag")]
    NotAFlag {
        /// The word.
        argument: String,
    },
    /// One setting, written twice.
    #[error(
        "conflicting environment variable \"{}\" is shadowed by corresponding command-line flag --{flag} (either unset environment variable or disable flag)",
        environment_name(flag)
    )]
    Shadowed {
        /// The flag.
        flag: String,
    },
    /// A value outside what is allowed.
    #[error("{field}: {value:?} {allowed}")]
    Value {
        /// Which setting.
        field: Field,
        /// What was written.
        value: String,
        /// A phrase that completes "this value ...".
        allowed: String,
    },
    /// Two settings that do not go together.
    #[error("{0}")]
    Together(String),
    /// Something etcd has and we do not, where going on without would surprise.
    #[error("{field}: {value:?} is not supported: {instead}")]
    NotSupported {
        /// Which setting.
        field: Field,
        /// What was written.
        value: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The configuration file cannot be read.
    #[error("--config-file: {:?} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A field in the file that nobody knows.
    #[error("{}: unknown field {name:?} with value {value}{}", path.display(), hint(nearest.as_ref()))]
    UnknownField {
        /// The file.
        path: PathBuf,
        /// The field, with the block it stands in.
        name: String,
        /// Its value.
        value: String,
        /// What is allowed there.
        nearest: Option<String>,
    },
}

fn hint(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |hint| format!(" ({hint})"))
}
