//! Bytes to commands. Nothing here trusts its input: a log may hold what another release wrote, and a peer may send
//! anything.

use super::{CODEC_VERSION, DecodeError, HEADER_BYTES, TXN_DEPTH_MAX, flag, kind, range_flag};
use crate::command::{
    AlarmAction, AlarmChange, Body, Command, Compare, DeleteRange, Op, PublishedMember, Put, Relation, Target, Txn,
};
use crate::range::{RangeRequest, Sort, SortOrder, SortTarget};
use crate::staging::{self, Staging};
use crate::types::{Alarm, AlarmKind, KeyRange, RequestId, Revision};
use bytes::Bytes;

pub(super) fn command(bytes: &Bytes) -> Result<Command, DecodeError> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(DecodeError::Short)?;
    if header[0] != CODEC_VERSION {
        return Err(DecodeError::Version(header[0]));
    }
    let mut reader = Reader { bytes, at: HEADER_BYTES };
    let body = reader.body(header[1])?;
    match bytes.len() - reader.at {
        0 => Ok(Command { id: request_id(header), body }),
        left => Err(DecodeError::Trailing(left)),
    }
}

pub(super) fn request_id(header: &[u8; HEADER_BYTES]) -> RequestId {
    let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes of a fixed header"));
    RequestId { origin: word(2), sequence: word(10) }
}

/// A place in the input.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn body(&mut self, kind: u8) -> Result<Body, DecodeError> {
        Ok(match kind {
            kind::NOOP => Body::Noop,
            kind::PUT => Body::Put(self.put()?),
            kind::DELETE_RANGE => Body::DeleteRange(self.delete_range()?),
            kind::TXN => Body::Txn(self.txn(1)?),
            kind::COMPACT => Body::Compact { revision: Revision(self.int()?) },
            kind::ALARM => Body::Alarm(self.alarm()?),
            kind::PUBLISH_MEMBER => Body::PublishMember(self.publish_member()?),
            kind::STAGING => Body::Staging(self.staging()?),
            unknown => return Err(DecodeError::Unknown { what: "kind", value: unknown.into() }),
        })
    }

    fn put(&mut self) -> Result<Put, DecodeError> {
        let flags = self.flags(flag::PREV_KV | flag::IGNORE_VALUE | flag::IGNORE_LEASE | flag::LEASE)?;
        Ok(Put {
            lease: if flags & flag::LEASE != 0 { self.int()? } else { 0 },
            prev_kv: flags & flag::PREV_KV != 0,
            ignore_value: flags & flag::IGNORE_VALUE != 0,
            ignore_lease: flags & flag::IGNORE_LEASE != 0,
            key: self.bytes()?,
            value: self.bytes()?,
        })
    }

    fn delete_range(&mut self) -> Result<DeleteRange, DecodeError> {
        let flags = self.flags(flag::PREV_KV)?;
        Ok(DeleteRange { prev_kv: flags & flag::PREV_KV != 0, range: self.key_range()? })
    }

    fn txn(&mut self, depth: usize) -> Result<Txn, DecodeError> {
        if depth > TXN_DEPTH_MAX {
            return Err(DecodeError::Depth);
        }
        Ok(Txn {
            compares: self.list(Self::compare)?,
            success: self.list(|reader| reader.op(depth))?,
            failure: self.list(|reader| reader.op(depth))?,
        })
    }

    fn op(&mut self, depth: usize) -> Result<Op, DecodeError> {
        Ok(match self.byte()? {
            kind::RANGE => Op::Range(self.range()?),
            kind::PUT => Op::Put(self.put()?),
            kind::DELETE_RANGE => Op::DeleteRange(self.delete_range()?),
            kind::TXN => Op::Txn(self.txn(depth + 1)?),
            unknown => return Err(DecodeError::Unknown { what: "operation", value: unknown.into() }),
        })
    }

    fn range(&mut self) -> Result<RangeRequest, DecodeError> {
        let flags = u16::from_le_bytes([self.byte()?, self.byte()?]);
        if flags & !range_flag::ALL != 0 {
            return Err(DecodeError::Unknown { what: "range flag", value: flags });
        }
        let order = match self.byte()? {
            0 => SortOrder::None,
            1 => SortOrder::Ascend,
            2 => SortOrder::Descend,
            unknown => return Err(DecodeError::Unknown { what: "sort order", value: unknown.into() }),
        };
        let target = match self.byte()? {
            0 => SortTarget::Key,
            1 => SortTarget::Version,
            2 => SortTarget::Create,
            3 => SortTarget::Mod,
            4 => SortTarget::Value,
            unknown => return Err(DecodeError::Unknown { what: "sort target", value: unknown.into() }),
        };
        let range = self.key_range()?;
        let mut number = |flag| if flags & flag != 0 { self.int() } else { Ok(0) };
        Ok(RangeRequest {
            range,
            sort: Sort { order, target },
            keys_only: flags & range_flag::KEYS_ONLY != 0,
            count_only: flags & range_flag::COUNT_ONLY != 0,
            revision: Revision(number(range_flag::REVISION)?),
            limit: number(range_flag::LIMIT)?,
            min_mod_revision: Revision(number(range_flag::MIN_MOD)?),
            max_mod_revision: Revision(number(range_flag::MAX_MOD)?),
            min_create_revision: Revision(number(range_flag::MIN_CREATE)?),
            max_create_revision: Revision(number(range_flag::MAX_CREATE)?),
        })
    }

    fn compare(&mut self) -> Result<Compare, DecodeError> {
        let relation = match self.byte()? {
            0 => Relation::Equal,
            1 => Relation::Greater,
            2 => Relation::Less,
            3 => Relation::NotEqual,
            unknown => return Err(DecodeError::Unknown { what: "relation", value: unknown.into() }),
        };
        let target = self.byte()?;
        let range = self.key_range()?;
        let target = match target {
            0 => Target::Version(self.int()?),
            1 => Target::Create(Revision(self.int()?)),
            2 => Target::Mod(Revision(self.int()?)),
            3 => Target::Value(self.bytes()?),
            4 => Target::Lease(self.int()?),
            unknown => return Err(DecodeError::Unknown { what: "compare target", value: unknown.into() }),
        };
        Ok(Compare { range, relation, target })
    }

    fn alarm(&mut self) -> Result<AlarmChange, DecodeError> {
        let action = match self.byte()? {
            0 => AlarmAction::Activate,
            1 => AlarmAction::Deactivate,
            unknown => return Err(DecodeError::Unknown { what: "alarm action", value: unknown.into() }),
        };
        let kind = match self.byte()? {
            1 => AlarmKind::NoSpace,
            2 => AlarmKind::Corrupt,
            unknown => return Err(DecodeError::Unknown { what: "alarm", value: unknown.into() }),
        };
        Ok(AlarmChange { action, alarm: Alarm { kind, member: self.u64()? } })
    }

    fn publish_member(&mut self) -> Result<PublishedMember, DecodeError> {
        Ok(PublishedMember { id: self.u64()?, name: self.text()?, client_urls: self.list(Self::text)? })
    }

    fn staging(&mut self) -> Result<Staging, DecodeError> {
        let mut rest = &self.bytes[self.at..];
        match staging::take_change(&mut rest) {
            Some(change) => {
                self.at = self.bytes.len() - rest.len();
                Ok(change)
            }
            None => Err(DecodeError::Short),
        }
    }

    fn key_range(&mut self) -> Result<KeyRange, DecodeError> {
        Ok(KeyRange { key: self.bytes()?, end: self.bytes()? })
    }

    /// Every item takes at least a byte, so a count beyond what is left is refused before anything is allocated.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        let count = self.length()?;
        let mut items = Vec::with_capacity(count.min(LIST_PREALLOCATED_MAX));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Text)
    }

    fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.length()?;
        let start = self.at;
        self.at += length;
        Ok(self.bytes.slice(start..self.at))
    }

    /// A varint that counts bytes or items still to come.
    fn length(&mut self) -> Result<usize, DecodeError> {
        let length = self.varint()?;
        let left = self.bytes.len() - self.at;
        usize::try_from(length).ok().filter(|length| *length <= left).ok_or(DecodeError::Short)
    }

    fn int(&mut self) -> Result<i64, DecodeError> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError::Oversized)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        let word = self.bytes[self.at..].first_chunk().ok_or(DecodeError::Short)?;
        self.at += 8;
        Ok(u64::from_le_bytes(*word))
    }

    fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        match self.byte()? {
            flags if flags & !known == 0 => Ok(flags),
            flags => Err(DecodeError::Unknown { what: "flag", value: flags.into() }),
        }
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Short)?;
        self.at += 1;
        Ok(byte)
    }
}

/// Lists of transactions are short; a longer one grows as its items prove to be there.
const LIST_PREALLOCATED_MAX: usize = 16;
