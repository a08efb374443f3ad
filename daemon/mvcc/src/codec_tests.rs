use super::*;
use crate::command::{Op, Put, Txn};
use crate::sample::Sampler;
use proptest::prelude::*;

fn put(key: &'static str, value: &'static str) -> Body {
    Body::Put(Put { key: key.into(), value: value.into(), ..Put::default() })
}

const ID: RequestId = RequestId { origin: 1, sequence: 2 };

#[test]
fn a_put_has_the_documented_bytes() {
    let bytes = Command { id: ID, body: put("k", "vv") }.encode();
    let expected = [&[1, 1][..], &[1, 0, 0, 0, 0, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0], b"\0\x01k\x02vv"].concat();
    assert_eq!(bytes, expected);
}

#[test]
fn commands_decode_to_what_was_encoded() {
    for seed in 0..2_000 {
        let command = Sampler::new(seed).command(seed);
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command), "seed {seed}");
        assert_eq!(Command::peek_id(&bytes), Some(command.id));
    }
}

#[test]
fn extreme_integers_survive() {
    for revision in [i64::MIN, -1, 0, 1, i64::MAX].map(crate::types::Revision) {
        let command = Command { id: RequestId { origin: u64::MAX, sequence: 0 }, body: Body::Compact { revision } };
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
}

#[test]
fn keys_and_values_are_views_of_the_entry() {
    let bytes = Command { id: ID, body: put("key", "value") }.encode();
    let Ok(Command { body: Body::Put(put), .. }) = Command::decode(&bytes) else { panic!("a put") };
    let inside = bytes.as_ptr_range();
    assert!(inside.contains(&put.key.as_ptr()) && inside.contains(&put.value.as_ptr()));
}

#[test]
fn a_command_cut_short_or_followed_by_bytes_is_refused() {
    for seed in 0..200 {
        let bytes = Sampler::new(seed).command(seed).encode();
        for cut in 0..bytes.len() {
            assert!(Command::decode(&bytes.slice(..cut)).is_err(), "seed {seed} cut at {cut}");
        }
        let longer = Bytes::from([&bytes[..], b"x"].concat());
        assert!(Command::decode(&longer).is_err(), "seed {seed} and a byte");
    }
}

#[test]
fn nesting_beyond_the_limit_is_refused_before_the_stack_ends() {
    let nested = |depth: usize| {
        let inner = (1..depth).fold(Txn::default(), |txn, _| Txn { success: vec![Op::Txn(txn)], ..Txn::default() });
        Command { id: ID, body: Body::Txn(inner) }
    };
    assert_eq!(Command::decode(&nested(TXN_DEPTH_MAX).encode()), Ok(nested(TXN_DEPTH_MAX)));
    assert_eq!(Command::decode(&nested(TXN_DEPTH_MAX + 1).encode()), Err(DecodeError::Depth));
}

#[test]
fn another_version_or_kind_is_named() {
    let mut bytes = Command { id: ID, body: Body::Noop }.encode().to_vec();
    bytes[1] = 16;
    assert_eq!(Command::decode(&bytes.clone().into()), Err(DecodeError::Unknown { what: "kind", value: 16 }));
    bytes[0] = 9;
    assert_eq!(Command::decode(&bytes.into()), Err(DecodeError::Version(9)));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..9) {
        let header = [&[CODEC_VERSION, kind][..], &[0; 16]].concat();
        let _ = Command::decode(&bytes.clone().into());
        let _ = Command::decode(&[header, bytes].concat().into());
    }

    #[test]
    fn a_flipped_byte_never_panics_and_decodes_to_what_it_encodes(seed in 0u64..500, at: usize, to: u8) {
        let mut bytes = Sampler::new(seed).command(seed).encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(command) = Command::decode(&bytes.into()) {
            prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
        }
    }
}
