//! Messages as they travel: in the very frames of the daemon's transport, so that a run exercises its codec as well.

use bytes::{Bytes, BytesMut};
use quorate::transport::frame::{FRAME_BYTES_MAX, FrameKind, put_frame, take_frame};
use quorate::transport::wire::{put_message, take_message};
use raft::{Entry, Envelope, Message};

/// One message as a frame.
#[must_use]
pub fn encode(envelope: &Envelope) -> Bytes {
    let entries: &[Entry] = match &envelope.message {
        Message::Append { entries, .. } => entries,
        _ => &[],
    };
    let records = entries.iter().map(|entry| entry.record().len()).sum();
    let mut out = BytesMut::new();
    put_frame(&mut out, FrameKind::Message, records, |out| put_message(out, envelope));
    entries.iter().for_each(|entry| out.extend_from_slice(entry.record()));
    out.freeze()
}

/// What stands in a frame that leaves a member: a message of consensus, or something else.
///
/// # Errors
/// What is wrong with the frame.
pub fn look(bytes: &Bytes) -> Result<Option<Envelope>, String> {
    let mut bytes = BytesMut::from(&bytes[..]);
    let frame = take_frame(&mut bytes, FRAME_BYTES_MAX).map_err(|error| error.to_string())?;
    let frame = frame.filter(|_| bytes.is_empty()).ok_or("a frame is cut short or followed by more")?;
    let message = (frame.kind == FrameKind::Message).then(|| take_message(frame));
    message.transpose().map_err(|error| error.to_string())
}

/// The message in a frame.
///
/// # Errors
/// What is wrong with the frame.
pub fn decode(bytes: &Bytes) -> Result<Envelope, String> {
    look(bytes)?.ok_or_else(|| "not a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{EntryKind, Index, LogId, MemberId, StreamId, Term};

    fn append() -> Envelope {
        let entry = |index| Entry::new(LogId::new(2, index), EntryKind::Command, 0, b"payload");
        let message = Message::Append {
            stream: StreamId(4),
            prev: LogId::new(1, 6),
            entries: vec![entry(7), entry(8)],
            commit: Index(6),
        };
        Envelope { from: MemberId(1), to: MemberId(2), term: Term(2), message }
    }

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        assert_eq!(decode(&encode(&append())).expect("sound"), append());
    }

    #[test]
    fn a_frame_cut_short_does_not_arrive() {
        let frame = encode(&append());
        assert!((0..frame.len()).all(|length| decode(&frame.slice(..length)).is_err()));
    }
}
