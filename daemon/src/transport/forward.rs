//! Commands on their way from a follower's clients to the leader, many in one frame, and word of those that the
//! leader did not take. There is no word of those it took: the follower sees them when it applies them.
//!
//! A leader takes commands for its own term only. So a frame that comes late, after other leaders, is refused, and its
//! origin can tell from the log alone what has become of it.
//!
//! ```text
//!   forward:    term u64 │ repeated { sequence u64 │ len u32 │ command [len] }
//!     traces:   version u8 │ repeated { at u32 │ trace id [16] │ span id [8] │ flags u8 }
//!   not taken:  reason u8 │ term u64 │ repeated { sequence u64 }
//! ```
//!
//! The traces stand behind the head of the frame, and only when one of the commands has one; `at` counts the commands
//! from 0. A member that knows nothing of them does not look there, and one that does takes what it cannot read for no
//! trace: no write is ever refused, and no connection ended, for the sake of its trace.

use super::frame::Frame;
use super::wire::WireError;
use crate::node::COMMAND_BYTES_MAX;
use crate::telemetry::{TRACE_CONTEXT_BYTES, TraceContext};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mvcc::{Command, DecodeError};
use raft::Term;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The sequence of its request id, by which its origin knows it.
    pub sequence: u64,
    /// Its bytes.
    pub command: Bytes,
    /// The span it is forwarded under, if that is kept.
    pub trace: Option<TraceContext>,
}

/// Bytes before a command.
pub(super) const FORWARD_HEADER_BYTES: usize = 12;
/// The layout of the traces behind a head. Another one is none.
const TRACES_VERSION: u8 = 1;
/// Bytes of one of them.
const TRACE_BYTES: usize = 4 + TRACE_CONTEXT_BYTES;

/// Commands that are in no log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// Why, for all of them.
    pub reason: NotTakenReason,
    /// The term they were forwarded for.
    pub term: Term,
    /// Which.
    pub sequences: Vec<u64>,
}

/// A command that no log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is larger than any that a member makes.
    #[error("command has {bytes} bytes, at most {COMMAND_BYTES_MAX} are allowed")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It is none of this version.
    #[error(transparent)]
    Unreadable(DecodeError),
}

/// Why the leader did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotTakenReason {
    /// It does not lead, or not now: ask whoever does.
    NotLeader,
    /// Too much is waiting.
    Busy,
    /// Its disk is full.
    NoSpace,
}

/// Appends the head of a frame with commands; [`traces()`] go behind it.
///
/// # Panics
/// If a command has 4 GiB, which no log takes.
pub fn put_forward(out: &mut BytesMut, term: Term, commands: &[Forwarded]) {
    out.put_u64_le(term.0);
    for Forwarded { sequence, command, .. } in commands {
        out.put_u64_le(*sequence);
        out.put_u32_le(u32::try_from(command.len()).expect("commands are limited far below 4 GiB"));
        out.put_slice(command);
    }
}

/// What stands behind the head: nothing when no command is traced.
#[must_use]
pub fn traces(commands: &[Forwarded]) -> BytesMut {
    let mut out = BytesMut::new();
    for (at, trace) in (0_u32..).zip(commands).filter_map(|(at, forwarded)| Some((at, forwarded.trace?))) {
        if out.is_empty() {
            out.put_u8(TRACES_VERSION);
        }
        out.put_u32_le(at);
        out.put_slice(&trace.to_bytes());
    }
    out
}

/// Reads commands, and the term they are meant for.
///
/// # Errors
/// [`WireError`] when the head is cut short.
pub fn take_forward(frame: Frame) -> Result<(Term, Vec<Forwarded>), WireError> {
    let (term, mut commands) = take_commands(frame.head)?;
    take_traces(&frame.records, &mut commands);
    Ok((term, commands))
}

/// A leader puts a command into the log without reading it, and what is there every member has to carry out: one that
/// cannot be read would end them all, again after every start. So it is read here, where only its sender pays for it.
///
/// # Errors
/// What is wrong with the first command that members could not carry out.
pub fn check_commands(commands: &[Forwarded]) -> Result<(), CommandError> {
    commands.iter().try_for_each(|Forwarded { command, .. }| {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(CommandError::TooLarge { bytes: command.len() });
        }
        Command::decode(command).map(drop).map_err(CommandError::Unreadable)
    })
}

fn take_commands(mut head: Bytes) -> Result<(Term, Vec<Forwarded>), WireError> {
    let term = Term(head.try_get_u64_le().map_err(|_| WireError::Short)?);
    let mut commands = Vec::new();
    while head.has_remaining() {
        let sequence = head.try_get_u64_le().map_err(|_| WireError::Short)?;
        let len = head.try_get_u32_le().map_err(|_| WireError::Short)? as usize;
        if head.len() < len {
            return Err(WireError::Short);
        }
        commands.push(Forwarded { sequence, command: head.split_to(len), trace: None });
    }
    Ok((term, commands))
}

/// Looks at no more traces than there are commands; of two for one command the later counts.
fn take_traces(bytes: &[u8], commands: &mut [Forwarded]) {
    let Some((&TRACES_VERSION, traces)) = bytes.split_first() else { return };
    let (traces, _cut_short) = traces.as_chunks::<TRACE_BYTES>();
    for [a, b, c, d, context @ ..] in traces.iter().take(commands.len()) {
        let at = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if let Some(forwarded) = commands.get_mut(at) {
            forwarded.trace = TraceContext::from_bytes(*context);
        }
    }
}

/// Appends word of commands that were not taken.
pub fn put_not_taken(out: &mut BytesMut, not_taken: &NotTaken) {
    out.put_u8(match not_taken.reason {
        NotTakenReason::NotLeader => 1,
        NotTakenReason::Busy => 2,
        NotTakenReason::NoSpace => 3,
    });
    out.put_u64_le(not_taken.term.0);
    not_taken.sequences.iter().for_each(|sequence| out.put_u64_le(*sequence));
}

/// Reads word of commands that were not taken.
///
/// # Errors
/// [`WireError`] when the head is cut short, or says why in a way that is not known here.
pub fn take_not_taken(mut head: Bytes) -> Result<NotTaken, WireError> {
    let reason = match head.try_get_u8().map_err(|_| WireError::Short)? {
        1 => NotTakenReason::NotLeader,
        2 => NotTakenReason::Busy,
        3 => NotTakenReason::NoSpace,
        unknown => return Err(WireError::Unknown(unknown)),
    };
    let term = Term(head.try_get_u64_le().map_err(|_| WireError::Short)?);
    let mut sequences = Vec::with_capacity(head.len() / 8);
    while head.has_remaining() {
        sequences.push(head.try_get_u64_le().map_err(|_| WireError::Short)?);
    }
    Ok(NotTaken { reason, term, sequences })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::PeerEvent;
    use crate::transport::frame::FrameKind;
    use crate::transport::listener::{Ended, event_of};
    use proptest::prelude::*;
    use raft::MemberId;

    fn forwarded(sequence: u64, command: &'static str) -> Forwarded {
        Forwarded { sequence, command: command.into(), trace: None }
    }

    fn traced(sequence: u64, command: &'static str, byte: u8) -> Forwarded {
        let trace = TraceContext::from_bytes([byte; TRACE_CONTEXT_BYTES]);
        assert!(trace.is_some(), "odd bytes name a span that is kept");
        Forwarded { trace, ..forwarded(sequence, command) }
    }

    fn frame(commands: &[Forwarded]) -> Frame {
        let mut head = BytesMut::new();
        put_forward(&mut head, Term(4), commands);
        Frame { kind: FrameKind::Forward, head: head.freeze(), records: traces(commands).freeze() }
    }

    #[test]
    fn commands_and_refusals_survive_the_wire() {
        let commands = vec![forwarded(1, "one"), traced(u64::MAX, "", 3), forwarded(3, "three"), traced(4, "four", 5)];
        assert_eq!(take_forward(frame(&commands)), Ok((Term(4), commands)));
        for reason in [NotTakenReason::NotLeader, NotTakenReason::Busy, NotTakenReason::NoSpace] {
            let (mut out, not_taken) = (BytesMut::new(), NotTaken { reason, term: Term(4), sequences: vec![7, 8] });
            put_not_taken(&mut out, &not_taken);
            assert_eq!(take_not_taken(out.freeze()), Ok(not_taken));
        }
    }

    /// A put that has `bytes` as a command.
    fn put_of(bytes: usize) -> Forwarded {
        let put = |value: usize| {
            let put = mvcc::Put { key: "k".into(), value: vec![0; value].into(), ..mvcc::Put::default() };
            Command { id: mvcc::RequestId::default(), body: mvcc::Body::Put(put) }.encode()
        };
        let around = put(bytes / 2).len() - bytes / 2;
        let command = put(bytes - around);
        assert_eq!(command.len(), bytes, "lengths of both take as many bytes");
        Forwarded { command, ..forwarded(1, "") }
    }

    #[test]
    fn what_no_member_could_carry_out_ends_the_connection_and_comes_into_no_log() {
        let received = |command| event_of(MemberId(2), frame(&[put_of(1 << 10), command]));
        assert!(matches!(received(put_of(COMMAND_BYTES_MAX)), Ok(PeerEvent::Forwarded { .. })));
        let refused = |command| match received(command) {
            Err(Ended::Command(why)) => why,
            other => panic!("{other:?}"),
        };
        let (large, bytes) = (put_of(COMMAND_BYTES_MAX + 1), COMMAND_BYTES_MAX + 1);
        assert_eq!(refused(large), CommandError::TooLarge { bytes });
        let cut = Forwarded { command: put_of(1 << 10).command.slice(..100), ..forwarded(1, "") };
        assert_eq!(refused(cut), CommandError::Unreadable(DecodeError::Short));
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let frame = frame(&[forwarded(2, "ab"), traced(3, "c", 7)]);
        let head: [&[u8]; 7] = [
            &[4, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            b"ab",
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0],
            b"c",
        ];
        assert_eq!(frame.head, head.concat());
        let records: [&[u8]; 5] = [&[1], &[1, 0, 0, 0], &[7; 16], &[7; 8], &[1]];
        assert_eq!(frame.records, records.concat());
    }

    #[test]
    fn without_a_trace_the_frame_is_its_head_alone() {
        assert_eq!(frame(&[forwarded(1, "one")]).records, "");
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_none_and_its_command_stays() {
        let commands = [traced(1, "one", 3), traced(2, "two", 5)];
        let sound = frame(&commands);
        let bare = [forwarded(1, "one"), forwarded(2, "two")];
        let taken = |records: Vec<u8>| {
            let frame = Frame { records: records.into(), ..sound.clone() };
            take_forward(frame).expect("the commands are sound").1
        };
        let with = |at: usize, byte: u8| {
            let mut records = sound.records.to_vec();
            records[at] = byte;
            records
        };
        assert_eq!(taken(with(0, 2)), bare, "a layout of later");
        assert_eq!(taken(with(1, 9)), [bare[0].clone(), commands[1].clone()], "a command that is not there");
        assert_eq!(taken(with(TRACE_BYTES, 0)), [bare[0].clone(), commands[1].clone()], "a span that is not kept");
        assert_eq!(taken(sound.records[..sound.records.len() - 1].to_vec()), [commands[0].clone(), bare[1].clone()]);
        let more = [&sound.records[..], &sound.records[1..]].concat();
        assert_eq!(taken(more), commands, "more traces than commands");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let bytes = Bytes::from(bytes);
            let frame = Frame { kind: FrameKind::Forward, head: bytes.clone(), records: Bytes::new() };
            let _ = take_forward(frame);
            let _ = take_not_taken(bytes);
        }

        #[test]
        fn whatever_stands_for_traces_the_commands_are_the_same(
            mut records in prop::collection::vec(any::<u8>(), 0..128),
            known in any::<bool>(),
        ) {
            if let Some(version) = records.first_mut().filter(|_| known) {
                *version = TRACES_VERSION;
            }
            let commands = [forwarded(1, "one"), forwarded(2, "two")];
            let (_, taken) = take_forward(Frame { records: records.into(), ..frame(&commands) }).expect("sound");
            let bare: Vec<Forwarded> = taken.into_iter().map(|taken| Forwarded { trace: None, ..taken }).collect();
            prop_assert_eq!(bare, commands);
        }
    }
}
