//! The decoders.

use super::{Target, Verdict};
use crate::sim::frames;
use crate::sim::write::{Deed, Write};
use admin_api::Id;
use bytes::Bytes;
use mvcc::{Command, MemoryBackend, Restore, Store};
use prost::Message as _;
use quorate::bootstrap::{ClusterId, NodeInfo, StorageId};
use quorate::config::{self, Mode};
use quorate::disk::{Disk, SimDisk};
use quorate::etcd::proto::etcdserverpb as pb;
use quorate::store::{Options as StoreOptions, RedbBackend};
use quorate::transport::hello::{Hello, HelloReply, Lane, PROTOCOL_VERSION};
use quorate::wal::{Identity, Options, Wal, WalRequest};
use raft::{
    Ack, Entry, EntryKind, Envelope, HardState, Index, IoId, LogId, MemberId, Membership, Message, Persist, StreamId,
    Term,
};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

const ME: MemberId = MemberId(1);

pub(super) const ALL: &[Target] = &[
    Target { name: "frame", samples: frame_samples, mend: mend_frame, decode: decode_frame },
    Target { name: "entry", samples: entry_samples, mend: mend_entry, decode: decode_entry },
    Target { name: "membership", samples: membership_samples, mend: nothing, decode: decode_membership },
    Target { name: "command", samples: command_samples, mend: nothing, decode: decode_command },
    Target { name: "node-info", samples: info_samples, mend: nothing, decode: decode_info },
    Target { name: "hello", samples: hello_samples, mend: nothing, decode: decode_hello },
    Target { name: "image", samples: image_samples, mend: mend_image, decode: decode_image },
    Target { name: "log-segment", samples: segment_samples, mend: nothing, decode: decode_segment },
    Target { name: "state-file", samples: state_samples, mend: nothing, decode: decode_state },
    Target { name: "config-file", samples: config_samples, mend: nothing, decode: decode_config },
    Target { name: "flags", samples: flag_samples, mend: nothing, decode: decode_flags },
    Target { name: "txn-request", samples: txn_samples, mend: nothing, decode: decode_txn },
];

impl Target {
    /// Opens a disk for each case.
    #[cfg(test)]
    pub(super) fn is_slow(&self) -> bool {
        matches!(self.name, "log-segment" | "state-file" | "config-file")
    }
}

fn nothing(_: &mut [u8]) {}

fn verdict<T, E>(result: &Result<T, E>) -> Verdict {
    if result.is_ok() { Verdict::Accepted } else { Verdict::Refused }
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn entry(index: u64, kind: EntryKind, payload: &[u8]) -> Entry {
    Entry::new(LogId::new(3, index), kind, 1_700_000_000_000_000, payload)
}

fn membership() -> Membership {
    let mut membership = Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::from_static(b"{}"))));
    membership.learners.insert(MemberId(9));
    membership.removed.insert(MemberId(8));
    membership.nodes.insert(MemberId(9), Bytes::from_static(b"info"));
    membership
}

// Frames of peers.

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
    assert_eq!(frames::decode(&frames::encode(&envelope)).as_ref(), Ok(&envelope), "it comes through again");
    Verdict::Accepted
}

// Records, in a log and on the wire.

fn entry_samples() -> Vec<Vec<u8>> {
    let samples = [entry(1, EntryKind::Noop, b""), entry(2, EntryKind::Command, b"a longer payload than eight bytes")];
    samples.iter().map(|entry| entry.record().to_vec()).collect()
}

fn mend_entry(bytes: &mut [u8]) {
    if bytes.len() >= 40 {
        let length = u32_at(bytes, 0).min(bytes.len() - 40);
        put_u32(bytes, 0, u32::try_from(length).expect("short"));
        let crc = crc32c::crc32c(&bytes[8..40 + length]);
        put_u32(bytes, 4, crc);
    }
}

fn decode_entry(bytes: &[u8]) -> Verdict {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let Ok(found) = Entry::decode(&mut bytes) else { return Verdict::Refused };
    let again = Entry::new(found.id(), found.kind(), found.wall_us(), &found.payload());
    assert_eq!((again.id(), again.payload()), (found.id(), found.payload()), "it comes through again");
    Verdict::Accepted
}

fn membership_samples() -> Vec<Vec<u8>> {
    vec![Membership::default().encode().to_vec(), membership().encode().to_vec()]
}

fn decode_membership(bytes: &[u8]) -> Verdict {
    let Ok(found) = Membership::decode(Bytes::copy_from_slice(bytes)) else { return Verdict::Refused };
    assert_eq!(Membership::decode(found.encode()).as_ref(), Ok(&found), "it comes through again");
    Verdict::Accepted
}

fn command_samples() -> Vec<Vec<u8>> {
    let deeds = [Deed::Put, Deed::Replace, Deed::Delete, Deed::Compact];
    deeds.map(|deed| Write { id: 6, key: 2, deed }.encode(ME, 20).to_vec()).to_vec()
}

fn decode_command(bytes: &[u8]) -> Verdict {
    let Ok(command) = Command::decode(&Bytes::copy_from_slice(bytes)) else { return Verdict::Refused };
    assert_eq!(Command::decode(&command.encode()).as_ref(), Ok(&command), "it comes through again");
    // What decodes can be applied: whatever it says, it is a refusal or a change, and never a fault.
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    store.apply(&[mvcc::Apply { index: 1, command: &command, answered: true }]).expect("memory does not fail");
    Verdict::Accepted
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
    assert_eq!(NodeInfo::decode(&found.encode()).ok(), Some(found), "it comes through again");
    Verdict::Accepted
}

fn hello_samples() -> Vec<Vec<u8>> {
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
    vec![serde_json::to_vec(&hello).expect("strings and numbers always serialize")]
}

fn decode_hello(bytes: &[u8]) -> Verdict {
    let hello = serde_json::from_slice::<Hello>(bytes).is_ok();
    let reply = serde_json::from_slice::<HelloReply>(bytes).is_ok();
    if hello || reply { Verdict::Accepted } else { Verdict::Refused }
}

// What disks hold.

/// What stands before each block of an image here: its length, u32 little-endian.
const LENGTH_BYTES: usize = 4;

fn image_samples() -> Vec<Vec<u8>> {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    for id in 1..20 {
        let payload = Write::put(id, u8::try_from(id % 5).expect("small")).encode(ME, 30);
        let command = Command::decode(&payload).expect("our own");
        store.apply(&[mvcc::Apply { index: id, command: &command, answered: false }]).expect("memory does not fail");
    }
    let mut blocks = store.image().expect("memory does not fail").blocks();
    let mut image = Vec::new();
    while let Some(block) = blocks.next_block().expect("memory does not fail") {
        image.extend(u32::try_from(block.len()).expect("a small block").to_le_bytes());
        image.extend(block);
    }
    vec![image]
}

/// Where the blocks of an image lie that has the length of each before it; the last one may be cut short.
fn blocks_of(image: &[u8]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(length) = image.get(at..at + LENGTH_BYTES) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let end = image.len().min(at + LENGTH_BYTES + length);
        blocks.push(at + LENGTH_BYTES..end);
        at = end;
    }
    blocks
}

fn mend_image(bytes: &mut [u8]) {
    for block in blocks_of(bytes).into_iter().filter(|block| block.len() >= 4) {
        let crc = crc32c::crc32c(&bytes[block.start + 4..block.end]);
        put_u32(bytes, block.start, crc);
    }
}

fn decode_image(bytes: &[u8]) -> Verdict {
    let backend = Arc::new(MemoryBackend::new());
    let mut restore = Restore::new(&*backend);
    let mut blocks = blocks_of(bytes).into_iter();
    let taken = blocks.all(|block| restore.block(Bytes::copy_from_slice(&bytes[block])).is_ok());
    if !taken || restore.finish(mvcc::Rebirth::Same).is_err() {
        return Verdict::Refused;
    }
    verdict(&Store::open(backend))
}

fn wal_options() -> Options {
    Options {
        segment_bytes: 8 << 10,
        spare_segments: 0,
        ballast_bytes: 0,
        create_if_missing: true,
        ..Options::default()
    }
}

fn wal_identity() -> Identity {
    Identity { cluster: 1, member: ME, storage: [3; 16] }
}

const SEGMENT: &str = "0000000000000001.wal";

struct Nobody;

impl quorate::wal::Listener for Nobody {
    fn completed(&mut self, _: quorate::wal::Completion) {}

    fn failed(&mut self, _: &quorate::wal::WalError) {}
}

fn segment_samples() -> Vec<Vec<u8>> {
    let disk = SimDisk::new();
    let mut wal = Wal::open(Arc::new(disk.clone()), wal_identity(), &wal_options()).expect("an empty disk").wal;
    for io in 1..=5 {
        let append = vec![entry(io, EntryKind::Command, b"some payload")];
        let hard_state = Some(HardState { term: Term(3), vote: Some(ME) });
        let persist = Persist { io: IoId(io), hard_state, truncate_from: None, append };
        wal.perform([WalRequest::Persist(persist)], &mut Nobody).expect("a sound disk");
    }
    disk.contents(SEGMENT).into_iter().collect()
}

fn decode_segment(bytes: &[u8]) -> Verdict {
    let disk = file_on_disk(SEGMENT, bytes);
    let Ok(found) = Wal::open(Arc::new(disk), wal_identity(), &wal_options()) else { return Verdict::Refused };
    let (reader, remembered) = (found.wal.reader(), found.remembered);
    if remembered.last.index > remembered.start.index {
        let read = reader.read(remembered.start.index.next(), remembered.last.index, u64::MAX);
        assert!(read.is_ok(), "what the log says it holds can be read: {read:?}");
    }
    verdict(&remembered.into_boot(Index::ZERO))
}

fn file_on_disk(name: &str, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let file = disk.create(name).expect("a sound disk");
    file.write_at(0, &[IoSlice::new(bytes)]).expect("a sound disk");
    file.sync().and_then(|()| disk.sync_dir()).expect("a sound disk");
    disk
}

const STATE: &str = "state.redb";

/// The first pages: what redb trusts most. The whole file is flipped bit by bit in its own tests.
const STATE_BYTES: usize = 1 << 15;

fn state_disk() -> SimDisk {
    let disk = SimDisk::new();
    drop(RedbBackend::open(&disk, StoreOptions { cache_bytes: 1 << 16 }).expect("a sound disk"));
    disk
}

fn state_samples() -> Vec<Vec<u8>> {
    let bytes = state_disk().contents(STATE).expect("it was created");
    vec![bytes[..STATE_BYTES.min(bytes.len())].to_vec()]
}

fn decode_state(bytes: &[u8]) -> Verdict {
    let disk = state_disk();
    let file = disk.open(STATE).expect("it was created");
    file.write_at(0, &[IoSlice::new(&bytes[..bytes.len().min(STATE_BYTES)])]).expect("a sound disk");
    file.sync().expect("a sound disk");
    let Ok(backend) = RedbBackend::open(&disk, StoreOptions { cache_bytes: 1 << 16 }) else { return Verdict::Refused };
    verdict(&Store::open(Arc::new(backend)))
}

// What people write.

fn config_samples() -> Vec<Vec<u8>> {
    let short = "name: m1\ndata-dir: /tmp/m1\nheartbeat-interval: 100\nelection-timeout: 1000\n";
    let long = "name: m1\nlisten-client-urls: http://127.0.0.1:2379\nadvertise-client-urls: http://127.0.0.1:2379\n\
        listen-peer-urls: http://127.0.0.1:2380\ninitial-advertise-peer-urls: http://127.0.0.1:2380\n\
        initial-cluster: m1=http://127.0.0.1:2380\ninitial-cluster-state: new\nquota-backend-bytes: 8589934592\n";
    vec![short.into(), long.into()]
}

fn decode_config(bytes: &[u8]) -> Verdict {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a temporary file");
    let arguments = [format!("--config-file={}", file.path().display())];
    verdict(&config::load(Mode::Quorate, &arguments, std::iter::empty(), &|_| false))
}

fn flag_samples() -> Vec<Vec<u8>> {
    let samples = [
        "--name=m1 --data-dir=/tmp/m1 --heartbeat-interval=100 --election-timeout=1000",
        "--quota-backend-bytes=8589934592 --max-request-bytes=1572864 --max-txn-ops=128",
        "--auto-compaction-mode=periodic --auto-compaction-retention=1h --log-level=info",
        "--listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379",
    ];
    samples.map(|sample| sample.as_bytes().to_vec()).to_vec()
}

fn decode_flags(bytes: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(bytes);
    // A file may be named, and would be read.
    let arguments: Vec<String> =
        text.split_whitespace().filter(|word| !word.contains("file")).map(str::to_owned).collect();
    verdict(&config::load(Mode::Quorate, &arguments, std::iter::empty(), &|_| false))
}

// What clients send.

fn txn_samples() -> Vec<Vec<u8>> {
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), prev_kv: true, ..Default::default() };
    let range = pb::RangeRequest { key: "a".into(), range_end: "z".into(), limit: 5, ..Default::default() };
    let op = |request| pb::RequestOp { request: Some(request) };
    let inner =
        pb::TxnRequest { success: vec![op(pb::request_op::Request::RequestPut(put.clone()))], ..Default::default() };
    let success = vec![
        op(pb::request_op::Request::RequestPut(put)),
        op(pb::request_op::Request::RequestRange(range)),
        op(pb::request_op::Request::RequestTxn(inner)),
    ];
    vec![pb::TxnRequest { success, ..Default::default() }.encode_to_vec()]
}

fn decode_txn(bytes: &[u8]) -> Verdict {
    let Ok(request) = pb::TxnRequest::decode(bytes) else { return Verdict::Refused };
    assert_eq!(pb::TxnRequest::decode(&request.encode_to_vec()[..]).as_ref(), Ok(&request), "it comes through again");
    Verdict::Accepted
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
