//! `quorate restore`: a data directory of a new cluster, made from a snapshot. Run once for each first member, with the
//! same snapshot and the same list of members; then start them.
//!
//! ```text
//!   check the plan ─▶ read and verify all of the snapshot ─▶ identity ─▶ store, beside ─▶ store, in its place
//! ```
//!
//! * Nothing is written before everything was read and found sound.
//! * A restore that was cut short leaves a directory that does not start as a member, and can be restored into again.

use super::print;
use super::snapshot::{EncryptionKey, Found, Place, describe};
use crate::bootstrap::{IDENTITY_FILE, Restored, format_restored};
use crate::config::Address;
use crate::disk::claim::LOCK_FILE;
use crate::disk::{DirectoryClaim, Disk, RealDisk};
use crate::snapshot::{restore_into, verify};
use crate::store::STATE_FILE;
use anyhow::{Context, ensure};
use clap::Args;
use mvcc::Rebirth;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Where the store is written before it is whole.
const UNFINISHED_DIRECTORY: &str = "restoring";

/// From what, and for which cluster. The flags are those of `etcdctl snapshot restore`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// A store (dir:/path, or s3://bucket/prefix with options), a directory with one in it, or a file that
    /// `quorate snapshot take` or `etcdctl snapshot save` wrote.
    place: String,
    /// Which snapshot: the beginning of its id; the newest one without it.
    id: Option<String>,
    #[command(flatten)]
    key: EncryptionKey,
    /// The new member's name.
    #[arg(long, default_value = "default")]
    name: String,
    /// The new member's data directory; empty, or made [default: NAME.etcd].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Every first member of the new cluster as name=url, separated by commas [default: this member alone].
    #[arg(long)]
    initial_cluster: Option<String>,
    /// Where the new member's peers will reach it.
    #[arg(long, value_delimiter = ',', default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: Vec<Address>,
    /// Tells the new cluster from others with the same members.
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// How much to raise the revision, so that clients which remember the old cluster notice.
    #[arg(long, default_value_t = 0)]
    bump_revision: u64,
    /// Tell clients that everything before is compacted, so that watches from old revisions end.
    #[arg(long, requires = "bump_revision")]
    mark_compacted: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(restore(options))
}

async fn restore(options: &Options) -> anyhow::Result<ExitCode> {
    let members = members(options)?;
    let directory = options.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{}.etcd", options.name)));
    refuse_used(&directory)?;
    let found = Place::open(&options.place, &options.key).await?.find(options.id.as_deref()).await?;
    ensure!(
        !found.lacks_encryption(&options.key),
        "{}: is not encrypted, so whoever can write to the store may have made it: name no --encryption-key-file to \
         restore it all the same",
        found.id()
    );
    print(&describe(&found, false));
    verify(found.manifest(), found.source(), |_| ()).await.context("the snapshot cannot be restored")?;
    let claim = DirectoryClaim::take(&directory)?;
    clear(&directory)?;
    let member = format_restored(&directory, &options.name, restored(options, &found, members))?;
    fill(&directory, &found, rebirth(options)).await?;
    drop(claim);
    let revision = found.manifest().revision.saturating_add_unsigned(options.bump_revision);
    print(&format!("restored: member {member} in {}, at revision {revision}\n", directory.display()));
    Ok(ExitCode::SUCCESS)
}

fn rebirth(options: &Options) -> Rebirth {
    Rebirth::NewCluster { revision_bump: options.bump_revision, mark_compacted: options.mark_compacted }
}

fn restored(options: &Options, found: &Found, members: BTreeMap<String, Vec<String>>) -> Restored {
    Restored {
        // The same one, in whatever store or file.
        snapshot: found.manifest().id().to_string(),
        variant: format!("+{}{}", options.bump_revision, if options.mark_compacted { " compacted" } else { "" }),
        index: found.manifest().last.index.0,
        term: found.manifest().last.term.0,
        token: options.initial_cluster_token.clone(),
        members,
    }
}

/// The first members by name, this one among them as it advertises itself.
fn members(options: &Options) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mine: Vec<String> = options.initial_advertise_peer_urls.iter().map(ToString::to_string).collect();
    let Some(list) = &options.initial_cluster else { return Ok([(options.name.clone(), mine)].into()) };
    let mut members = BTreeMap::<String, Vec<String>>::new();
    for part in list.split(',') {
        let (name, url) = part
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .with_context(|| format!("--initial-cluster must be name=url,name=url; {part:?} is not name=url"))?;
        let url: Address = url.parse().with_context(|| format!("--initial-cluster holds {url:?}"))?;
        members.entry(name.to_owned()).or_default().push(url.to_string());
    }
    let listed = members.get(&options.name);
    let listed = listed.with_context(|| format!("--initial-cluster does not name {:?}", options.name))?;
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort_unstable();
        urls
    };
    ensure!(
        sorted(listed) == sorted(&mine),
        "--initial-cluster has {} at {}, and --initial-advertise-peer-urls says {}",
        options.name,
        listed.join(","),
        mine.join(",")
    );
    Ok(members)
}

/// A directory that anything but an unfinished restore is in.
fn refuse_used(directory: &Path) -> anyhow::Result<()> {
    let names = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => {
            entries.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
        }
    };
    let names = names.with_context(|| directory.display().to_string())?;
    let unfinished = names.iter().any(|name| name == UNFINISHED_DIRECTORY);
    let ours = |name: &std::ffi::OsString| {
        name == LOCK_FILE || (unfinished && (name == UNFINISHED_DIRECTORY || name == IDENTITY_FILE))
    };
    let other = names.iter().find(|name| !ours(name) && *name != "lost+found");
    ensure!(
        other.is_none(),
        "{} is not empty: a new cluster is never restored over what is there",
        directory.display()
    );
    Ok(())
}

/// Removes what an unfinished restore has left. The mark of one goes last, and comes first.
fn clear(directory: &Path) -> anyhow::Result<()> {
    let unfinished = directory.join(UNFINISHED_DIRECTORY);
    let cleared = gone(fs::remove_file(directory.join(IDENTITY_FILE)))
        .and_then(|()| gone(fs::remove_dir_all(&unfinished)))
        .and_then(|()| DirectoryClaim::take(&unfinished).map(drop).map_err(io::Error::other))
        .and_then(|()| sync(directory));
    cleared.with_context(|| directory.display().to_string())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Writes the store beside, and puts it in its place when it is whole.
async fn fill(directory: &Path, found: &Found, rebirth: Rebirth) -> anyhow::Result<()> {
    let unfinished = directory.join(UNFINISHED_DIRECTORY);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&unfinished)?);
    restore_into(disk, found.manifest(), found.source(), rebirth, |_| ()).await?;
    let placed = fs::rename(unfinished.join(STATE_FILE), directory.join(STATE_FILE))
        .and_then(|()| fs::remove_dir_all(&unfinished))
        .and_then(|()| sync(directory));
    placed.with_context(|| directory.display().to_string())
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
