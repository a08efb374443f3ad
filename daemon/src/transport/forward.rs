//! Commands on their way from a follower's clients to the leader, many in one frame, and word of those that the
//! leader did not take. There is no word of those it took: the follower sees them when it applies them.
//!
//! A leader takes commands for its own term only. So a frame that comes late, after other leaders, is refused, and its
//! origin can tell from the log alone what has become of it.
//!
//! ```text
//!   forward:    term u64 │ repeated { sequence u64 │ len u32 │ command [len] }
//!   not taken:  reason u8 │ term u64 │ repeated { sequence u64 }
//! ```

use super::wire::WireError;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::Term;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The sequence of its request id, by which its origin knows it.
    pub(crate) sequence: u64,
    /// Its bytes.
    pub(crate) command: Bytes,
}

/// Bytes before a command.
pub(crate) const FORWARD_HEADER_BYTES: usize = 12;

/// Commands that are in no log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken {
    /// Why, for all of them.
    pub(crate) reason: NotTakenReason,
    /// The term they were forwarded for.
    pub(crate) term: Term,
    /// Which.
    pub(crate) sequences: Vec<u64>,
}

/// Why the leader did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotTakenReason {
    /// It does not lead, or not now: ask whoever does.
    NotLeader,
    /// Too much is waiting.
    Busy,
    /// Its disk is full.
    NoSpace,
}

pub(super) fn put_forward(out: &mut BytesMut, term: Term, commands: &[Forwarded]) {
    out.put_u64_le(term.0);
    for Forwarded { sequence, command } in commands {
        out.put_u64_le(*sequence);
        out.put_u32_le(u32::try_from(command.len()).expect("commands are limited far below 4 GiB"));
        out.put_slice(command);
    }
}

pub(super) fn take_forward(mut head: Bytes) -> Result<(Term, Vec<Forwarded>), WireError> {
    let term = Term(head.try_get_u64_le().map_err(|_| WireError::Short)?);
    let mut commands = Vec::new();
    while head.has_remaining() {
        let sequence = head.try_get_u64_le().map_err(|_| WireError::Short)?;
        let len = head.try_get_u32_le().map_err(|_| WireError::Short)? as usize;
        if head.len() < len {
            return Err(WireError::Short);
        }
        commands.push(Forwarded { sequence, command: head.split_to(len) });
    }
    Ok((term, commands))
}

pub(super) fn put_not_taken(out: &mut BytesMut, not_taken: &NotTaken) {
    out.put_u8(match not_taken.reason {
        NotTakenReason::NotLeader => 1,
        NotTakenReason::Busy => 2,
        NotTakenReason::NoSpace => 3,
    });
    out.put_u64_le(not_taken.term.0);
    not_taken.sequences.iter().for_each(|sequence| out.put_u64_le(*sequence));
}

pub(super) fn take_not_taken(mut head: Bytes) -> Result<NotTaken, WireError> {
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
    use proptest::prelude::*;

    #[test]
    fn commands_and_refusals_survive_the_wire() {
        let forwarded = |sequence, command: &'static str| Forwarded { sequence, command: command.into() };
        let commands = vec![forwarded(1, "one"), forwarded(u64::MAX, ""), forwarded(3, "three")];
        let mut out = BytesMut::new();
        put_forward(&mut out, Term(4), &commands);
        assert_eq!(take_forward(out.freeze()), Ok((Term(4), commands)));
        for reason in [NotTakenReason::NotLeader, NotTakenReason::Busy, NotTakenReason::NoSpace] {
            let (mut out, not_taken) = (BytesMut::new(), NotTaken { reason, term: Term(4), sequences: vec![7, 8] });
            put_not_taken(&mut out, &not_taken);
            assert_eq!(take_not_taken(out.freeze()), Ok(not_taken));
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let bytes = Bytes::from(bytes);
            let _ = take_forward(bytes.clone());
            let _ = take_not_taken(bytes);
        }
    }
}
