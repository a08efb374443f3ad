//! `quorate snapshot`: looking at snapshots and backups, checking them, taking and deleting them.

mod delete;
mod place;
mod show;
mod take;

pub(super) use place::{Found, Place};
pub(super) use show::describe;

use super::print;
use crate::snapshot::{KeyFile, verify};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with snapshots.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the snapshots of a store, the oldest first.
    Ls {
        #[command(flatten)]
        at: At,
    },
    /// Show what a snapshot says of itself.
    Inspect {
        #[command(flatten)]
        which: Which,
        /// Show its chunks, too.
        #[arg(long)]
        chunks: bool,
    },
    /// Read all of a snapshot and check everything that a restore relies on.
    Verify {
        #[command(flatten)]
        which: Which,
        /// Check every snapshot of the store.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Take a snapshot of a running member.
    Take(take::Options),
    /// Delete a snapshot, and the chunks that no other one needs.
    Delete {
        #[command(flatten)]
        at: At,
        /// Which: the beginning of its id.
        id: String,
        /// Also if it is the newest of its cluster.
        #[arg(long)]
        newest: bool,
    },
}

/// Where snapshots are.
#[derive(Debug, Args)]
pub(super) struct At {
    /// A store (dir:/path, or s3://bucket/prefix with options), a directory with one in it, or a single file.
    place: String,
    #[command(flatten)]
    key: EncryptionKey,
}

/// What opens, and encrypts, the snapshots of a store.
#[derive(Debug, Args)]
pub(super) struct EncryptionKey {
    /// The file with the keys that the store is encrypted with: --backup-encryption-key-file of its members.
    #[arg(long)]
    encryption_key_file: Option<PathBuf>,
}

impl EncryptionKey {
    /// The keys, if they are named.
    fn open(&self) -> anyhow::Result<Option<KeyFile>> {
        let open = |path: &PathBuf| KeyFile::open(path).context("--encryption-key-file cannot be used");
        self.encryption_key_file.as_ref().map(open).transpose()
    }
}

impl EncryptionKey {
    /// Whether there is to be one.
    pub(super) fn is_named(&self) -> bool {
        self.encryption_key_file.is_some()
    }
}

impl At {
    pub(super) async fn open(&self) -> anyhow::Result<Place> {
        Place::open(&self.place, &self.key).await
    }
}

/// Which snapshot.
#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    at: At,
    /// The beginning of its id; the newest one without it.
    id: Option<String>,
}

impl Which {
    pub(super) async fn find(&self) -> anyhow::Result<Found> {
        self.at.open().await?.find(self.id.as_deref()).await
    }
}

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.action {
            Action::Ls { at } => show::list(&at.open().await?).await,
            Action::Inspect { which, chunks } => {
                let found = which.find().await?;
                print(&describe(&found, chunks));
                Ok(ExitCode::SUCCESS)
            }
            Action::Verify { which, all } => verify_some(&which, all).await,
            Action::Take(options) => take::run(&options).await,
            Action::Delete { at, id, newest } => delete::run(&at.open().await?, &id, newest).await,
        }
    })
}

/// Goes on after a bad one, and fails then.
async fn verify_some(which: &Which, all: bool) -> anyhow::Result<ExitCode> {
    if !all {
        verify_one(&which.find().await?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = which.at.open().await?;
    let mut code = ExitCode::SUCCESS;
    for name in place.list().await? {
        let verified = match place.open_one(&name).await {
            Ok(found) => verify_one(&found).await,
            Err(error) => Err(error),
        };
        if let Err(problem) = verified {
            eprintln!("{problem:#}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn verify_one(found: &Found) -> anyhow::Result<()> {
    let image = verify(found.manifest(), found.source(), |_| ()).await?;
    let chunks = found.manifest().chunks.len();
    let (rows, revision) = (image.rows, image.revision.0);
    print(&format!("{} is whole: {chunks} chunks, {rows} rows, revision {revision}\n", found.id()));
    Ok(())
}

/// A file that is removed unless it is kept.
#[derive(Debug)]
pub(super) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may never have been created.
            let _gone = std::fs::remove_file(path);
        }
    }
}
