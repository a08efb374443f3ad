//! The frame: the unit in which bytes travel between members.
//!
//! ```text
//!   offset 0         4         8        9          12         16
//!          len u32 │ crc u32 │ kind u8│ zero u24 │ head u32 │ head [head] │ records [len - head]
//! ```
//!
//! * Integers are little-endian. `len` counts everything after the first 16 bytes and is checked against
//!   [`FRAME_BYTES_MAX`] before anything is allocated for it.
//! * `crc` is crc32c over bytes 8..16 and the head. The records that follow the head in an append carry checksums
//!   of their own, made once by the leader that proposed them, so that bulk is checked exactly once.
//! * A frame that breaks a rule ends its connection: there is no way to find the next one.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before the head.
pub const FRAME_HEADER_BYTES: usize = 16;

/// The largest frame: an append is cut near 1 MiB, and one entry takes at most 8 MiB, so this is a limit for
/// strangers.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// Opens a lane: who is calling, JSON.
    Hello,
    /// Answers a hello: welcome, or the reason why not, JSON.
    HelloReply,
    /// Asks who is there, without opening a lane, JSON.
    Introduce,
    /// Answers that, JSON.
    Introduction,
    /// A message of consensus, without entries or with.
    Message,
    /// Commands of a follower's clients for the leader.
    Forward,
    /// Which of them the leader did not take, and why.
    ForwardRefused,
    /// A request about the cluster for the leader, JSON.
    Call,
    /// Its answer, JSON.
    CallReply,
    /// A new member asks to be bound to its disk, JSON.
    Bind,
    /// The answer to that, JSON.
    BindReply,
    /// Are you there? Sent on an idle lane.
    Ping,
    /// Yes.
    Pong,
    /// A question about snapshots, JSON.
    SnapshotAsk,
    /// Its answer, JSON; a manifest or a block follows.
    SnapshotAnswer,
}

/// The bytes are not a frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed, or a head longer than the frame.
    #[error("frame of {len} bytes with a head of {head} is not allowed")]
    Length {
        /// What it says it takes.
        len: usize,
        /// What it says its head takes.
        head: usize,
    },
    /// The checksum does not match.
    #[error("frame checksum does not match")]
    Checksum,
    /// Nothing this version knows.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
}

/// One frame, taken from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// The checked part.
    pub head: Bytes,
    /// What follows: records with checksums of their own.
    pub records: Bytes,
}

const KINDS: [FrameKind; 15] = [
    FrameKind::Hello,
    FrameKind::HelloReply,
    FrameKind::Introduce,
    FrameKind::Introduction,
    FrameKind::Message,
    FrameKind::Forward,
    FrameKind::ForwardRefused,
    FrameKind::Call,
    FrameKind::CallReply,
    FrameKind::Bind,
    FrameKind::BindReply,
    FrameKind::Ping,
    FrameKind::Pong,
    FrameKind::SnapshotAsk,
    FrameKind::SnapshotAnswer,
];

impl FrameKind {
    fn to_byte(self) -> u8 {
        self as u8 + 1
    }

    fn from_byte(byte: u8) -> Result<Self, FrameError> {
        byte.checked_sub(1).and_then(|at| KINDS.get(usize::from(at))).copied().ok_or(FrameError::Kind(byte))
    }
}

/// Writes a frame whose head `write` appends to `out`, and which will be followed by `records` bytes of records.
pub fn put_frame(out: &mut BytesMut, kind: FrameKind, records: usize, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(0, FRAME_HEADER_BYTES);
    write(out);
    let head = out.len() - start - FRAME_HEADER_BYTES;
    let size = |bytes: usize| u32::try_from(bytes).expect("frames are limited far below 4 GiB").to_le_bytes();
    let header = &mut out[start..];
    header[..4].copy_from_slice(&size(head + records));
    header[8] = kind.to_byte();
    header[12..16].copy_from_slice(&size(head));
    let crc = crc32c::crc32c(&header[8..]);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Takes one frame of at most `len_max` bytes after its header from the front of `bytes`. None when more bytes are
/// needed; room for them has been reserved.
///
/// # Errors
/// [`FrameError`] when the front of `bytes` cannot become a frame.
pub fn take_frame(bytes: &mut BytesMut, len_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(header) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (len, crc, head) = (u32_at(0) as usize, u32_at(4), u32_at(12) as usize);
    if len > len_max.min(FRAME_BYTES_MAX) || head > len {
        return Err(FrameError::Length { len, head });
    }
    let kind = FrameKind::from_byte(header[8])?;
    let whole = FRAME_HEADER_BYTES + len;
    if bytes.len() < whole {
        bytes.reserve(whole - bytes.len());
        return Ok(None);
    }
    if crc32c::crc32c(&bytes[8..FRAME_HEADER_BYTES + head]) != crc {
        return Err(FrameError::Checksum);
    }
    let mut frame = bytes.split_to(whole).freeze();
    frame.advance(FRAME_HEADER_BYTES);
    let head = frame.split_to(head);
    Ok(Some(Frame { kind, head, records: frame }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(kind: FrameKind, head: &[u8], records: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        put_frame(&mut out, kind, records.len(), |out| out.put_slice(head));
        out.put_slice(records);
        out
    }

    #[test]
    fn every_kind_comes_back_from_its_byte() {
        for kind in KINDS {
            assert_eq!(FrameKind::from_byte(kind.to_byte()), Ok(kind));
        }
        assert_eq!(FrameKind::from_byte(0), Err(FrameError::Kind(0)));
        assert_eq!(FrameKind::from_byte(16), Err(FrameError::Kind(16)));
    }

    #[test]
    fn frames_come_out_one_by_one_as_bytes_arrive() {
        let mut stream = sample(FrameKind::Message, b"head", b"records");
        stream.extend_from_slice(&sample(FrameKind::Ping, b"", b""));
        let (whole, mut arrived) = (stream.freeze(), BytesMut::new());
        let mut frames = Vec::new();
        for byte in whole {
            arrived.put_u8(byte);
            frames.extend(take_frame(&mut arrived, FRAME_BYTES_MAX).expect("sound"));
        }
        assert_eq!(frames[0].head, "head");
        assert_eq!(frames[0].records, "records");
        assert_eq!((frames.len(), frames[1].kind), (2, FrameKind::Ping));
    }

    #[test]
    fn a_frame_that_says_it_is_huge_is_refused_before_it_arrives() {
        let mut bytes = sample(FrameKind::Message, b"", b"");
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let before = bytes.capacity();
        assert!(matches!(take_frame(&mut bytes, FRAME_BYTES_MAX), Err(FrameError::Length { .. })));
        assert_eq!(bytes.capacity(), before, "nothing was allocated for it");
    }

    #[test]
    fn a_frame_may_have_the_limit_and_no_more() {
        let announced = |len: usize, len_max: usize| {
            let mut bytes = sample(FrameKind::Message, b"", b"");
            bytes[..4].copy_from_slice(&u32::try_from(len).expect("below 4 GiB").to_le_bytes());
            take_frame(&mut bytes, len_max)
        };
        for len_max in [0, 100, FRAME_BYTES_MAX] {
            let fits = announced(len_max, len_max);
            assert!(matches!(fits, Ok(None)) || len_max == 0 && fits.is_ok(), "{len_max}: {fits:?}");
            assert!(matches!(announced(len_max + 1, len_max), Err(FrameError::Length { .. })), "{len_max} and a byte");
        }
        assert!(announced(FRAME_BYTES_MAX + 1, usize::MAX).is_err(), "no caller may allow more");
    }

    #[test]
    fn every_flipped_bit_of_header_and_head_is_noticed() {
        let sound = sample(FrameKind::Message, b"head", b"");
        for bit in 0..sound.len() * 8 {
            let mut broken = sound.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(take_frame(&mut broken, FRAME_BYTES_MAX), Ok(Some(_))), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let mut bytes = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take_frame(&mut bytes, FRAME_BYTES_MAX) {}
        }
    }
}
