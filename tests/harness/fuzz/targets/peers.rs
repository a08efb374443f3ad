//! What other members send.

use super::{ME, again, entry, json, put_u32, u32_at, verdict};
use crate::fuzz::{Target, Verdict};
use crate::sim::frames;
use admin_api::Id;
use bytes::{Bytes, BytesMut};
use quorate::bootstrap::{ClusterId, NodeInfo, StorageId};
use quorate::install::ProgressView;
use quorate::install::wire::{Answer, Ask};
use quorate::telemetry::{TRACE_CONTEXT_BYTES, TraceContext};
use quorate::transport::call::{Call, CallReply, put_call, put_reply, take_call, take_reply};
use quorate::transport::forward::{
    Forwarded, NotTaken, NotTakenReason, put_forward, put_not_taken, take_forward, take_not_taken, traces,
};
use quorate::transport::frame::{FRAME_BYTES_MAX, Frame, FrameKind, put_frame, take_frame};
use quorate::transport::hello::{
    BindReply, Hello, HelloReply, Introduction, KnownCluster, Lane, PROTOCOL_VERSION, Refusal,
};
use raft::{
    Ack, Change, EntryKind, Envelope, Index, LogId, MemberId, MembershipError, Message, StreamId, Term, TransferError,
};

pub(super) const TARGETS: &[Target] = &[
    Target::new("frame", frame_samples, decode_frame).mended(mend_frame),
    Target::new("peer-request", request_samples, decode_request).mended(mend_frame),
    Target::new("first-words", first_words_samples, decode_first_words),
    Target::new("snapshot-lane", lane_samples, decode_lane),
    Target::new("node-info", info_samples, decode_info),
];

fn frame_samples() -> Vec<Vec<u8>> {
    let entries = vec![entry(7, EntryKind::Command, b"payload"), entry(8, EntryKind::Noop, b"")];
    let messages = [
        Message::Append { stream: StreamId(4), prev: LogId::new(3, 6), entries, commit: Index(6) },
        Message::AppendAck(Ack { stream: StreamId(4), durable: LogId::new(3, 8), applied: Index(7), credit_bytes: 99 }),
        Message::Vote { last: LogId::new(3, 8), transfer: true },
        Message::VoteReply { granted: true },
        Message::ReadIndex { question: 77 },
        Message::ReadIndexReply { question: 77, index: Some(Index(8)) },
        Message::Removed { at: Index(5) },
    ];
    let envelope = |message| Envelope { from: ME, to: MemberId(2), term: Term(3), message };
    messages.into_iter().map(|message| frames::encode(&envelope(message)).to_vec()).collect()
}

fn mend_frame(bytes: &mut [u8]) {
    if bytes.len() < 16 {
        return;
    }
    let length = bytes.len() - 16;
    put_u32(bytes, 0, u32::try_from(length).expect("short"));
    let head = u32_at(bytes, 12).min(length);
    put_u32(bytes, 12, u32::try_from(head).expect("short"));
    let crc = crc32c::crc32c(&bytes[8..16 + head]);
    put_u32(bytes, 4, crc);
}

fn decode_frame(bytes: &[u8]) -> Verdict {
    let Ok(envelope) = frames::decode(&Bytes::copy_from_slice(bytes)) else { return Verdict::Refused };
    again(&envelope, frames::decode(&frames::encode(&envelope)))
}

// What is sent beside consensus: commands for the leader, questions about the cluster.

/// A message of one of the kinds that are not consensus, with what it means.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Forward(Term, Vec<Forwarded>),
    NotTaken(NotTaken),
    Call(u64, Call),
    Reply(u64, CallReply),
}

impl Request {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Forward(term, commands) => {
                let traces = traces(commands);
                put_frame(&mut out, FrameKind::Forward, traces.len(), |out| put_forward(out, *term, commands));
                out.extend_from_slice(&traces);
            }
            Self::NotTaken(not_taken) => {
                put_frame(&mut out, FrameKind::ForwardRefused, 0, |out| put_not_taken(out, not_taken));
            }
            Self::Call(id, call) => put_frame(&mut out, FrameKind::Call, 0, |out| put_call(out, *id, call)),
            Self::Reply(id, reply) => put_frame(&mut out, FrameKind::CallReply, 0, |out| put_reply(out, *id, reply)),
        }
        out.freeze()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = BytesMut::from(bytes);
        let Frame { kind, head, records } = take_frame(&mut bytes, FRAME_BYTES_MAX).ok()??;
        if !bytes.is_empty() {
            return None;
        }
        match kind {
            FrameKind::Forward => {
                let (term, commands) = take_forward(Frame { kind, head, records }).ok()?;
                Some(Self::Forward(term, commands))
            }
            FrameKind::ForwardRefused => Some(Self::NotTaken(take_not_taken(head).ok()?)),
            FrameKind::Call => take_call(head).ok().map(|(id, call)| Self::Call(id, call)),
            FrameKind::CallReply => take_reply(head).ok().map(|(id, reply)| Self::Reply(id, reply)),
            _ => None,
        }
    }
}

fn request_samples() -> Vec<Vec<u8>> {
    let command = |sequence, trace| Forwarded { sequence, command: Bytes::from_static(b"a command"), trace };
    let trace = TraceContext::from_bytes([1; TRACE_CONTEXT_BYTES]);
    let info = Bytes::from_static(b"info");
    let changes = vec![Change::AddLearner(MemberId(4), info.clone()), Change::Remove(MemberId(2))];
    let requests = [
        Request::Forward(Term(3), vec![command(7, None), command(8, trace)]),
        Request::NotTaken(NotTaken { reason: NotTakenReason::Busy, term: Term(3), sequences: vec![7, 8] }),
        Request::Call(1, Call::ChangeMembership { expected: Some(Index(9)), changes }),
        Request::Call(2, Call::TransferLeader { to: Some(MemberId(2)) }),
        Request::Reply(1, CallReply::Membership(Err(MembershipError::InProgress { at: Index(8) }))),
        Request::Reply(2, CallReply::Transfer(Err(TransferError::NoTarget))),
    ];
    requests.iter().map(|request| request.encode().to_vec()).collect()
}

fn decode_request(bytes: &[u8]) -> Verdict {
    let Some(request) = Request::decode(bytes) else { return Verdict::Refused };
    again(&request, Request::decode(&request.encode()).ok_or("it does not come through"))
}

// Who calls.

fn info() -> NodeInfo {
    NodeInfo { peer_urls: vec!["https://m1.example:2380".into()], ..NodeInfo::default() }
}

fn info_samples() -> Vec<Vec<u8>> {
    vec![NodeInfo::default().encode().to_vec(), info().encode().to_vec()]
}

fn decode_info(bytes: &[u8]) -> Verdict {
    let Ok(found) = NodeInfo::decode(bytes) else { return Verdict::Refused };
    if !found.fits() {
        // Read from fewer bytes than it is written in: nobody puts it into a configuration.
        return Verdict::Refused;
    }
    again(&found, NodeInfo::decode(&found.encode()).map_err(|error| error.to_string()))
}

fn first_words_samples() -> Vec<Vec<u8>> {
    let storage: StorageId = "00112233445566778899aabbccddeeff".parse().expect("sixteen bytes");
    let hello = Hello {
        version: PROTOCOL_VERSION,
        cluster: ClusterId(0xaa),
        from: Id(1),
        to: Id(2),
        storage,
        boot: 3,
        membership_at: 9,
        lane: Lane::Append,
        info: info(),
    };
    let known = KnownCluster {
        id: ClusterId(0xaa),
        membership_at: 9,
        members: [(Id(1), info())].into(),
        removed: [Id(8)].into(),
    };
    let introduction = Introduction {
        version: PROTOCOL_VERSION,
        member: Some(Id(1)),
        storage,
        info: info(),
        token: "a token".into(),
        cluster: Some(known),
    };
    let written = [
        serde_json::to_vec(&hello),
        serde_json::to_vec(&HelloReply::Welcome { storage, boot: 3 }),
        serde_json::to_vec(&HelloReply::Refused { refusal: Refusal::DiskReplaced }),
        serde_json::to_vec(&introduction),
        serde_json::to_vec(&BindReply::Bound { member: Id(2) }),
    ];
    written.map(|json| json.expect("strings and numbers always serialize")).to_vec()
}

fn decode_first_words(bytes: &[u8]) -> Verdict {
    let verdicts =
        [json::<Hello>(bytes), json::<HelloReply>(bytes), json::<Introduction>(bytes), json::<BindReply>(bytes)];
    verdict(&verdicts.iter().find(|verdict| **verdict == Verdict::Accepted).ok_or(()))
}

// The snapshot lane.

fn lane_samples() -> Vec<Vec<u8>> {
    let asks = [
        Ask::Describe { index: 9 },
        Ask::Staged { index: 9 },
        Ask::Chunk { snapshot: "ab".repeat(32), number: 3 },
        Ask::Progress { view: ProgressView { source: "objects".into(), have_bytes: 7, ..ProgressView::default() } },
    ];
    let questions = asks.iter().map(|ask| serde_json::to_vec(ask).expect("strings and numbers always serialize"));
    questions.chain([br#"{"answer":"manifest"}"#.to_vec(), br#"{"answer":"gone"}"#.to_vec()]).collect()
}

fn decode_lane(bytes: &[u8]) -> Verdict {
    let verdicts = [json::<Ask>(bytes), json::<Answer>(bytes)];
    verdict(&verdicts.iter().find(|verdict| **verdict == Verdict::Accepted).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_frame_is_accepted_again_when_only_its_checksum_was_wrong() {
        let mut bytes = frame_samples().remove(0);
        bytes[5] ^= 0xff;
        assert_eq!(decode_frame(&bytes), Verdict::Refused);
        mend_frame(&mut bytes);
        assert_eq!(decode_frame(&bytes), Verdict::Accepted);
    }
}
