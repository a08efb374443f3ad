//! One change to some bytes.

use crate::sim::rng::Rng;

/// Longer inputs say nothing new.
const BYTES_MAX: usize = 1 << 16;
/// Integers that decoders stumble over.
const INTEGERS: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Changes `bytes` in one way; `others` lend pieces.
pub(super) fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let at = place(bytes.len(), rng);
    match rng.below(10) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(rng.below(256)).expect("a byte");
            }
        }
        3 => overwrite(bytes, at, rng),
        9 => renumber(bytes, at, rng),
        4 => bytes.truncate(at),
        5 => {
            let end = at + place(bytes.len() - at, rng);
            bytes.drain(at..end);
        }
        6 => {
            let piece = piece(bytes, rng);
            bytes.splice(at..at, piece);
        }
        7 => {
            let piece = rng.pick(others).map(|other| piece(other, rng)).unwrap_or_default();
            bytes.splice(at..at, piece);
        }
        _ => {
            let piece = rng.pick(others).map(|other| piece(other, rng)).unwrap_or_default();
            let end = bytes.len().min(at + piece.len());
            bytes.splice(at..end, piece);
        }
    }
    bytes.truncate(BYTES_MAX);
}

fn overwrite(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let value = *rng.pick(&INTEGERS).expect("a list");
    let width = 1 << rng.below(4);
    let little = value.to_le_bytes();
    for (byte, new) in bytes[at..].iter_mut().zip(&little[..width]) {
        *byte = *new;
    }
}

/// Puts another number in the place of the next one that is written in digits.
fn renumber(bytes: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|before| at + before) else { return };
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = rng.pick(&INTEGERS).expect("a list");
    bytes.splice(start..start + digits, value.to_string().into_bytes());
}

/// A piece of some bytes, short more often than long.
fn piece(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let start = place(bytes.len(), rng);
    let most = if rng.coin() { 16 } else { bytes.len() };
    let length = place((bytes.len() - start).min(most), rng);
    bytes[start..start + length].to_vec()
}

/// From 0 to `length`, both included.
fn place(length: usize, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(length as u64 + 1)).expect("not above a length")
}
