use super::*;
use proptest::prelude::*;
use raft::MemberId;

fn chunk(n: u32) -> Chunk {
    Chunk { digest: Digest::of(&n.to_le_bytes()), stored_bytes: 10 + n, raw_bytes: 20 + n }
}

fn manifest(chunks: u32) -> Manifest {
    Manifest {
        cluster: ClusterId(0xC1),
        last: LogId { term: Term(3), index: Index(1000) },
        revision: 900,
        state_hash: 77,
        created_us: 1_700_000_000_000_000,
        daemon_version: "1.2.3-rc.1".into(),
        membership_at: Index(5),
        membership: Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::from_static(b"{}")))),
        chunks: (0..chunks).map(chunk).collect(),
    }
}

fn refused(change: impl FnOnce(&mut Manifest)) -> ManifestError {
    let mut manifest = manifest(2);
    change(&mut manifest);
    Manifest::decode(&manifest.encode()).expect_err("it cannot be")
}

#[test]
fn a_manifest_comes_back_and_its_digest_is_its_id() {
    let manifest = manifest(100);
    let bytes = manifest.encode();
    let (id, back) = Manifest::decode(&bytes).expect("sound");
    assert_eq!((id, &back), (manifest.id(), &manifest));
    assert_eq!(manifest.stored_bytes(), (0..100).map(|n| 10 + n).sum::<u64>());
    assert!(bytes.len() as u64 <= MANIFEST_BYTES_MAX);
}

#[test]
fn every_cut_and_every_byte_too_many_is_refused() {
    let bytes = manifest(3).encode();
    for cut in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..cut]).is_err(), "{cut}");
    }
    assert_eq!(Manifest::decode(&[&bytes[..], b"x"].concat()), Err(ManifestError::Length));
}

#[test]
fn whatever_bit_differs_it_is_no_manifest_or_one_of_another_id() {
    let bytes = manifest(2).encode();
    let id = manifest(2).id();
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        let found = Manifest::decode(&flipped);
        assert!(found.is_err() || found.is_ok_and(|(found, _)| found != id), "{at}");
    }
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let mut bytes = manifest(1).encode().to_vec();
    bytes[4] = 2;
    let refused = Manifest::decode(&bytes).expect_err("unknown");
    assert_eq!(refused.to_string(), "has format 2; this version reads format 1");
}

#[test]
fn fields_that_cannot_be_are_refused() {
    assert_eq!(refused(|manifest| manifest.revision = 0), ManifestError::Field("the revision is below 1"));
    assert_eq!(refused(|manifest| manifest.chunks.clear()), ManifestError::Field("it has no chunks"));
    assert_eq!(
        refused(|manifest| manifest.membership = Membership::default()),
        ManifestError::Field("the membership has no voter")
    );
    assert_eq!(
        refused(|manifest| manifest.membership_at = Index(1001)),
        ManifestError::Field("the membership is newer than the snapshot")
    );
    assert_eq!(
        refused(|manifest| manifest.daemon_version = "1\u{1b}[2J".into()),
        ManifestError::Field("the daemon's version is no plain text")
    );
    assert_eq!(
        refused(|manifest| manifest.daemon_version = "1".repeat(65)),
        ManifestError::Field("the daemon's version is too long")
    );
    for large in [
        Chunk { stored_bytes: CHUNK_STORED_BYTES_MAX + 1, ..chunk(0) },
        Chunk { raw_bytes: CHUNK_RAW_BYTES_MAX + 1, ..chunk(0) },
    ] {
        assert_eq!(refused(|manifest| manifest.chunks[1] = large), ManifestError::Field("a chunk is too large"));
    }
}

#[test]
fn a_count_that_the_bytes_do_not_have_allocates_nothing() {
    let mut bytes = manifest(1).encode().to_vec();
    let count = bytes.len() - CHUNK_RECORD_BYTES - 4;
    bytes[count..count + 4].copy_from_slice(&(CHUNKS_MAX as u32).to_le_bytes());
    assert_eq!(Manifest::decode(&bytes), Err(ManifestError::Length));
    bytes[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Manifest::decode(&bytes), Err(ManifestError::Field("it has too many chunks")));
}

proptest! {
    #[test]
    fn hostile_bytes_never_do_more_than_be_refused(
        change in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = manifest(4).encode().to_vec();
        for (at, byte) in change {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(tail);
        if let Ok((_, manifest)) = Manifest::decode(&bytes) {
            prop_assert_eq!(&manifest.encode()[..], &bytes[..], "one snapshot has one encoding");
        }
    }
}
