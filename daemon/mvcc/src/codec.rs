//! The bytes of a command: the payload of a log entry, and what a follower forwards to its leader.
//!
//! ```text
//!   offset  0           1       2            10             18
//!           version u8 │ kind u8│ origin u64 │ sequence u64 │ body
//! ```
//!
//! Fixed integers are little-endian. In bodies, `int` is a zigzag LEB128 varint, `bytes` a varint length and as many
//! bytes, `list` a varint count and as many items.
//!
//! ```text
//!   kind  body
//!    0    noop         nothing
//!    1    put          flags u8 │ lease int, if flagged │ key bytes │ value bytes
//!    2    delete range flags u8 │ key bytes │ end bytes
//!    3    txn          compares list │ success list │ failure list
//!    4    compact      revision int
//!    5    alarm        action u8 │ alarm u8 │ member u64
//!    6    publish      member u64 │ name bytes │ client URLs list of bytes
//!    8    staging      change u8 │ 1: record of `staging`; 2: id [32] │ ms varint; 3: id [32]; 4: member varint; 5: nothing
//!   16-   leases, 32- users and roles: reserved
//! ```
//!
//! An operation of a transaction is a kind byte (1, 2, 3, or 7 for a range) and the body. A range is
//! `flags u16 │ order u8 │ target u8 │ key bytes │ end bytes` and then, for each flagged one, `revision`, `limit`,
//! `min_mod`, `max_mod`, `min_create`, `max_create` as `int`. A compare is
//! `relation u8 │ target u8 │ key bytes │ end bytes │ operand`, the operand being `bytes` for a value, else `int`.
//!
//! * A decoder refuses another version, unknown kinds and flags, and bytes left over: two members never understand
//!   the same entry differently.
//! * Decoding copies no key and no value: they are views of the input.

use crate::command::{Body, Command};
use crate::types::RequestId;
use bytes::{BufMut, Bytes, BytesMut};

mod read;
mod write;

/// The first byte of every command.
pub const CODEC_VERSION: u8 = 1;

/// How deep transactions may nest. etcd's limit of 128 operations, shared between levels, lets no client nest deeper.
pub const TXN_DEPTH_MAX: usize = 128;

/// Bytes before the body.
const HEADER_BYTES: usize = 18;

/// Why bytes are not a command of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("command is cut short")]
    Short,
    /// They go on after the command.
    #[error("command is followed by {0} bytes")]
    Trailing(usize),
    /// They were written by another version.
    #[error("command has version {0}")]
    Version(u8),
    /// A byte stands for nothing in this version.
    #[error("command has an unknown {what}: {value}")]
    Unknown {
        /// What the byte says.
        what: &'static str,
        /// The byte.
        value: u16,
    },
    /// A varint has more than 64 bits.
    #[error("command has an oversized integer")]
    Oversized,
    /// A name or URL is not UTF-8.
    #[error("command has text that is not UTF-8")]
    Text,
    /// Transactions nest deeper than [`TXN_DEPTH_MAX`].
    #[error("command nests transactions too deep")]
    Depth,
}

/// The numbers of commands and operations.
mod kind {
    pub(super) const NOOP: u8 = 0;
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE_RANGE: u8 = 2;
    pub(super) const TXN: u8 = 3;
    pub(super) const COMPACT: u8 = 4;
    pub(super) const ALARM: u8 = 5;
    pub(super) const PUBLISH_MEMBER: u8 = 6;
    pub(super) const RANGE: u8 = 7;
    pub(super) const STAGING: u8 = 8;
}

/// Flags of puts and deletes.
mod flag {
    pub(super) const PREV_KV: u8 = 1;
    pub(super) const IGNORE_VALUE: u8 = 2;
    pub(super) const IGNORE_LEASE: u8 = 4;
    pub(super) const LEASE: u8 = 8;
}

/// Flags of ranges.
mod range_flag {
    pub(super) const KEYS_ONLY: u16 = 1;
    pub(super) const COUNT_ONLY: u16 = 2;
    pub(super) const REVISION: u16 = 4;
    pub(super) const LIMIT: u16 = 8;
    pub(super) const MIN_MOD: u16 = 16;
    pub(super) const MAX_MOD: u16 = 32;
    pub(super) const MIN_CREATE: u16 = 64;
    pub(super) const MAX_CREATE: u16 = 128;
    pub(super) const ALL: u16 = 255;
}

impl Command {
    /// Appends the bytes of this command to `out`.
    pub fn encode_into(&self, out: &mut BytesMut) {
        self.body.encode_into(self.id, out);
    }

    /// The bytes of this command in a buffer of their own.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body.encoded_hint());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// Reads a command that is all of `bytes`; keys and values are views of them.
    ///
    /// # Errors
    /// [`DecodeError`] if they are anything but exactly one command of this version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        read::command(bytes)
    }

    /// Whose request the command in `bytes` is, without decoding the rest.
    #[must_use]
    pub fn peek_id(bytes: &[u8]) -> Option<RequestId> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        (header[0] == CODEC_VERSION).then(|| read::request_id(header))
    }
}

impl Body {
    /// Appends the bytes of the command that this body makes under `id`.
    pub fn encode_into(&self, id: RequestId, out: &mut BytesMut) {
        out.reserve(self.encoded_hint());
        out.put_u8(CODEC_VERSION);
        out.put_u8(write::kind_of(self));
        out.put_u64_le(id.origin);
        out.put_u64_le(id.sequence);
        write::body(self, out);
    }

    /// About how many bytes the command takes; exact enough to allocate once for the kinds that are frequent.
    #[must_use]
    pub fn encoded_hint(&self) -> usize {
        const LENGTHS: usize = 24;
        let body = match self {
            Self::Put(put) => put.key.len() + put.value.len(),
            Self::DeleteRange(delete) => delete.range.key.len() + delete.range.end.len(),
            Self::Txn(_) => 512,
            Self::Noop | Self::Compact { .. } | Self::Alarm(_) | Self::PublishMember(_) | Self::Staging(_) => 64,
        };
        HEADER_BYTES + LENGTHS + body
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
