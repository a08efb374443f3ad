//! The words of consensus as bytes: the head of a [`FrameKind::Message`](super::frame::FrameKind::Message) frame.
//!
//! ```text
//!   from u64 │ to u64 │ term u64 │ tag u8 │ fields of the message, integers little-endian
//! ```
//!
//! A log id is `term u64 │ index u64`; a flag is one byte, 0 or 1; something optional is a flag and, if it is 1, the
//! thing. A heartbeat ends with a list: a count `u32`, then so many `member u64 │ index u64`. An append says how many
//! entries follow; their records are the frame's second part, the same bytes that stand on the leader's disk.

use super::frame::Frame;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{
    Ack, Entry, Envelope, Index, LogId, MemberId, Message, ReadRound, RecordError, Reject, SnapshotOffer, StreamId,
    Term, Time,
};

/// Why a head is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends before it should.
    #[error("message is cut short")]
    Short,
    /// It goes on after its end.
    #[error("message has {0} bytes too many")]
    Long(usize),
    /// A tag or a flag that this version does not know.
    #[error("message has unknown tag or flag {0}")]
    Unknown(u8),
    /// An entry is damaged.
    #[error("entry: {0}")]
    Record(#[from] RecordError),
}

/// A member and an index.
const REACHED_BYTES: usize = 16;

mod tag {
    pub(super) const PRE_VOTE: u8 = 1;
    pub(super) const PRE_VOTE_REPLY: u8 = 2;
    pub(super) const VOTE: u8 = 3;
    pub(super) const VOTE_REPLY: u8 = 4;
    pub(super) const APPEND: u8 = 5;
    pub(super) const APPEND_ACK: u8 = 6;
    pub(super) const APPEND_REJECT: u8 = 7;
    pub(super) const HEARTBEAT: u8 = 8;
    pub(super) const HEARTBEAT_REPLY: u8 = 9;
    pub(super) const READ_INDEX: u8 = 10;
    pub(super) const READ_INDEX_REPLY: u8 = 11;
    pub(super) const TIMEOUT_NOW: u8 = 12;
    pub(super) const SNAPSHOT: u8 = 13;
    pub(super) const REMOVED: u8 = 14;
    pub(super) const COMMIT: u8 = 15;
}

/// Appends the head of `envelope` to `out`. The records of an append are not part of it.
pub fn put_message(out: &mut BytesMut, envelope: &Envelope) {
    out.put_u64_le(envelope.from.0);
    out.put_u64_le(envelope.to.0);
    out.put_u64_le(envelope.term.0);
    match &envelope.message {
        Message::PreVote { last } => put(out, tag::PRE_VOTE, &[last]),
        Message::PreVoteReply { granted } => put(out, tag::PRE_VOTE_REPLY, &[granted]),
        Message::Vote { last, transfer } => put(out, tag::VOTE, &[last, transfer]),
        Message::VoteReply { granted } => put(out, tag::VOTE_REPLY, &[granted]),
        Message::Append { stream, prev, entries, commit } => {
            let count = u32::try_from(entries.len()).expect("a frame holds far fewer than 4 G entries");
            put(out, tag::APPEND, &[stream, prev, commit, &count]);
        }
        Message::Commit { stream, commit } => put(out, tag::COMMIT, &[stream, commit]),
        Message::AppendAck(ack) => {
            put(out, tag::APPEND_ACK, &[&ack.stream, &ack.durable, &ack.applied, &ack.credit_bytes]);
        }
        Message::AppendReject(reject) => put_reject(out, reject),
        Message::Heartbeat { stream, commit, round, sent_at, reached } => {
            let count = u32::try_from(reached.len()).expect("a cluster has far fewer than 4 G members");
            put(out, tag::HEARTBEAT, &[stream, commit, round, sent_at, &count]);
            reached.iter().for_each(|(member, index)| [member.0, index.0].iter().for_each(|field| field.put(out)));
        }
        Message::HeartbeatReply { stream, round, echo, applied, credit_bytes } => {
            put(out, tag::HEARTBEAT_REPLY, &[stream, round, echo, applied, credit_bytes]);
        }
        Message::ReadIndex { question } => put(out, tag::READ_INDEX, &[question]),
        Message::ReadIndexReply { question, index } => {
            put(out, tag::READ_INDEX_REPLY, &[question, &index.is_some(), &index.unwrap_or_default()]);
        }
        Message::TimeoutNow { last } => put(out, tag::TIMEOUT_NOW, &[last]),
        Message::Snapshot { stream, offer } => put(out, tag::SNAPSHOT, &[stream, &offer.last]),
        Message::Removed { at } => put(out, tag::REMOVED, &[at]),
    }
}

fn put(out: &mut BytesMut, tag: u8, fields: &[&dyn Field]) {
    out.put_u8(tag);
    fields.iter().for_each(|field| field.put(out));
}

/// Something that stands in a head.
trait Field {
    fn put(&self, out: &mut BytesMut);
}

impl Field for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8((*self).into());
    }
}

impl Field for u32 {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32_le(*self);
    }
}

impl Field for u64 {
    fn put(&self, out: &mut BytesMut) {
        out.put_u64_le(*self);
    }
}

impl Field for LogId {
    fn put(&self, out: &mut BytesMut) {
        out.put_u64_le(self.term.0);
        out.put_u64_le(self.index.0);
    }
}

/// Numbers with a kind.
macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Field for $kind {
            fn put(&self, out: &mut BytesMut) {
                out.put_u64_le(self.0);
            }
        })*
    };
}

numbers!(StreamId, Index, ReadRound, Time);

/// Reads a message. The records of an append are verified and become entries without being copied.
///
/// # Errors
/// [`WireError`] when the frame does not hold exactly one sound message.
pub fn take_message(frame: Frame) -> Result<Envelope, WireError> {
    let (mut fields, mut records) = (Fields(frame.head), frame.records);
    let (from, to, term) = (MemberId(fields.u64()?), MemberId(fields.u64()?), Term(fields.u64()?));
    let message = match fields.u8()? {
        tag::PRE_VOTE => Message::PreVote { last: fields.log_id()? },
        tag::PRE_VOTE_REPLY => Message::PreVoteReply { granted: fields.flag()? },
        tag::VOTE => Message::Vote { last: fields.log_id()?, transfer: fields.flag()? },
        tag::VOTE_REPLY => Message::VoteReply { granted: fields.flag()? },
        tag::APPEND => {
            let (stream, prev, commit) = (fields.stream()?, fields.log_id()?, fields.index()?);
            Message::Append { stream, prev, entries: take_entries(&mut records, fields.u32()?)?, commit }
        }
        tag::COMMIT => Message::Commit { stream: fields.stream()?, commit: fields.index()? },
        tag::APPEND_ACK => Message::AppendAck(Ack {
            stream: fields.stream()?,
            durable: fields.log_id()?,
            applied: fields.index()?,
            credit_bytes: fields.u64()?,
        }),
        tag::APPEND_REJECT => Message::AppendReject(take_reject(&mut fields)?),
        tag::HEARTBEAT => Message::Heartbeat {
            stream: fields.stream()?,
            commit: fields.index()?,
            round: ReadRound(fields.u64()?),
            sent_at: Time(fields.u64()?),
            reached: take_reached(&mut fields)?,
        },
        tag::HEARTBEAT_REPLY => Message::HeartbeatReply {
            stream: fields.stream()?,
            round: ReadRound(fields.u64()?),
            echo: Time(fields.u64()?),
            applied: fields.index()?,
            credit_bytes: fields.u64()?,
        },
        tag::READ_INDEX => Message::ReadIndex { question: fields.u64()? },
        tag::READ_INDEX_REPLY => {
            let (question, some, index) = (fields.u64()?, fields.flag()?, fields.index()?);
            Message::ReadIndexReply { question, index: some.then_some(index) }
        }
        tag::TIMEOUT_NOW => Message::TimeoutNow { last: fields.log_id()? },
        tag::SNAPSHOT => {
            Message::Snapshot { stream: fields.stream()?, offer: SnapshotOffer { last: fields.log_id()? } }
        }
        tag::REMOVED => Message::Removed { at: fields.index()? },
        unknown => return Err(WireError::Unknown(unknown)),
    };
    match fields.0.len() + records.len() {
        0 => Ok(Envelope { from, to, term, message }),
        more => Err(WireError::Long(more)),
    }
}

fn put_reject(out: &mut BytesMut, reject: &Reject) {
    let (term, index) = reject.conflict.unwrap_or_default();
    let conflict = LogId { term, index };
    let known = reject.conflict.is_some();
    put(out, tag::APPEND_REJECT, &[&reject.stream, &reject.prev, &reject.last, &known, &conflict]);
}

fn take_reject(fields: &mut Fields) -> Result<Reject, WireError> {
    let (stream, prev, last) = (fields.stream()?, fields.log_id()?, fields.log_id()?);
    let (some, conflict) = (fields.flag()?, fields.log_id()?);
    Ok(Reject { stream, prev, last, conflict: some.then_some((conflict.term, conflict.index)) })
}

/// The count is a claim of the peer's, so it reserves no more than what the head could hold.
fn take_reached(fields: &mut Fields) -> Result<Vec<(MemberId, Index)>, WireError> {
    let count = fields.u32()?;
    let mut reached = Vec::with_capacity((count as usize).min(fields.0.len() / REACHED_BYTES));
    for _ in 0..count {
        reached.push((MemberId(fields.u64()?), fields.index()?));
    }
    Ok(reached)
}

/// The count is a claim of the peer's, so it reserves no more than what the records could hold.
fn take_entries(records: &mut Bytes, count: u32) -> Result<Vec<Entry>, WireError> {
    let mut entries = Vec::with_capacity((count as usize).min(records.len() / raft::RECORD_HEADER_BYTES));
    for _ in 0..count {
        entries.push(Entry::decode(records)?);
    }
    Ok(entries)
}

/// The rest of a head.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.0.try_get_u8().map_err(|_| WireError::Short)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.0.try_get_u32_le().map_err(|_| WireError::Short)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.0.try_get_u64_le().map_err(|_| WireError::Short)
    }

    pub(super) fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            unknown => Err(WireError::Unknown(unknown)),
        }
    }

    pub(super) fn index(&mut self) -> Result<Index, WireError> {
        self.u64().map(Index)
    }

    pub(super) fn end(&self) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(WireError::Long(more)),
        }
    }

    fn stream(&mut self) -> Result<StreamId, WireError> {
        self.u64().map(StreamId)
    }

    fn log_id(&mut self) -> Result<LogId, WireError> {
        Ok(LogId { term: Term(self.u64()?), index: Index(self.u64()?) })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
