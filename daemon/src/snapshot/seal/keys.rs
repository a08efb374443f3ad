//! The file with the keys, as [`backup_keys`] reads it. The first one seals, all of them open.
//!
//! To rotate is to put a new line before the others, and to take the last one away when no snapshot under it is left.

use super::key::{Key, KeyId};
use crate::reload::Reloading;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tracing::info;

/// The name of the file in a folder that it comes to later.
const NAME_IN_FOLDER: &str = "keys";

/// The keys of a file, the one that seals first.
#[derive(Debug)]
pub struct Keys(Vec<Arc<Key>>);

/// A file with keys, read again when it changes. A cheap clone.
///
/// * Whoever has one means to encrypt: as long as there are no keys it is an error to ask for them, and never a reason
///   to do without.
/// * Keys that were there once stay, whatever becomes of the file: a Secret that is deleted under a member stops nothing.
#[derive(Clone)]
pub struct KeyFile {
    path: PathBuf,
    /// Empty until the file was good for the first time.
    keys: Arc<OnceLock<Reloading<Keys, KeyFileError>>>,
}

/// Why a file with keys cannot be used. Nothing of its content is said.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Content(#[from] backup_keys::Problem),
}

impl Keys {
    /// The key for what is sealed from now on.
    #[must_use]
    pub fn sealing(&self) -> &Arc<Key> {
        self.0.first().expect("a file without a key is refused")
    }

    /// The key with this id.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.id() == id)
    }

    fn read(path: &Path) -> Result<Self, Problem> {
        let secrets = backup_keys::secrets(&std::fs::read_to_string(path)?)?;
        Ok(Self(secrets.iter().map(|secret| Arc::new(Key::new(secret))).collect()))
    }
}

/// The ids, the sealing one first.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, key.id())?;
        }
        Ok(())
    }
}

impl KeyFile {
    /// Reads the file, which has to be there.
    ///
    /// # Errors
    /// [`KeyFileError`]; a later change that cannot be used is only logged, and the last good keys stay.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let file = Self { path: path.to_owned(), keys: Arc::default() };
        file.current()?;
        Ok(file)
    }

    /// The file of a folder that may be filled later, as a mounted Secret is one.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join(NAME_IN_FOLDER), keys: Arc::default() }
    }

    /// The keys as the file has them now.
    ///
    /// # Errors
    /// [`KeyFileError`] as long as it has never had any.
    pub fn current(&self) -> Result<Arc<Keys>, KeyFileError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys.current());
        }
        let keys = Reloading::new(vec![self.path.clone()], self.reader())?;
        info!(path = %self.path.display(), keys = %keys.current(), "keys for backups are at hand");
        Ok(self.keys.get_or_init(|| keys).current())
    }

    fn reader(&self) -> impl Fn() -> Result<Keys, KeyFileError> + Send + Sync + 'static {
        let path = self.path.clone();
        move || Keys::read(&path).map_err(|problem| KeyFileError { path: path.clone(), problem })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.path.display())
    }
}

impl Eq for KeyFile {}

impl PartialEq for KeyFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FIRST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER: &str = "//////////////////////////////////////////8=";

    #[test]
    fn keys_are_known_by_their_ids_and_the_first_one_seals() {
        let folder = tempfile::tempdir().expect("room");
        let path = folder.path().join("both");
        fs::write(&path, format!("{}\n{}", "09".repeat(32), "07".repeat(32))).expect("room");
        let keys = KeyFile::open(&path).and_then(|file| file.current()).expect("two keys");
        let [nine, seven] = [9, 7].map(|byte| Key::new(&[byte; backup_keys::SECRET_BYTES]).id());
        assert_eq!((keys.sealing().id(), keys.to_string()), (nine, format!("{nine}, {seven}")));
        assert!(keys.find(seven).is_some() && keys.find(KeyId::from_bytes([0; 8])).is_none());
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_change_leaves_the_keys_there_were() {
        let folder = tempfile::tempdir().expect("room");
        let path = folder.path().join("keys");
        let missing = KeyFile::open(&path).expect_err("it is not there").to_string();
        assert!(missing.contains(&path.display().to_string()), "{missing}");
        fs::write(&path, FIRST).expect("room");
        let file = KeyFile::open(&path).expect("a key");
        let sealing = |file: &KeyFile| file.current().expect("keys").sealing().id();
        let first = sealing(&file);
        fs::write(&path, format!("{OTHER}\n{FIRST}\n")).expect("room");
        let rotated = file.current().expect("keys");
        assert!(rotated.sealing().id() != first && rotated.find(first).is_some());
        fs::write(&path, "nonsense").expect("room");
        assert_eq!(sealing(&file), rotated.sealing().id());
        fs::remove_file(&path).expect("it was there");
        assert_eq!(sealing(&file), rotated.sealing().id());
        assert!(!format!("{file:?} {rotated:?}").contains("0405"));
    }

    #[test]
    fn a_file_that_comes_later_is_an_error_until_it_is_good_and_every_clone_has_it_then() {
        let folder = tempfile::tempdir().expect("room");
        let mounted = folder.path().join("mounted");
        let file = KeyFile::in_folder(&mounted);
        let clone = file.clone();
        let lacking = |file: &KeyFile| file.current().expect_err("no key yet").to_string();
        assert!(lacking(&file).contains("mounted/keys: No such file"), "{}", lacking(&file));
        fs::create_dir(&mounted).expect("room");
        fs::write(mounted.join("keys"), "0405 is no key").expect("room");
        let bad = lacking(&file);
        assert!(bad.contains("line 1 is no key") && !bad.contains("0405"), "the reason is the newest one: {bad}");
        fs::write(mounted.join("keys"), FIRST).expect("room");
        let there = file.current().expect("a key");
        fs::remove_file(mounted.join("keys")).expect("it was there");
        assert_eq!(clone.current().expect("it stays").sealing().id(), there.sealing().id());
        assert!(KeyFile::in_folder(&mounted).current().is_err(), "one that is made now has never seen it");
    }
}
