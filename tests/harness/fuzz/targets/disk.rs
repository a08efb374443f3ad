//! What a data directory holds.

use super::{ME, again, entry, membership, put_u32, u32_at, verdict};
use crate::fuzz::{Target, Verdict};
use crate::sim::write::{Deed, Write};
use bytes::Bytes;
use mvcc::{Command, KeyRange, MemoryBackend, RangeRequest, ReadError, Restore, Revision, Store};
use quorate::bootstrap::{IDENTITY_FILE, IdentityFile};
use quorate::disk::{Disk, SimDisk};
use quorate::install::recover_state;
use quorate::store::{Options as StoreOptions, RedbBackend};
use quorate::wal::{Identity, Options, Wal, WalRequest};
use raft::{Entry, EntryKind, HardState, Index, IoId, Membership, Persist, RECORD_HEADER_BYTES, Term};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

pub(super) const TARGETS: &[Target] = &[
    Target::new("entry", entry_samples, decode_entry).mended(mend_entry),
    Target::new("membership", membership_samples, decode_membership),
    Target::new("command", command_samples, decode_command),
    Target::new("image", image_samples, decode_image).mended(mend_image),
    Target::new("log-segment", segment_samples, decode_segment).mended(mend_segment).slow(),
    Target::new("state-file", state_samples, decode_state).slow(),
    Target::new("identity-file", identity_samples, decode_identity).mended(mend_identity),
    Target::new("install-intent", intent_samples, decode_intent).mended(mend_intent),
];

// Records, in a log and on the wire.

fn entry_samples() -> Vec<Vec<u8>> {
    let samples = [entry(1, EntryKind::Noop, b""), entry(2, EntryKind::Command, b"a longer payload than eight bytes")];
    samples.iter().map(|entry| entry.record().to_vec()).collect()
}

fn mend_entry(bytes: &mut [u8]) {
    if bytes.len() >= RECORD_HEADER_BYTES {
        let length = u32_at(bytes, 0).min(bytes.len() - RECORD_HEADER_BYTES);
        put_u32(bytes, 0, u32::try_from(length).expect("short"));
        let crc = crc32c::crc32c(&bytes[8..RECORD_HEADER_BYTES + length]);
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
    again(&found, Membership::decode(found.encode()))
}

fn command_samples() -> Vec<Vec<u8>> {
    commands().map(|command| command.to_vec()).to_vec()
}

/// One of each kind.
fn commands() -> [Bytes; 5] {
    let deeds = [Deed::Put, Deed::Replace, Deed::Delete, Deed::Compact, Deed::LookBack];
    deeds.map(|deed| Write { id: 6, key: 2, deed }.encode(ME, 20))
}

fn decode_command(bytes: &[u8]) -> Verdict {
    let Ok(command) = Command::decode(&Bytes::copy_from_slice(bytes)) else { return Verdict::Refused };
    assert_eq!(Command::decode(&command.encode()).as_ref(), Ok(&command), "it comes through again");
    // What decodes can be applied: whatever it says, it is a refusal or a change, and never a fault.
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("memory does not fail");
    store.apply(&[mvcc::Apply { index: 1, command: &command, answered: true }]).expect("memory does not fail");
    Verdict::Accepted
}

/// What stands before each block of an image here: its length, u32 little-endian.
const LENGTH_BYTES: usize = 4;

/// How many of the last revisions are read: more than a sample has.
const REVISIONS_READ: i64 = 24;

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
    let Some(store) = store_of(bytes) else { return Verdict::Refused };
    let _ends_the_member = live_with(&store);
    Verdict::Accepted
}

fn store_of(bytes: &[u8]) -> Option<Store> {
    let backend = Arc::new(MemoryBackend::new());
    let mut restore = Restore::new(&*backend);
    let mut blocks = blocks_of(bytes).into_iter();
    let taken = blocks.all(|block| restore.block(Bytes::copy_from_slice(&bytes[block])).is_ok());
    if !taken || restore.finish(mvcc::Rebirth::Same).is_err() {
        return None;
    }
    Store::open(backend).ok()
}

/// Does what a member does with a state that it has taken over: reads what there was, changes it, sweeps it and hands it on.
/// Each may find a fault, which ends a member in an orderly way.
fn live_with(store: &Store) -> Result<(), ReadError> {
    let now = store.revision();
    for revision in (0..REVISIONS_READ).map(|back| Revision(now.0.saturating_sub(back))) {
        let all = RangeRequest { range: KeyRange::all(), revision, ..RangeRequest::default() };
        no_fault(store.range(&all))?;
        no_fault(store.hash_kv(revision))?;
    }
    for bytes in commands() {
        let Some(index) = store.applied().checked_add(1) else { return Ok(()) };
        let command = Command::decode(&bytes).expect("our own");
        store.apply(&[mvcc::Apply { index, command: &command, answered: true }])?;
    }
    store.flush(usize::MAX)?;
    let mut blocks = store.image()?.blocks();
    while blocks.next_block()?.is_some() {}
    Ok(())
}

/// That a revision is compacted or yet to come is an answer.
fn no_fault<T>(read: Result<T, ReadError>) -> Result<(), ReadError> {
    match read {
        Err(ReadError::Refused(_)) => Ok(()),
        read => read.map(drop),
    }
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
        let persist = Persist { io: IoId(io), hard_state, append, ..Persist::default() };
        wal.perform([WalRequest::Persist(persist)], &mut Nobody).expect("a sound disk");
    }
    disk.contents(SEGMENT).into_iter().collect()
}

const SEGMENT_HEADER_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

/// The header, and every batch as far as their lengths lead.
fn mend_segment(bytes: &mut [u8]) {
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return;
    }
    let mut chain = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..SEGMENT_HEADER_BYTES]);
    put_u32(bytes, 12, chain);
    let salt: [u8; 8] = bytes[56..64].try_into().expect("eight bytes");
    let mut at = SEGMENT_HEADER_BYTES;
    while bytes.get(at..).is_some_and(|rest| rest.starts_with(b"QBAT")) {
        let offset = at;
        let Some(batch) = bytes.get_mut(at..).and_then(batch_of) else { return };
        at = (at + batch.len()).next_multiple_of(SECTOR_BYTES);
        batch[24..32].copy_from_slice(&salt);
        batch[32..40].copy_from_slice(&(offset as u64).to_le_bytes());
        chain = mend_batch(batch, chain);
    }
}

const BATCH_HEADER_BYTES: usize = 48;

/// The batch that `rest` begins with, if there is as much as it says.
fn batch_of(rest: &mut [u8]) -> Option<&mut [u8]> {
    rest.get(..BATCH_HEADER_BYTES)?;
    let length = BATCH_HEADER_BYTES + u32_at(rest, 12) + u32_at(rest, 16);
    rest.get_mut(..length)
}

/// Makes a batch continue a chain; returns its own value.
fn mend_batch(batch: &mut [u8], previous: u32) -> u32 {
    let records_at = BATCH_HEADER_BYTES + u32_at(batch, 12);
    let mut sums = crc32c::crc32c_append(previous, &batch[BATCH_HEADER_BYTES..records_at]);
    let (mut at, mut count) = (records_at, 0);
    while batch.len() - at >= RECORD_HEADER_BYTES {
        mend_entry(&mut batch[at..]);
        sums = crc32c::crc32c_append(sums, &batch[at..at + 8]);
        at = (at + RECORD_HEADER_BYTES + u32_at(batch, at)).next_multiple_of(8).min(batch.len());
        count += 1;
    }
    put_u32(batch, 8, previous);
    put_u32(batch, 20, count);
    let chain = crc32c::crc32c_append(sums, &batch[8..BATCH_HEADER_BYTES]);
    put_u32(batch, 4, chain);
    chain
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

// Who the member is, and what it was about to become.

fn identity_samples() -> Vec<Vec<u8>> {
    let known = r#"{"id":170,"membershipAt":9,"members":{"1":{"name":"m1","peerUrls":["http://127.0.0.1:2380"]}},"removed":["8"]}"#;
    let former = r#"{"cluster":170,"member":"1","storage":"00112233445566778899aabbccddeeff"}"#;
    let phases = [
        r#"{"is":"forming","member":"1"}"#.to_owned(),
        r#"{"is":"joining"}"#.to_owned(),
        format!(r#"{{"is":"admitted","member":"1","founder":true,"known":{known}}}"#),
        r#"{"is":"running","cluster":170,"member":"1"}"#.to_owned(),
        format!(
            r#"{{"is":"recovering","former":{former},"cluster":187,"member":"2","storage":"ff112233445566778899aabbccddeeff","peerUrls":["http://127.0.0.1:2380"],"request":"monday","flag":false}}"#
        ),
    ];
    let written = phases.into_iter().map(|phase| {
        format!(
            r#"{{"version":2,"storage":"00112233445566778899aabbccddeeff","name":"m1","boot":3,"phase":{phase},"restored":{{"snapshot":"ab","variant":"as it is","index":40,"term":3,"token":"t","members":{{"m1":["http://127.0.0.1:2380"]}}}},"recovered":{{"former":{former},"request":"sunday","index":7,"term":2,"flag":true}},"recoveryWanted":"tuesday","crc32c":"00000000"}}"#
        )
    });
    written
        .map(|text| {
            let mut bytes = text.into_bytes();
            mend_identity(&mut bytes);
            bytes
        })
        .collect()
}

/// The checksum is of the content without it, as one line; it is the last field.
fn mend_identity(bytes: &mut [u8]) {
    const FIELD: &str = r#","crc32c":""#;
    let Ok(file) = serde_json::from_slice::<IdentityFile>(bytes) else { return };
    let line = serde_json::to_string(&file).expect("what was read can be written");
    let Some((content, found)) = line.rsplit_once(FIELD) else { return };
    let found = found.trim_end_matches(['"', '}']);
    let crc = format!("{:08x}", crc32c::crc32c(format!("{content}}}").as_bytes()));
    let at = bytes.windows(found.len().max(1)).rposition(|window| window == found.as_bytes());
    if let Some(place) = at.and_then(|at| bytes.get_mut(at..at + crc.len())) {
        place.copy_from_slice(crc.as_bytes());
    }
}

fn decode_identity(bytes: &[u8]) -> Verdict {
    let disk = file_on_disk(IDENTITY_FILE, bytes);
    let Ok(Some(file)) = IdentityFile::read(&disk) else { return Verdict::Refused };
    file.write(&disk).expect("a sound disk");
    again(&Some(file), IdentityFile::read(&disk).map_err(|error| error.to_string()))
}

const INTENT: &str = "install.intent";

fn intent_samples() -> Vec<Vec<u8>> {
    let manifest = super::snapshots::manifest().encode();
    vec![[&crc32c::crc32c(&manifest).to_le_bytes()[..], &manifest].concat()]
}

fn mend_intent(bytes: &mut [u8]) {
    if bytes.len() >= 4 {
        let crc = crc32c::crc32c(&bytes[4..]);
        put_u32(bytes, 0, crc);
    }
}

fn decode_intent(bytes: &[u8]) -> Verdict {
    match recover_state(&file_on_disk(INTENT, bytes)) {
        Ok(intent) => {
            assert!(intent.is_some(), "a record that reads is one of an install");
            Verdict::Accepted
        }
        Err(_) => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_a_sound_image_made_is_lived_with_to_the_end() {
        for image in image_samples() {
            let store = store_of(&image).expect("it is sound");
            let before = store.applied();
            live_with(&store).expect("nothing is wrong with it");
            assert_eq!(store.applied(), before + 5, "every command was applied");
        }
    }
}
