//! What is done to the files, in the order that a crash cannot harm.

use crate::{Attributes, Error, ObjectName};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where objects are while they are written. No object can have this name.
const PARTIAL: &str = ".partial";

/// A file being written for longer than this belongs to nobody: calls end within minutes.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What to do if the object exists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Existing {
    /// The new one takes its place.
    Replaced,
    /// It stays, and the new one is refused.
    Refused,
}

/// Why a call failed, before it is said what was being done.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is about the object.
    Object(Error),
    /// It is about the disk.
    Disk(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Fault {
    /// The error, with what was being done.
    pub(super) fn named(self, doing: String) -> Error {
        let error = match self {
            Self::Object(error) => return error,
            Self::Disk(error) => error,
        };
        let problem = error.to_string();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::Denied { doing, problem },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Error::Full { doing, problem }
            }
            ErrorKind::NotADirectory | ErrorKind::IsADirectory => Error::Protocol { doing, problem },
            _ => Error::Unavailable { doing, problem, pause: None },
        }
    }
}

/// Makes the directory, and clears what crashes left in it.
pub(super) fn prepare(root: &Path) -> Result<(), Fault> {
    let partial = root.join(PARTIAL);
    fs::create_dir_all(&partial)?;
    sync_folder(root)?;
    for entry in fs::read_dir(&partial)? {
        let entry = entry?;
        let age = entry.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
        if matches!(age, Ok(Ok(age)) if age > PARTIAL_AGE_MAX) {
            gone_or(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

pub(super) fn put(root: &Path, name: &ObjectName, bytes: &[u8], existing: Existing) -> Result<(), Fault> {
    let partial = root.join(PARTIAL).join(random_name()?);
    let outcome =
        write_synced(&partial, bytes).map_err(Fault::from).and_then(|()| publish(root, &partial, name, existing));
    // After a rename there is nothing left; after anything else what is left helps nobody.
    let cleared = gone_or(fs::remove_file(&partial));
    outcome.and(cleared.map_err(Fault::from))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Lets the synced file be seen under its name, and makes that durable.
fn publish(root: &Path, partial: &Path, name: &ObjectName, existing: Existing) -> Result<(), Fault> {
    let (path, folder) = (root.join(name.as_str()), folder_of(root, name));
    make_folder(root, &folder)?;
    match existing {
        Existing::Replaced => fs::rename(partial, &path)?,
        // A link is the rename that does not replace, on every file system.
        Existing::Refused => fs::hard_link(partial, &path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Fault::Object(Error::Exists { object: name.clone() }),
            _ => Fault::Disk(error),
        })?,
    }
    Ok(sync_folder(&folder)?)
}

pub(super) fn get(root: &Path, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Fault> {
    let (mut file, bytes) = open(root, name)?;
    if bytes > bytes_max {
        return Err(corrupt(name, format!("it has {bytes} bytes, at most {bytes_max} were expected")));
    }
    read_exactly(&mut file, name, bytes)
}

pub(super) fn get_range(root: &Path, name: &ObjectName, range: &Range<u64>) -> Result<Bytes, Fault> {
    let (mut file, bytes) = open(root, name)?;
    if range.end > bytes {
        return Err(corrupt(name, format!("it has {bytes} bytes, byte {} was expected", range.end)));
    }
    file.seek(SeekFrom::Start(range.start))?;
    read_exactly(&mut file, name, range.end.saturating_sub(range.start))
}

pub(super) fn head(root: &Path, name: &ObjectName) -> Result<Attributes, Fault> {
    let (file, _) = open(root, name)?;
    Ok(attributes(&file.metadata()?))
}

pub(super) fn delete(root: &Path, name: &ObjectName) -> Result<(), Fault> {
    match fs::remove_file(root.join(name.as_str())) {
        Ok(()) => Ok(sync_folder(&folder_of(root, name))?),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a file's metadata says of the object.
pub(super) fn attributes(meta: &fs::Metadata) -> Attributes {
    Attributes { bytes: meta.len(), modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH) }
}

/// The file and its length.
fn open(root: &Path, name: &ObjectName) -> Result<(File, u64), Fault> {
    let absent = || Fault::Object(Error::NotFound { object: name.clone() });
    let file = File::open(root.join(name.as_str()))
        .map_err(|error| if is_absent(&error) { absent() } else { Fault::Disk(error) })?;
    let meta = file.metadata()?;
    // A folder of objects is no object.
    if meta.is_file() { Ok((file, meta.len())) } else { Err(absent()) }
}

/// A name below a file is as absent as one below nothing.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read_exactly(file: &mut File, name: &ObjectName, bytes: u64) -> Result<Bytes, Fault> {
    let length = usize::try_from(bytes).map_err(|_| corrupt(name, format!("{bytes} bytes do not fit in memory")))?;
    let mut buffer = vec![0; length];
    file.read_exact(&mut buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => corrupt(name, "it became shorter while it was read".to_owned()),
        _ => Fault::Disk(error),
    })?;
    Ok(buffer.into())
}

fn corrupt(name: &ObjectName, problem: String) -> Fault {
    Fault::Object(Error::Corrupt { object: name.clone(), problem })
}

fn folder_of(root: &Path, name: &ObjectName) -> PathBuf {
    name.as_str().rsplit_once('/').map_or_else(|| root.to_owned(), |(folder, _)| root.join(folder))
}

/// Makes the folders from `root` down to `folder`, each one durable in the one above.
fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().expect("a folder below the root has one above");
    make_folder(root, above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(above),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removing what is gone is done.
fn gone_or(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn random_name() -> io::Result<String> {
    let bits = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{bits:016x}"))
}
