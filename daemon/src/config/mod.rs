//! Configuration: raw once, checked once.
//!
//! ```text
//!   arguments · environment · file ──▶ Raw ──check──▶ Settings ──▶ the parts
//!           table: every flag, once: name, kind and bounds, default, meaning, words for people
//! ```
//!
//! * A flag and its environment variable are not both set: one would be ignored in silence.
//! * A configuration file stands alone: flags and environment are then ignored, and that is said.
//! * Every refusal names the field as it was written, the value, and what is allowed ([`Problem`]).

pub mod address;
mod arguments;
mod check;
mod check_cluster;
mod check_features;
mod check_tls;
mod environment;
mod file;
mod flag;
mod help;
mod problem;
mod raw;
pub mod settings;
mod table;
mod value;

pub use address::{Address, AddressError};
pub use check::Checked;
pub use problem::{Field, Origin, Problem};
pub use settings::{Settings, Snapshot};

use arguments::Asked;
use raw::Raw;
use std::path::Path;

/// Under which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `quorate serve`.
    Quorate,
    /// `etcd`: the defaults are etcd's to the letter.
    Etcd,
}

impl Mode {
    fn data_dir_suffix(self) -> &'static str {
        match self {
            Self::Quorate => "quorate",
            Self::Etcd => "etcd",
        }
    }

    /// Several members on one machine, as etcd's users start them, would all want the same port.
    fn default_admin(self) -> Option<Address> {
        match self {
            Self::Quorate => Some(Address::Tcp { tls: false, host: "localhost".to_owned(), port: 2381 }),
            Self::Etcd => None,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Quorate => "quorate serve",
            Self::Etcd => "etcd",
        }
    }
}

/// What the command line wants.
#[derive(Debug)]
pub enum Wanted {
    /// This text, and no more.
    Help(String),
    /// The version, and no more.
    Version,
    /// To run, like this.
    Run(Box<Checked>),
}

/// Reads and checks everything: the arguments without the program's name, and the environment. `formed` tells of a
/// data directory whether its member belongs to a cluster already: what was said about forming is then history.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(
    mode: Mode,
    arguments: &[String],
    environment: impl Iterator<Item = (String, String)>,
    formed: &dyn Fn(&Path) -> bool,
) -> Result<Wanted, Problem> {
    let flags = match arguments::parse(arguments)? {
        Asked::Help => return Ok(Wanted::Help(help::text(mode.program()))),
        Asked::Version => return Ok(Wanted::Version),
        Asked::Flags(flags) => flags,
    };
    let environment: Vec<_> = environment.collect();
    let from_environment = || environment.iter().find(|(name, _)| name == "ETCD_CONFIG_FILE").map(|(_, path)| path);
    if let Some(path) = flags.get("config-file").or_else(from_environment).filter(|path| !path.is_empty()) {
        let mut checked = check::check(&file::read(Path::new(path))?, mode, formed)?;
        checked.notes.insert(0, format!("took everything from {path}: other flags and the environment are ignored"));
        return Ok(Wanted::Run(Box::new(checked)));
    }
    let environment = environment::read(environment.into_iter(), &flags)?;
    let mut raw = Raw::default();
    flags.iter().try_for_each(|(name, text)| raw.set_text(name, text, &Origin::Flag))?;
    environment.flags.iter().try_for_each(|(name, text)| raw.set_text(name, text, &Origin::Environment))?;
    let mut checked = check::check(&raw, mode, formed)?;
    checked
        .notes
        .extend(environment.unrecognized.iter().map(|name| format!("unrecognized environment variable {name}")));
    Ok(Wanted::Run(Box::new(checked)))
}
