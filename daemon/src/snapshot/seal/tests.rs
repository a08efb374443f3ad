//! What is sealed opens as what it is, and as nothing else.

use super::*;
use proptest::prelude::*;

const CLUSTER: ClusterId = ClusterId(0xC1);
const MANIFEST: Kind = Kind::Manifest(Index(7));

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

/// A chunk's object, and its name.
fn chunk(key: &Key, plain: &[u8]) -> (Digest, Bytes) {
    let name = key.chunk_name(CLUSTER, &Digest::of(plain));
    (name, key.seal(CLUSTER, Kind::Chunk, &name, plain))
}

proptest! {
    #[test]
    fn what_is_sealed_comes_back_and_any_change_is_refused(
        plain in prop::collection::vec(any::<u8>(), 0..3000),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let key = key(1);
        let (name, sealed) = chunk(&key, &plain);
        prop_assert_eq!(sealed.len() as u64, plain.len() as u64 + SEAL_BYTES);
        let opened = key.open(CLUSTER, Kind::Chunk, Some(&name), &sealed);
        prop_assert_eq!(opened, Ok(Bytes::from(plain)));
        let at = at.index(sealed.len());
        let mut flipped = sealed.to_vec();
        flipped[at] ^= 1 << bit;
        prop_assert!(key.open(CLUSTER, Kind::Chunk, Some(&name), &flipped).is_err());
        prop_assert!(key.open(CLUSTER, Kind::Chunk, Some(&name), &sealed[..at]).is_err());
        let longer = [&sealed[..], &[0]].concat();
        prop_assert!(key.open(CLUSTER, Kind::Chunk, Some(&name), &longer).is_err());
    }

    #[test]
    fn bytes_that_nobody_sealed_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), ours in any::<bool>()) {
        let key = key(1);
        let head = [&MAGIC[..], &FORMAT.to_le_bytes(), &[1, 0], key.id().as_bytes()].concat();
        let bytes = if ours { [head, bytes].concat() } else { bytes };
        prop_assert!(key.open(CLUSTER, MANIFEST, None, &bytes).is_err());
    }
}

#[test]
fn an_object_opens_under_its_own_name_cluster_kind_and_index_only() {
    let key = key(1);
    let (name, sealed) = chunk(&key, b"one");
    let (other, _) = chunk(&key, b"two");
    let changed = Err(SealError::Changed(key.id()));
    assert_eq!(key.open(CLUSTER, Kind::Chunk, Some(&other), &sealed), changed);
    assert_eq!(key.open(ClusterId(2), Kind::Chunk, Some(&name), &sealed), changed);
    assert_eq!(key.open(CLUSTER, MANIFEST, Some(&name), &sealed), changed);
    let manifest = key.seal(CLUSTER, MANIFEST, &Digest::of(b"salt"), b"manifest");
    assert_eq!(key.open(CLUSTER, MANIFEST, None, &manifest), Ok(Bytes::from_static(b"manifest")));
    assert_eq!(key.open(CLUSTER, Kind::Manifest(Index(8)), None, &manifest), changed);
}

#[test]
fn the_same_chunk_is_the_same_object_under_one_key_and_nothing_alike_under_another() {
    let ((first, sealed), (again, same)) = (chunk(&key(1), b"chunk"), chunk(&key(1), b"chunk"));
    assert_eq!((first, &sealed), (again, &same));
    let (other, unlike) = chunk(&key(2), b"chunk");
    assert!(other != first && unlike[SALT_AT..] != sealed[SALT_AT..]);
    assert_ne!(key(1).chunk_name(ClusterId(2), &Digest::of(b"chunk")), first);
    assert!(first != Digest::of(b"chunk") && first != Digest::of(&sealed), "the name needs the key");
    let expected = SealError::Key { expected: key(2).id(), found: key(1).id() };
    assert_eq!(key(2).open(CLUSTER, Kind::Chunk, None, &sealed), Err(expected));
}

/// Objects that are stored must stay readable: nothing of this may change without another format.
#[test]
fn the_layout_stays_as_it_is() {
    let key = key(1);
    let (name, sealed) = chunk(&key, b"chunk");
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(text(&sealed[..8]), "51534e5002000200");
    assert_eq!((&sealed[8..16], &sealed[16..48]), (&key.id().as_bytes()[..], &name.as_bytes()[..]));
    assert_eq!(key.id().to_string(), "1faebc8c0125bf95");
    // As Python's hmac and cryptography make it.
    let other_program = "771cc3d7f13f4b25fd7be5eb195ee0c21bff8ed4d7b329cee977a8076525eba6";
    assert_eq!(Digest::of(&sealed).to_string(), other_program);
}

#[test]
fn what_is_not_sealed_is_told_apart_from_what_cannot_be_known() {
    assert_eq!(key_of(b"QSNP\x01\x00\x00\x00and so on"), Ok(None));
    assert_eq!(key_of(b"\x01 a chunk"), Ok(None));
    assert_eq!(key_of(b"QSNP\x02\x00\x01\x00abcdefgh"), Ok(Some(KeyId::from_bytes(*b"abcdefgh"))));
    assert_eq!(key_of(b"QSNP\x03\x00\x01\x00abcdefgh"), Err(SealError::Format(3)));
    assert_eq!((Sealing(None).to_string(), key_of(b"QSNP\x02\x00\x01")), ("no".into(), Ok(None)));
}
