//! The two numbers that keep histories apart: which cluster, and which disk.

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Names one cluster for good. Printed in hexadecimal, as etcd does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u64);

/// Names one formatted disk: random, written once, never reused. A member id is bound to one of these, so that a
/// member whose disk was replaced is noticed before it votes with an empty memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId([u8; 16]);

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a storage id is 32 hexadecimal digits")]
pub struct StorageIdError;

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl StorageId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its first 64 bits: enough to tell two disks apart where no more fits.
    #[must_use]
    pub fn short(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl FromStr for StorageId {
    type Err = StorageIdError;

    fn from_str(text: &str) -> Result<Self, StorageIdError> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(StorageIdError);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| StorageIdError)
    }
}

impl Serialize for StorageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StorageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_id_reads_back_what_it_prints() {
        let id = StorageId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_text_is_no_storage_id() {
        for text in ["", "00", "+0000000000000000000000000000000", "zz00000000000000000000000000000z"] {
            assert_eq!(text.parse::<StorageId>(), Err(StorageIdError), "{text}");
        }
    }
}
