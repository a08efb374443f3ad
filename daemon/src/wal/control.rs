//! Control records: what a batch says besides entries.
//!
//! ```text
//!   len u32 │ kind u8 │ zero u24 │ body [len] │ zero padding to 8 bytes
//!
//!   1 Checkpoint   first_segment u64, term u64, vote u64, commit u64, start, last,
//!                  runs u32, { first u64, term u64 } * runs,
//!                  memberships u32, { index u64, len u32, bytes } * memberships
//!   2 HardState    term u64, vote u64 (0: nobody)
//!   3 TruncateFrom index u64
//!   4 CommitHint   index u64
//!   5 Start        start, first_segment u64
//!   6 Reset        start, first_segment u64, memberships as in a checkpoint
//!   7 Closed       nothing
//! ```
//!
//! `start` and `last` are log ids: term u64, index u64. Integers are little-endian.

use super::error::Problem;
use super::state::LogState;
use bytes::{Buf, BufMut, Bytes};
use raft::{HardState, Index, LogId, MemberId, Term};

/// Bytes before the body.
const HEAD_BYTES: usize = 8;

/// One thing a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// The first thing in every segment: the log up to here, so that older segments may go.
    Checkpoint { first_segment: u64, state: LogState },
    /// Term and vote.
    HardState(HardState),
    /// Entries from here on are gone.
    TruncateFrom(Index),
    /// Entries up to here are known to be committed.
    CommitHint(Index),
    /// Entries up to here, and segments before that one, are gone.
    Start { start: LogId, first_segment: u64 },
    /// The log starts anew after `start`; segments before that one are gone.
    Reset { start: LogId, first_segment: u64, membership: Option<(Index, Bytes)> },
    /// The log was closed in good order: whatever stands before this has been durable.
    Closed,
}

impl Control {
    /// Writes it at the end of `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.put_u32_le(0);
        out.put_u8(self.kind());
        out.put_bytes(0, 3);
        self.encode_body(out);
        let body = u32::try_from(out.len() - at - HEAD_BYTES).expect("control records are far below 4 GiB");
        out[at..at + 4].copy_from_slice(&body.to_le_bytes());
        out.resize(at + (out.len() - at).next_multiple_of(8), 0);
    }

    /// Takes one from the front of `bytes`.
    pub(super) fn decode(bytes: &mut Bytes) -> Result<Self, Problem> {
        let length = bytes.clone().try_get_u32_le().map_err(|_| Problem::ControlShort)? as usize;
        let whole = (HEAD_BYTES + length).next_multiple_of(8);
        if bytes.len() < whole {
            return Err(Problem::ControlShort);
        }
        let record = bytes.split_to(whole);
        decode_body(record[4], record.slice(HEAD_BYTES..HEAD_BYTES + length))
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Checkpoint { .. } => 1,
            Self::HardState(_) => 2,
            Self::TruncateFrom(_) => 3,
            Self::CommitHint(_) => 4,
            Self::Start { .. } => 5,
            Self::Reset { .. } => 6,
            Self::Closed => 7,
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Checkpoint { first_segment, state } => {
                out.put_u64_le(*first_segment);
                put_state(out, state);
            }
            Self::HardState(hard) => put_hard_state(out, *hard),
            Self::TruncateFrom(index) | Self::CommitHint(index) => out.put_u64_le(index.0),
            Self::Start { start, first_segment } => {
                put_id(out, *start);
                out.put_u64_le(*first_segment);
            }
            Self::Reset { start, first_segment, membership } => {
                put_id(out, *start);
                out.put_u64_le(*first_segment);
                put_memberships(out, membership.as_slice());
            }
            Self::Closed => {}
        }
    }
}

fn decode_body(kind: u8, mut body: Bytes) -> Result<Control, Problem> {
    let from = &mut body;
    Ok(match kind {
        1 => Control::Checkpoint { first_segment: get_u64(from)?, state: get_state(from)? },
        2 => Control::HardState(get_hard_state(from)?),
        3 => Control::TruncateFrom(Index(get_u64(from)?)),
        4 => Control::CommitHint(Index(get_u64(from)?)),
        5 => Control::Start { start: get_id(from)?, first_segment: get_u64(from)? },
        6 => Control::Reset {
            start: get_id(from)?,
            first_segment: get_u64(from)?,
            membership: get_memberships(from)?.into_iter().next(),
        },
        7 => Control::Closed,
        kind => return Err(Problem::Control { kind }),
    })
}

fn put_id(out: &mut Vec<u8>, id: LogId) {
    out.put_u64_le(id.term.0);
    out.put_u64_le(id.index.0);
}

fn put_hard_state(out: &mut Vec<u8>, hard: HardState) {
    out.put_u64_le(hard.term.0);
    out.put_u64_le(hard.vote.unwrap_or(MemberId::NONE).0);
}

fn put_state(out: &mut Vec<u8>, state: &LogState) {
    put_hard_state(out, state.hard_state);
    out.put_u64_le(state.commit.0);
    put_id(out, state.start);
    put_id(out, state.last);
    put_count(out, state.terms.len());
    for (first, term) in &state.terms {
        out.put_u64_le(first.0);
        out.put_u64_le(term.0);
    }
    put_memberships(out, &state.memberships);
}

fn put_memberships(out: &mut Vec<u8>, memberships: &[(Index, Bytes)]) {
    put_count(out, memberships.len());
    for (at, bytes) in memberships {
        out.put_u64_le(at.0);
        put_count(out, bytes.len());
        out.put_slice(bytes);
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32_le(u32::try_from(count).expect("control records are far below 4 GiB"));
}

fn get_u64(from: &mut Bytes) -> Result<u64, Problem> {
    from.try_get_u64_le().map_err(|_| Problem::ControlShort)
}

fn get_count(from: &mut Bytes) -> Result<usize, Problem> {
    from.try_get_u32_le().map(|count| count as usize).map_err(|_| Problem::ControlShort)
}

fn get_id(from: &mut Bytes) -> Result<LogId, Problem> {
    Ok(LogId { term: Term(get_u64(from)?), index: Index(get_u64(from)?) })
}

fn get_hard_state(from: &mut Bytes) -> Result<HardState, Problem> {
    let (term, vote) = (Term(get_u64(from)?), MemberId(get_u64(from)?));
    Ok(HardState { term, vote: (vote != MemberId::NONE).then_some(vote) })
}

fn get_state(from: &mut Bytes) -> Result<LogState, Problem> {
    Ok(LogState {
        hard_state: get_hard_state(from)?,
        commit: Index(get_u64(from)?),
        start: get_id(from)?,
        last: get_id(from)?,
        terms: get_terms(from)?,
        memberships: get_memberships(from)?,
    })
}

fn get_terms(from: &mut Bytes) -> Result<Vec<(Index, Term)>, Problem> {
    let count = get_count(from)?;
    // Collected one by one, so that a wrong count meets the end of the bytes before it costs memory.
    (0..count).map(|_| Ok((Index(get_u64(from)?), Term(get_u64(from)?)))).collect()
}

fn get_memberships(from: &mut Bytes) -> Result<Vec<(Index, Bytes)>, Problem> {
    let count = get_count(from)?;
    (0..count).map(|_| get_membership(from)).collect()
}

fn get_membership(from: &mut Bytes) -> Result<(Index, Bytes), Problem> {
    let (at, length) = (Index(get_u64(from)?), get_count(from)?);
    if from.len() < length {
        return Err(Problem::ControlShort);
    }
    Ok((at, Bytes::copy_from_slice(&from.split_to(length))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Control> {
        let hard = HardState { term: Term(7), vote: Some(MemberId(3)) };
        let membership = (Index(4), Bytes::from_static(b"three members"));
        let state = LogState {
            hard_state: hard,
            start: LogId::new(2, 4),
            last: LogId::new(6, 90),
            terms: vec![(Index(5), Term(2)), (Index(60), Term(6))],
            memberships: vec![membership.clone(), (Index(77), Bytes::new())],
            commit: Index(80),
        };
        vec![
            Control::Checkpoint { first_segment: 11, state },
            Control::HardState(hard),
            Control::HardState(HardState { term: Term(8), vote: None }),
            Control::TruncateFrom(Index(61)),
            Control::CommitHint(Index(82)),
            Control::Start { start: LogId::new(2, 50), first_segment: 12 },
            Control::Reset { start: LogId::new(9, 900), first_segment: 13, membership: Some(membership) },
            Control::Reset { start: LogId::ZERO, first_segment: 1, membership: None },
            Control::Closed,
        ]
    }

    fn encoded(controls: &[Control]) -> Bytes {
        let mut out = Vec::new();
        controls.iter().for_each(|control| control.encode(&mut out));
        out.into()
    }

    #[test]
    fn what_is_encoded_decodes_again() {
        let mut bytes = encoded(&one_of_each());
        for control in one_of_each() {
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(Control::decode(&mut bytes), Ok(control));
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn bytes_cut_anywhere_are_refused() {
        for control in one_of_each() {
            let bytes = encoded(std::slice::from_ref(&control));
            for cut in 0..bytes.len() {
                assert_eq!(Control::decode(&mut bytes.slice(..cut)), Err(Problem::ControlShort), "{control:?} {cut}");
            }
        }
    }

    #[test]
    fn counts_that_promise_too_much_are_refused() {
        let mut bytes = encoded(&[Control::Reset { start: LogId::ZERO, first_segment: 1, membership: None }]).to_vec();
        bytes[HEAD_BYTES + 24..HEAD_BYTES + 28].fill(0xff);
        assert_eq!(Control::decode(&mut bytes.into()), Err(Problem::ControlShort));
    }
}
