//! `quorate dump-log`: what a member's log holds, record by record. The member may be running; nothing is changed.

use crate::disk::RealDisk;
use crate::wal;
use anyhow::{Context, bail};
use clap::Args;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the log lives inside a data directory.
const LOG_DIRECTORY: &str = "wal";

/// Which log.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// A member's data directory, or its --wal-dir.
    dir: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match print(&options.dir, &mut io::stdout().lock()) {
        // Whoever reads has seen enough.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        printed => printed.map(|()| ExitCode::SUCCESS),
    }
}

fn print(dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    if !dir.is_dir() {
        bail!("{} is not a directory", dir.display());
    }
    let inner = dir.join(LOG_DIRECTORY);
    let dir = if inner.is_dir() { &inner } else { dir };
    let disk = RealDisk::read_only(dir);
    for line in wal::dump(&disk).with_context(|| format!("cannot list {}", dir.display()))? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Identity, Listener, Wal, WalRequest};
    use raft::{Index, LogId, MemberId};
    use std::sync::Arc;

    struct Nobody;

    impl Listener for Nobody {
        fn completed(&mut self, _: wal::Completion) {}

        fn failed(&mut self, _: &wal::WalError) {}
    }

    fn text(dir: &Path) -> String {
        let mut out = Vec::new();
        print(dir, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_in_use_is_told_from_its_data_directory_or_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_DIRECTORY);
        let identity = Identity { cluster: 7, member: MemberId(1), storage: [1; 16] };
        let options = wal::Options { create_if_missing: true, ..wal::Options::default() };
        let mut opened = Wal::open(Arc::new(RealDisk::open(&path).unwrap()), identity, &options).unwrap();
        let start = LogId::new(3, 40);
        let membership = Some((Index(40), b"who".to_vec().into()));
        opened.wal.perform([WalRequest::Reset { start, membership }], &mut Nobody).unwrap();
        let told = text(dir.path());
        assert!(told.contains("start=40@3"), "{told}");
        assert_eq!(told, text(&path));
    }

    #[test]
    fn what_is_no_log_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(text(dir.path()), "there is no segment\n");
        assert_eq!(print(Path::new("/none"), &mut Vec::new()).unwrap_err().to_string(), "/none is not a directory");
    }
}
