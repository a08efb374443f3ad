//! The decoders, by whose bytes they read.
//!
//! | module | bytes of |
//! | --- | --- |
//! | [`peers`] | other members: frames, first words, the snapshot lane |
//! | [`disk`] | the data directory: log, state, identity, an install that was begun |
//! | [`snapshots`] | snapshots, in object storage and as one file, and the keys they are encrypted with |
//! | [`objects`] | object storage: names, and the answers of a server |
//! | [`clients`] | clients and operators: gRPC messages, and what is asked of the admin port |
//! | [`settings`] | people: flags, files, certificates |
//! | [`operator`] | the Kubernetes API: clusters as they are stored |

mod clients;
mod disk;
mod objects;
#[cfg(feature = "kubernetes")]
mod operator;
mod peers;
mod settings;
mod snapshots;

use super::{Target, Verdict};
use bytes::Bytes;
use raft::{Entry, EntryKind, LogId, MemberId, Membership};
use std::fmt::Debug;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// Every target.
pub(super) const GROUPS: &[&[Target]] = &[
    peers::TARGETS,
    disk::TARGETS,
    snapshots::TARGETS,
    objects::TARGETS,
    clients::TARGETS,
    settings::TARGETS,
    #[cfg(feature = "kubernetes")]
    operator::TARGETS,
];

const ME: MemberId = MemberId(1);

fn verdict<T, E>(result: &Result<T, E>) -> Verdict {
    if result.is_ok() { Verdict::Accepted } else { Verdict::Refused }
}

/// What was read reads the same once it is written again.
fn again<T: PartialEq + Debug, E: Debug>(first: &T, second: Result<T, E>) -> Verdict {
    let second = second.unwrap_or_else(|error| panic!("it does not come through again: {error:?}"));
    assert_eq!(&second, first, "it comes through again");
    Verdict::Accepted
}

/// JSON of this type, and written again the same.
fn json<T>(bytes: &[u8]) -> Verdict
where
    T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug,
{
    let Ok(found) = serde_json::from_slice::<T>(bytes) else { return Verdict::Refused };
    let written = serde_json::to_vec(&found).expect("what was read can be written");
    again(&found, serde_json::from_slice(&written).map_err(|error| error.to_string()))
}

/// A file that holds this, in memory where there is a place for it: a case is not to wait for a disk.
fn file_with(bytes: &[u8]) -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    let file = if memory.is_dir() { NamedTempFile::new_in(memory) } else { NamedTempFile::new() };
    let mut file = file.expect("room for a temporary file");
    file.write_all(bytes).expect("room for a temporary file");
    file
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn entry(index: u64, kind: EntryKind, payload: &[u8]) -> Entry {
    Entry::new(LogId::new(3, index), kind, 1_700_000_000_000_000, payload)
}

fn membership() -> Membership {
    let mut membership = Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::from_static(b"{}"))));
    membership.learners.insert(MemberId(9));
    membership.removed.insert(MemberId(8));
    membership.nodes.insert(MemberId(9), Bytes::from_static(b"info"));
    membership
}
