//! The one message of a unary request.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tonic::Status;

/// Compressed flag and length.
pub(super) const FRAME_HEADER_BYTES: usize = 5;

/// Why a request holds no message.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It ended before the message did, or held none.
    #[error("grpc: the request ended before its message did")]
    Truncated,
    /// The message is longer than it may be; nothing of it was kept.
    #[error("grpc: received message larger than max ({bytes} vs. {bytes_max})")]
    TooLarge {
        /// What it announced.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The message is compressed, which no etcd client does unasked.
    #[error("grpc: compressed messages are not supported")]
    Compressed,
    /// The compressed flag is neither 0 nor 1.
    #[error("grpc: invalid frame")]
    Flag,
    /// A unary call has one message.
    #[error("grpc: more than one message in a unary request")]
    Trailing,
    /// Its body ended otherwise: the connection failed, or the client gave up or was given up.
    #[error("{}", _0.message())]
    Lost(Status),
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        let text = malformed.to_string();
        match malformed {
            Malformed::TooLarge { .. } => Self::resource_exhausted(text),
            Malformed::Compressed => Self::unimplemented(text),
            Malformed::Truncated | Malformed::Flag | Malformed::Trailing => Self::internal(text),
            Malformed::Lost(status) => status,
        }
    }
}

/// Reads the message of a unary request. A message that arrived in one piece, as nearly all do, is not copied.
///
/// # Errors
/// [`Malformed`] if the request does not hold exactly one message of at most `bytes_max`.
pub async fn read_message<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Malformed>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    let mut first = next(&mut body).await?.ok_or(Malformed::Truncated)?;
    while first.len() < FRAME_HEADER_BYTES {
        let more = next(&mut body).await?.ok_or(Malformed::Truncated)?;
        first = [first, more].concat().into();
    }
    let length = frame_length(&mut first, bytes_max)?;
    let message = if first.len() >= length { first } else { gather(&mut body, first, length).await? };
    if message.len() > length || (!body.is_end_stream() && next(&mut body).await?.is_some()) {
        return Err(Malformed::Trailing);
    }
    Ok(message)
}

/// Takes the frame's header off `bytes`.
fn frame_length(bytes: &mut Bytes, bytes_max: usize) -> Result<usize, Malformed> {
    let flag = bytes.get_u8();
    let length = bytes.get_u32() as usize;
    match flag {
        0 if length <= bytes_max => Ok(length),
        0 => Err(Malformed::TooLarge { bytes: length, bytes_max }),
        1 => Err(Malformed::Compressed),
        _ => Err(Malformed::Flag),
    }
}

/// Puts the pieces of a message together. The buffer grows with what arrives, not with what was announced.
async fn gather<B>(body: &mut B, first: Bytes, length: usize) -> Result<Bytes, Malformed>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    let mut message = BytesMut::from(first);
    while message.len() < length {
        let more = next(body).await?.ok_or(Malformed::Truncated)?;
        message.extend_from_slice(&more);
    }
    Ok(message.freeze())
}

/// The next piece that is not empty; trailers are skipped.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, Malformed>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    while let Some(frame) = body.frame().await {
        match frame.map_err(Malformed::Lost)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;

    const BYTES_MAX: usize = 16;

    fn read(pieces: &[&[u8]]) -> Result<Bytes, Malformed> {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = StreamBody::new(tokio_stream::iter(pieces));
        read_message(body, BYTES_MAX).now_or_never().expect("every piece is there")
    }

    /// Why these pieces are no message.
    fn said(pieces: &[&[u8]]) -> String {
        read(pieces).expect_err("it is none").to_string()
    }

    #[test]
    fn a_message_is_read_however_it_is_sliced() {
        for pieces in [
            &[&b"\0\0\0\0\x03abc"[..]][..],
            &[b"\0\0", b"\0\0\x03", b"a", b"bc"],
            &[b"", b"\0\0\0\0\x03", b"", b"abc", b""],
        ] {
            assert_eq!(read(pieces).expect("whole"), "abc");
        }
        assert_eq!(read(&[b"\0\0\0\0\0"]).expect("an empty message is one"), "");
    }

    #[test]
    fn a_message_may_have_the_limit_and_no_more() {
        assert_eq!(read(&[b"\0\0\0\0\x10", &[7; 16]]).expect("at the limit").len(), BYTES_MAX);
        let above = Malformed::TooLarge { bytes: 17, bytes_max: BYTES_MAX };
        assert_eq!(said(&[b"\0\0\0\0\x11"]), above.to_string());
        let huge = Malformed::TooLarge { bytes: u32::MAX as usize, bytes_max: BYTES_MAX };
        assert_eq!(said(&[b"\0\xff\xff\xff\xff"]), huge.to_string());
    }

    #[test]
    fn malformed_frames_are_refused() {
        assert_eq!(said(&[]), Malformed::Truncated.to_string());
        assert_eq!(said(&[b"\0\0\0"]), Malformed::Truncated.to_string());
        assert_eq!(said(&[b"\0\0\0\0\x03ab"]), Malformed::Truncated.to_string());
        assert_eq!(said(&[b"\x01\0\0\0\x03abc"]), Malformed::Compressed.to_string());
        assert_eq!(said(&[b"\x02\0\0\0\x03abc"]), Malformed::Flag.to_string());
        assert_eq!(said(&[b"\0\0\0\0\x01ab"]), Malformed::Trailing.to_string());
        assert_eq!(said(&[b"\0\0\0\0\x01a", b"\0\0\0\0\x01b"]), Malformed::Trailing.to_string());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..5)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            if let Ok(message) = read(&pieces) {
                prop_assert!(message.len() <= BYTES_MAX);
            }
        }
    }
}
