//! The file with the keys: one on a line, 32 bytes in hexadecimal or base64. The first one seals, all of them open.
//! Empty lines, and what follows a `#`, mean nothing.
//!
//! To rotate is to put a new line before the others, and to take the last one away when no snapshot under it is left.

use super::key::{Key, KeyId, SECRET_BYTES};
use crate::reload::Reloading;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than anybody rotates through while snapshots live; beyond it the file is another one.
const KEYS_MAX: usize = 64;

/// The keys of a file, the one that seals first.
#[derive(Debug)]
pub struct Keys(Vec<Arc<Key>>);

/// A file with keys, read again when it changes. A cheap clone.
#[derive(Clone)]
pub struct KeyFile {
    path: PathBuf,
    keys: Arc<Reloading<Keys, KeyFileError>>,
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
    #[error("holds no key: 32 bytes in hexadecimal or base64 on a line, as from openssl rand -hex 32")]
    Empty,
    #[error("line {0} is no key: 32 bytes in hexadecimal or base64, as from openssl rand -hex 32")]
    Line(usize),
    #[error("line {0} is a key that an earlier line has")]
    Twice(usize),
    #[error("has more than {KEYS_MAX} keys")]
    TooMany,
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

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut keys = Vec::<Arc<Key>>::new();
        for (at, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let key = Key::new(&secret(line).ok_or(Problem::Line(at))?);
            if keys.iter().any(|known| known.id() == key.id()) {
                return Err(Problem::Twice(at));
            }
            if keys.len() == KEYS_MAX {
                return Err(Problem::TooMany);
            }
            keys.push(Arc::new(key));
        }
        if keys.is_empty() { Err(Problem::Empty) } else { Ok(Self(keys)) }
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
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyFileError`]; a later change that cannot be used is only logged, and the last good keys stay.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let build = {
            let path = path.to_owned();
            move || {
                let read = std::fs::read_to_string(&path).map_err(Problem::from);
                read.and_then(|text| Keys::parse(&text)).map_err(|problem| KeyFileError { path: path.clone(), problem })
            }
        };
        Ok(Self { path: path.to_owned(), keys: Arc::new(Reloading::new(vec![path.to_owned()], build)?) })
    }

    /// The keys as the file has them now.
    #[must_use]
    pub fn current(&self) -> Arc<Keys> {
        self.keys.current()
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

fn secret(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let bytes = if text.len() == 2 * SECRET_BYTES { hexadecimal(text) } else { base64(text) };
    bytes?.try_into().ok()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// The usual alphabet, with or without the padding of one group that is not full. Bits left over must be 0.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        group = group << 6 | u32::from(sextet(digit)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits).ok()?);
            group &= (1 << bits) - 1;
        }
    }
    (group == 0 && bits < 6).then_some(bytes)
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "//////////////////////////////////////////8=";

    fn ids(text: &str) -> Result<Vec<KeyId>, String> {
        let keys = Keys::parse(text).map_err(|problem| problem.to_string())?;
        Ok(keys.0.iter().map(|key| key.id()).collect())
    }

    #[test]
    fn a_key_is_the_same_in_both_spellings_and_the_first_one_seals() {
        let one = ids(HEX).expect("a key");
        assert_eq!(ids(&format!("# ours\n\n  {BASE64}  # since November\n")), Ok(one.clone()));
        assert_eq!(ids(BASE64.trim_end_matches('=')), Ok(one.clone()));
        assert_eq!(ids(&HEX.to_uppercase()), Ok(one.clone()));
        let both = ids(&format!("{OTHER}\r\n{HEX}")).expect("two keys");
        assert!(both.len() == 2 && both[1] == one[0] && both[0] != one[0]);
        let keys = Keys::parse(&format!("{OTHER}\n{HEX}")).expect("two keys");
        assert_eq!((keys.sealing().id(), keys.to_string()), (both[0], format!("{}, {}", both[0], both[1])));
        assert!(keys.find(one[0]).is_some() && keys.find(KeyId::from_bytes([0; 8])).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_not_repeated() {
        let short = &HEX[2..];
        for (text, says) in [
            ("", "holds no key"),
            ("# only words\n", "holds no key"),
            (short, "line 1 is no key"),
            (&format!("{HEX}\n{HEX}00"), "line 2 is no key"),
            (&format!("{HEX}\n{BASE64}"), "line 2 is a key that an earlier line has"),
            (&HEX.replace('a', "x"), "line 1 is no key"),
            (&BASE64.replace("8=", "9="), "line 1 is no key"),
            (&format!("{BASE64}=="), "line 1 is no key"),
            ("passphrase", "line 1 is no key"),
        ] {
            let refused = ids(text).expect_err(text);
            assert!(refused.starts_with(says) && !refused.contains("0405") && !refused.contains("phrase"), "{refused}");
        }
        let many: String = (0..=KEYS_MAX).map(|n| format!("{n:064x}\n")).collect();
        assert_eq!(ids(&many).expect_err("too many"), "has more than 64 keys");
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_change_leaves_the_keys_there_were() {
        let folder = tempfile::tempdir().expect("room");
        let path = folder.path().join("keys");
        let missing = KeyFile::open(&path).expect_err("it is not there").to_string();
        assert!(missing.contains(&path.display().to_string()), "{missing}");
        std::fs::write(&path, HEX).expect("room");
        let file = KeyFile::open(&path).expect("a key");
        let first = file.current().sealing().id();
        std::fs::write(&path, format!("{OTHER}\n{HEX}\n")).expect("room");
        let rotated = file.current();
        assert!(rotated.sealing().id() != first && rotated.find(first).is_some());
        std::fs::write(&path, "nonsense").expect("room");
        assert_eq!(file.current().sealing().id(), rotated.sealing().id());
        assert!(!format!("{file:?} {rotated:?}").contains("0405"));
    }
}
