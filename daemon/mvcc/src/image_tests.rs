use super::*;
use crate::command::{AlarmAction, AlarmChange, Body, Command, PublishedMember, Put};
use crate::head::{HEAD_KEY, Head};
use crate::memory::MemoryBackend;
use crate::row::{Links, RowId, RowView, Slice, Version};
use crate::sample::Sampler;
use crate::staging::Staging;
use crate::store::{Apply, Store};
use crate::types::{Alarm, AlarmKind, RequestId};
use crate::varint;

fn filled(commands: u64) -> Store {
    let store = Store::open(Arc::new(MemoryBackend::new())).expect("new");
    let mut sampler = Sampler::new(5);
    sampler.keys = 20_000;
    let body = |sampler: &mut Sampler| Body::Put(Put { lease: 0, ..sampler.put() });
    let command = |_| Command { id: RequestId::default(), body: body(&mut sampler) };
    let commands: Vec<_> = (1..=commands).map(command).collect();
    let batch = (1..).zip(&commands).map(|(index, command)| Apply { index, command, answered: false });
    store.apply(&batch.collect::<Vec<_>>()).expect("no fault");
    store
}

fn blocks(image: &Image) -> Vec<Bytes> {
    let mut blocks = image.blocks();
    std::iter::from_fn(|| blocks.next_block().expect("no fault")).collect()
}

fn restore(blocks: &[Bytes]) -> Result<Store, ImageError> {
    let backend = Arc::new(MemoryBackend::new());
    let mut restore = Restore::new(&*backend);
    blocks.iter().try_for_each(|block| restore.block(block.clone()))?;
    restore.finish(Rebirth::Same)?;
    Ok(Store::open(backend).expect("sound"))
}

#[test]
fn a_restored_store_is_the_one_the_image_was_taken_of() {
    let store = filled(30_000);
    let image = store.image().expect("no fault");
    let expected = (store.state_hash(), store.hash_kv(Revision::ZERO).expect("readable"), store.keys());
    store.advance(image.applied() + 1);
    store.flush(100).expect("the store goes on");
    let blocks = blocks(&image);
    assert!(blocks.len() > 1, "{} blocks", blocks.len());
    let restored = restore(&blocks).expect("sound");
    assert_eq!((restored.state_hash(), restored.hash_kv(Revision::ZERO).expect("readable"), restored.keys()), expected);
    assert_eq!((image.applied(), image.revision()), (30_000, restored.revision()));
    assert!(blocks.iter().zip(self::blocks(&image)).all(|(first, again)| *first == again));
}

#[test]
fn a_new_store_has_an_image_too() {
    let store = filled(0);
    assert_eq!(restore(&blocks(&store.image().expect("no fault"))).expect("sound").revision(), Revision::EMPTY);
}

#[test]
fn blocks_missing_doubled_cut_or_flipped_are_noticed() {
    let blocks = blocks(&filled(30_000).image().expect("no fault"));
    let last = blocks.len() - 1;
    let damaged = |blocks: &[Bytes]| matches!(restore(blocks), Err(ImageError::Damaged(_)));
    assert!(damaged(&[]) && damaged(&blocks[..last]) && damaged(&blocks[1..]));
    assert!(damaged(&[&blocks[..1], &blocks[..]].concat()));
    assert!(damaged(&[&blocks[..], &blocks[last..]].concat()));
    for at in [0, 3, 4, 5, 1000, blocks[last].len() - 1] {
        let mut broken = blocks.clone();
        let mut bytes = broken[last].to_vec();
        bytes[at.min(blocks[last].len() - 1)] ^= 0x10;
        broken[last] = bytes.into();
        assert!(damaged(&broken), "flipped at {at}");
    }
    assert!(damaged(&[&blocks[..last], &[blocks[last].slice(..3)]].concat()));
}

/// The table of keys is made anew: whatever was deleted, created again, compacted and swept before, the two stores
/// must go on alike.
#[test]
fn a_restored_store_goes_on_like_the_one_it_was_taken_of() {
    for seed in 0..40 {
        let (store, mut sampler) = (Store::open(Arc::new(MemoryBackend::new())).expect("new"), Sampler::new(seed));
        run(&[&store], &mut sampler, 1..=200);
        store.flush(7).expect("no fault");
        run(&[&store], &mut sampler, 201..=400);
        let restored = restore(&blocks(&store.image().expect("no fault"))).expect("sound");
        same(&store, &restored, &mut sampler);
        run(&[&store, &restored], &mut sampler, 401..=800);
        same(&store, &restored, &mut sampler);
        while restored.flush(5).expect("no fault").sweep_pending {}
        same(&store, &restored, &mut sampler);
    }
}

fn run(stores: &[&Store], sampler: &mut Sampler, indexes: std::ops::RangeInclusive<u64>) {
    for index in indexes {
        let command = sampler.command(index);
        let apply =
            |store: &&Store| store.apply(&[Apply { index, command: &command, answered: true }]).expect("no fault");
        let outcomes: Vec<_> = stores.iter().map(apply).collect();
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{command:?}");
        sampler.revision = stores[0].revision().0;
    }
}

fn same(left: &Store, right: &Store, sampler: &mut Sampler) {
    assert_eq!(left.hash_kv(Revision::ZERO).ok(), right.hash_kv(Revision::ZERO).ok());
    assert_eq!((left.state_hash(), left.keys(), left.members()), (right.state_hash(), right.keys(), right.members()));
    for _ in 0..50 {
        let request = sampler.range();
        assert_eq!(left.range(&request).ok(), right.range(&request).ok(), "{request:?}");
    }
}

#[test]
fn a_store_goes_on_from_the_image_that_replaces_it() {
    let (ahead, behind) = (filled(30_000), filled(1_000));
    let backend = Arc::new(MemoryBackend::new());
    let mut restore = Restore::new(&*backend);
    blocks(&ahead.image().expect("no fault")).into_iter().try_for_each(|block| restore.block(block)).expect("sound");
    restore.finish(Rebirth::Same).expect("sound");
    let replacement = Store::prepare(backend).expect("sound");
    assert_eq!((replacement.applied(), replacement.state_hash()), (30_000, ahead.state_hash().1));
    behind.replace(replacement);
    ahead.advance(30_001);
    behind.advance(30_001);
    behind.flush(0).expect("no fault");
    let facts = |store: &Store| (store.state_hash(), store.keys(), store.hash_kv(Revision::ZERO).expect("readable"));
    assert_eq!(facts(&behind), facts(&ahead));
    assert_eq!(behind.durable(), 30_001, "it is flushed into the new backend");
}

#[test]
fn a_reader_of_blocks_can_be_kept_and_read_again_from_where_it_stood() {
    let image = filled(30_000).image().expect("no fault");
    let whole = blocks(&image);
    let (mut reader, mut again) = (image.blocks(), Vec::new());
    loop {
        let mut kept = reader.clone();
        if reader.next_block().expect("no fault").is_none() {
            break;
        }
        again.extend(kept.next_block().expect("no fault"));
    }
    assert_eq!(again, whole);
}

#[test]
fn a_store_that_is_reborn_where_it_is_keeps_its_history_and_forgets_its_cluster() {
    let backend = Arc::new(MemoryBackend::new());
    let store = Store::open(backend.clone()).expect("new");
    let bodies = [
        Body::Put(Put { key: "k".into(), value: "v".into(), ..Put::default() }),
        Body::PublishMember(PublishedMember { id: 7, name: "m".into(), client_urls: Vec::new() }),
        Body::Staging(Staging::Delegated { member: 7 }),
        Body::Alarm(AlarmChange {
            action: AlarmAction::Activate,
            alarm: Alarm { kind: AlarmKind::NoSpace, member: 7 },
        }),
    ];
    for (index, body) in (1..).zip(bodies) {
        let command = Command { id: RequestId::default(), body };
        store.apply(&[Apply { index, command: &command, answered: false }]).expect("no fault");
    }
    store.flush(0).expect("no fault");
    let before = (store.hash_kv(Revision::ZERO).expect("readable"), store.state_hash());
    assert_eq!((store.members().len(), store.stager(), store.alarms().len()), (1, Some(7), 1));
    drop(store);
    for bump in [0, 1000] {
        Rebirth::NewCluster { revision_bump: bump, mark_compacted: false }.of(&*backend).expect("no fault");
        let reborn = Store::open(backend.clone()).expect("sound");
        assert_eq!((reborn.members().len(), reborn.stager(), reborn.alarms().len()), (0, None, 0));
        assert_eq!(
            (reborn.revision().0, reborn.state_hash()),
            (before.0.revision.0 + i64::try_from(bump).unwrap(), before.1)
        );
        if bump == 0 {
            assert_eq!(reborn.hash_kv(Revision::ZERO).expect("readable"), before.0);
        }
    }
}

/// A block that holds one version with these links, and the head at `revision`.
fn one_row(links: Links, revision: i64) -> Bytes {
    let id = RowId { main: 5, sub: 0 };
    let version = Version { create: 5, version: 1, links, ..Version::default() };
    let mut row = Vec::new();
    RowView { id, version, key: Slice::Borrowed(b"k"), value: Slice::Borrowed(b"v") }.encode(&mut row);
    let mut items = Vec::new();
    let head = Head { applied: 1, revision, ..Head::default() }.encode();
    for (number, key, value) in [(REVISIONS, &id.key()[..], &row), (HEAD, HEAD_KEY, &head)] {
        items.push(number);
        for part in [key, value] {
            varint::put(part.len() as u64, &mut items);
            items.extend_from_slice(part);
        }
    }
    items.push(END);
    varint::put(2, &mut items);
    [&crc32c::crc32c(&items).to_le_bytes()[..], &items].concat().into()
}

#[test]
fn versions_lead_back_to_older_ones_or_the_image_is_refused() {
    let (older, same) = (RowId { main: 4, sub: 9 }, RowId { main: 5, sub: 0 });
    let links = Links { prev: older, near: older, far: older, prev_bytes: 1 };
    assert_eq!(restore(&[one_row(links, 5)]).expect("sound").revision(), Revision(5));
    for wrong in [Links { prev: same, ..links }, Links { near: same, ..links }, Links { far: same, ..links }] {
        assert!(matches!(restore(&[one_row(wrong, 5)]), Err(ImageError::Damaged(_))), "{wrong:?}");
    }
}

#[test]
fn an_image_leaves_room_for_revisions_after_it() {
    let with = |revision| restore(&[one_row(Links::default(), revision)]);
    assert_eq!(with(i64::MAX / 2).expect("sound").revision(), Revision(i64::MAX / 2));
    assert!(matches!(with(i64::MAX / 2 + 1), Err(ImageError::Damaged(_))));
    assert!(matches!(with(4), Err(ImageError::Damaged(_))), "older than its row");
}
