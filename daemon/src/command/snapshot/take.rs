//! `quorate snapshot take`: asks a running member for a snapshot and puts it into a file or a store.
//!
//! A store gets only the chunks that it does not have. The member sends all of them: it does not know the store, and
//! needs no right to it.

use super::place::Place;
use super::{EncryptionKey, Found, Unfinished, describe};
use crate::command::admin_client::AdminClient;
use crate::command::{Endpoints, print};
use crate::snapshot::{ChunkSource, SealedChunk, SnapshotFile, SnapshotStore};
use admin_api::PATH_SNAPSHOT;
use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Whom to ask, and where the snapshot goes.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// A store (dir:/path or s3://bucket/prefix), a directory with one in it, or the name of a file to write.
    #[arg(long)]
    to: String,
    #[command(flatten)]
    key: EncryptionKey,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let to_store = options.to.contains(':') || Path::new(&options.to).is_dir();
    if to_store {
        let place = Place::open(&options.to, &options.key).await?;
        let spool = std::env::temp_dir().join(format!("quorate-snapshot-{}.unfinished", std::process::id()));
        let spooled = Unfinished::at(spool.clone());
        let file = download(options, &spool).await?;
        put(place.store()?, &file).await?;
        drop(spooled);
    } else {
        ensure!(!options.key.is_named(), "--encryption-key-file is for stores, and {} is a file", options.to);
        let path = PathBuf::from(&options.to);
        ensure!(!path.exists(), "{} exists already", path.display());
        let unfinished = PathBuf::from(format!("{}.unfinished", options.to));
        let written = Unfinished::at(unfinished.clone());
        let file = download(options, &unfinished).await?;
        std::fs::rename(&unfinished, &path).with_context(|| path.display().to_string())?;
        written.keep();
        print(&describe(&Found::File(file), false));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes what the first member sends that can be reached, and checks the whole.
async fn download(options: &Options, path: &Path) -> anyhow::Result<SnapshotFile> {
    let client = AdminClient::new(&options.endpoints)?;
    let mut problems = Vec::new();
    for endpoint in &options.endpoints.endpoints {
        let mut file = created(path).with_context(|| path.display().to_string())?;
        match client.download(endpoint, PATH_SNAPSHOT, |part: Bytes| file.write_all(&part)).await {
            Ok(()) => {
                file.sync_all().with_context(|| path.display().to_string())?;
                return Ok(SnapshotFile::open(path)?);
            }
            Err(error) => problems.push(format!("{endpoint}: {error}")),
        }
    }
    anyhow::bail!("no member sent a snapshot: {}", problems.join("; "))
}

fn created(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

async fn put(store: &SnapshotStore, file: &SnapshotFile) -> anyhow::Result<()> {
    let manifest = file.manifest();
    let mut upload = store.upload(manifest.cluster).await?;
    let uploaded = async {
        for chunk in &manifest.chunks {
            let bytes = file.chunk(chunk).await?;
            upload.chunk(SealedChunk { chunk: *chunk, bytes }).await?;
        }
        upload.publish(manifest).await
    }
    .await;
    let (bytes, shared) = (upload.uploaded_bytes, upload.shared_bytes);
    upload.end().await;
    let name = uploaded?;
    print(&format!("{}: {bytes} bytes uploaded, {shared} bytes were there already\n", name.id));
    Ok(())
}
