use super::*;
use crate::command::{Body, Command, Put};
use crate::memory::MemoryBackend;
use crate::sample::Sampler;
use crate::store::{Apply, Store};
use crate::types::RequestId;

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
