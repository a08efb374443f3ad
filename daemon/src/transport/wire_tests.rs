//! Every message survives the wire, and nothing on the wire can bring a member down.

use super::*;
use crate::transport::frame::{FRAME_BYTES_MAX, FrameKind, put_frame, take_frame};
use proptest::prelude::*;
use raft::EntryKind;

fn through_the_wire(envelope: &Envelope) -> Result<Envelope, WireError> {
    take_message(framed(envelope))
}

fn framed(envelope: &Envelope) -> Frame {
    let records: Vec<Bytes> = match &envelope.message {
        Message::Append { entries, .. } => entries.iter().map(|entry| entry.record().clone()).collect(),
        _ => Vec::new(),
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, FrameKind::Message, records.iter().map(Bytes::len).sum(), |out| put_message(out, envelope));
    records.iter().for_each(|record| out.put_slice(record));
    take_frame(&mut out, FRAME_BYTES_MAX).expect("sound").expect("whole")
}

fn messages() -> Vec<Message> {
    let (stream, last, round) = (StreamId(4), LogId::new(3, 8), ReadRound(6));
    let entry = |index, bytes: &[u8]| Entry::new(LogId::new(3, index), EntryKind::Command, 1, bytes);
    vec![
        Message::PreVote { last },
        Message::PreVoteReply { granted: true },
        Message::Vote { last, transfer: true },
        Message::VoteReply { granted: false },
        Message::Append { stream, prev: last, entries: vec![], commit: Index(7) },
        Message::Append { stream, prev: last, entries: vec![entry(9, b"nine"), entry(10, b"")], commit: Index(7) },
        Message::Commit { stream, commit: Index(7) },
        Message::AppendAck(Ack { stream, durable: last, applied: Index(5), credit_bytes: 1 << 40 }),
        Message::AppendReject(Reject { stream, prev: last, last, conflict: Some((Term(2), Index(5))) }),
        Message::AppendReject(Reject { stream, prev: last, last, conflict: None }),
        Message::Heartbeat { stream, commit: Index(7), round, sent_at: Time(99), reached: vec![] },
        Message::Heartbeat {
            stream,
            commit: Index(7),
            round,
            sent_at: Time(99),
            reached: vec![(MemberId(1), Index(7)), (MemberId(u64::MAX), Index(0))],
        },
        Message::HeartbeatReply { stream, round, echo: Time(99), applied: Index(5), credit_bytes: 3 },
        Message::ReadIndex { question: 11 },
        Message::ReadIndexReply { question: 11, index: Some(Index(7)) },
        Message::ReadIndexReply { question: 11, index: None },
        Message::TimeoutNow { last },
        Message::Snapshot { stream, offer: SnapshotOffer { last } },
        Message::Removed { at: Index(4) },
    ]
}

fn envelope(message: Message) -> Envelope {
    Envelope { from: MemberId(u64::MAX), to: MemberId(2), term: Term(3), message }
}

#[test]
fn every_message_survives_the_wire() {
    for message in messages() {
        let sent = envelope(message);
        assert_eq!(through_the_wire(&sent).as_ref(), Ok(&sent));
    }
}

#[test]
fn a_message_cut_short_or_drawn_out_is_refused() {
    for message in messages() {
        let whole = framed(&envelope(message));
        for cut in 0..whole.head.len() {
            let frame = Frame { head: whole.head.slice(..cut), ..whole.clone() };
            assert!(take_message(frame).is_err(), "cut at {cut}");
        }
        let longer = Bytes::from([&whole.head[..], b"x"].concat());
        assert_eq!(take_message(Frame { head: longer, ..whole }), Err(WireError::Long(1)));
    }
}

#[test]
fn a_damaged_entry_is_refused() {
    let entry = Entry::new(LogId::new(3, 9), EntryKind::Command, 1, b"payload");
    let message = Message::Append { stream: StreamId(1), prev: LogId::ZERO, entries: vec![entry], commit: Index(0) };
    let whole = framed(&envelope(message));
    let mut records = whole.records.to_vec();
    records[raft::RECORD_HEADER_BYTES] ^= 1;
    let frame = Frame { records: records.into(), ..whole };
    assert!(matches!(take_message(frame), Err(WireError::Record(RecordError::Checksum { .. }))));
}

proptest! {
    #[test]
    fn random_heads_and_records_never_panic(
        head in prop::collection::vec(any::<u8>(), 0..128),
        tag in 0_u8..18,
        records in prop::collection::vec(any::<u8>(), 0..128),
    ) {
        let mut head = head;
        if let Some(byte) = head.get_mut(24) {
            *byte = tag;
        }
        let _ = take_message(Frame { kind: FrameKind::Message, head: head.into(), records: records.into() });
    }
}
