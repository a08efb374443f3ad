//! The bytes of a configuration, as a membership entry carries them.
//!
//! ```text
//!   version u8 = 1 │ flags u8 (bit 0: auto_leave) │ zero u16
//!   voters │ voters_outgoing │ learners │ learners_next │ removed      each: count u32 │ id u64 × count
//!   nodes: count u32 │ (id u64 │ length u32 │ bytes) × count
//! ```
//!
//! Integers are little-endian, ids ascend. Anything else, also bytes left over, is refused.

use super::Membership;
use crate::types::MemberId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 1;
const FLAG_AUTO_LEAVE: u8 = 1;

/// Bytes that are not a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipDecodeError {
    /// They end too early or go on too long.
    #[error("a membership is cut short or has bytes left over")]
    Length,
    /// Another version, or flags this one does not know.
    #[error("membership version {version} with flags {flags:#04x} is not known")]
    Unknown {
        /// The version byte.
        version: u8,
        /// The flags byte.
        flags: u8,
    },
    /// Ids do not ascend, or one is zero.
    #[error("the ids of a membership do not ascend")]
    Order,
}

impl Membership {
    /// Its bytes; the module says how they are laid out.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        out.put_u8(if self.auto_leave { FLAG_AUTO_LEAVE } else { 0 });
        out.put_u16_le(0);
        for ids in [&self.voters, &self.voters_outgoing, &self.learners, &self.learners_next, &self.removed] {
            put_count(&mut out, ids.len());
            ids.iter().for_each(|id| out.put_u64_le(id.0));
        }
        put_count(&mut out, self.nodes.len());
        for (id, node) in &self.nodes {
            out.put_u64_le(id.0);
            put_count(&mut out, node.len());
            out.put_slice(node);
        }
        out.freeze()
    }

    /// The configuration in `bytes`.
    ///
    /// # Errors
    /// [`MembershipDecodeError`] when they are not exactly one configuration.
    pub fn decode(mut bytes: Bytes) -> Result<Self, MembershipDecodeError> {
        let input = &mut bytes;
        let (version, flags, zero) = (take_u8(input)?, take_u8(input)?, take_u16(input)?);
        if version != VERSION || flags & !FLAG_AUTO_LEAVE != 0 || zero != 0 {
            return Err(MembershipDecodeError::Unknown { version, flags });
        }
        let membership = Self {
            auto_leave: flags & FLAG_AUTO_LEAVE != 0,
            voters: take_ids(input)?,
            voters_outgoing: take_ids(input)?,
            learners: take_ids(input)?,
            learners_next: take_ids(input)?,
            removed: take_ids(input)?,
            nodes: take_nodes(input)?,
        };
        if input.is_empty() { Ok(membership) } else { Err(MembershipDecodeError::Length) }
    }
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("a membership is far smaller than 4 GiB"));
}

fn take_u8(input: &mut Bytes) -> Result<u8, MembershipDecodeError> {
    input.try_get_u8().map_err(|_| MembershipDecodeError::Length)
}

fn take_u16(input: &mut Bytes) -> Result<u16, MembershipDecodeError> {
    input.try_get_u16_le().map_err(|_| MembershipDecodeError::Length)
}

fn take_count(input: &mut Bytes) -> Result<usize, MembershipDecodeError> {
    input.try_get_u32_le().map(|count| count as usize).map_err(|_| MembershipDecodeError::Length)
}

fn take_id(input: &mut Bytes, after: Option<MemberId>) -> Result<MemberId, MembershipDecodeError> {
    let id = input.try_get_u64_le().map(MemberId).map_err(|_| MembershipDecodeError::Length)?;
    if id > after.unwrap_or(MemberId::NONE) { Ok(id) } else { Err(MembershipDecodeError::Order) }
}

fn take_ids(input: &mut Bytes) -> Result<BTreeSet<MemberId>, MembershipDecodeError> {
    let mut ids = BTreeSet::new();
    for _ in 0..take_count(input)? {
        ids.insert(take_id(input, ids.last().copied())?);
    }
    Ok(ids)
}

fn take_nodes(input: &mut Bytes) -> Result<BTreeMap<MemberId, Bytes>, MembershipDecodeError> {
    let mut nodes = BTreeMap::new();
    for _ in 0..take_count(input)? {
        let id = take_id(input, nodes.last_key_value().map(|(id, _)| *id))?;
        let length = take_count(input)?;
        if length > input.len() {
            return Err(MembershipDecodeError::Length);
        }
        nodes.insert(id, input.split_to(length));
    }
    Ok(nodes)
}
