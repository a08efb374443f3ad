use super::*;
use raft::{EntryKind, HardState, LogId, Term};

const PLACE: Place = Place { salt: 77, offset: 8192 + 512, previous: 5 };

fn entry(index: u64, payload: usize) -> Entry {
    Entry::new(LogId::new(3, index), EntryKind::Command, 1, &vec![9; payload])
}

fn written(controls: &[Control], entries: &[Entry]) -> (Bytes, Sealed) {
    let mut writer = BatchWriter::default();
    writer.begin(PLACE);
    controls.iter().for_each(|control| writer.control(control));
    entries.iter().for_each(|entry| writer.entry(entry));
    let sealed = writer.seal();
    (writer.parts().iter().flat_map(|part| part.to_vec()).collect(), sealed)
}

fn read(bytes: &Bytes) -> Result<Batch, Problem> {
    BatchHeader::decode(bytes, PLACE.salt, PLACE.offset).ok_or(Problem::NoBatch)?.read(bytes)
}

fn controls() -> Vec<Control> {
    vec![Control::HardState(HardState { term: Term(3), vote: None }), Control::TruncateFrom(Index(4))]
}

#[test]
fn a_batch_reads_back_with_short_and_long_records() {
    for payloads in [&[][..], &[0], &[300; 5], &[10, 5000, 10, 6000, 7000], &[9000]] {
        let entries: Vec<Entry> = (4..).zip(payloads).map(|(index, &bytes)| entry(index, bytes)).collect();
        let (bytes, sealed) = written(&controls(), &entries);
        let batch = read(&bytes).unwrap();
        assert_eq!((batch.controls, batch.entries), (controls(), entries));
        assert_eq!((batch.header.crc, batch.header.previous, batch.header.end()), (sealed.chain, 5, sealed.end));
    }
}

#[test]
fn a_batch_fills_its_last_page_and_the_next_begins_on_a_sector() {
    let (bytes, sealed) = written(&[], &[entry(4, 100)]);
    assert_eq!((PLACE.offset + bytes.len() as u64) % PAGE_BYTES, 0);
    assert_eq!(sealed.end, PLACE.offset + SECTOR_BYTES);
    assert!(bytes[BATCH_HEADER_BYTES + 144..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_writer_leaves_nothing_of_the_batch_before() {
    let mut writer = BatchWriter::default();
    writer.begin(Place { previous: 1, ..PLACE });
    writer.entry(&entry(1, 9000));
    writer.seal();
    writer.begin(PLACE);
    writer.entry(&entry(4, 20));
    writer.seal();
    let bytes: Bytes = writer.parts().iter().flat_map(|part| part.to_vec()).collect();
    assert_eq!(bytes, written(&[], &[entry(4, 20)]).0);
}

#[test]
fn every_flipped_bit_is_noticed_or_is_padding() {
    let entries = [entry(4, 13), entry(5, 0)];
    let (bytes, _) = written(&controls(), &entries);
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.to_vec();
        broken[bit / 8] ^= 1 << (bit % 8);
        if let Ok(batch) = read(&broken.into()) {
            assert_eq!(batch.controls, controls(), "bit {bit}");
            let same = batch
                .entries
                .iter()
                .zip(&entries)
                .all(|(found, expected)| found.id() == expected.id() && found.payload() == expected.payload());
            assert!(same && batch.entries.len() == 2, "bit {bit}");
            assert!(bit / 8 >= BATCH_HEADER_BYTES + 40 + 53, "bit {bit} is not padding");
        }
    }
}

#[test]
fn a_batch_of_another_segment_or_place_is_none() {
    let (bytes, _) = written(&controls(), &[entry(4, 13)]);
    assert_eq!(BatchHeader::decode(&bytes, PLACE.salt + 1, PLACE.offset), None);
    assert_eq!(BatchHeader::decode(&bytes, PLACE.salt, PLACE.offset + SECTOR_BYTES), None);
    assert_eq!(BatchHeader::decode(&bytes[..BATCH_HEADER_BYTES - 1], PLACE.salt, PLACE.offset), None);
}

#[test]
fn a_batch_cut_short_is_refused() {
    let (bytes, _) = written(&controls(), &[entry(4, 13)]);
    for cut in 0..BATCH_HEADER_BYTES + 40 + 56 {
        assert!(read(&bytes.slice(..cut)).is_err(), "cut at {cut}");
    }
}
