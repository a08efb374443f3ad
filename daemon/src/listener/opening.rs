//! The first bytes of a connection: they tell HTTP/2 from HTTP/1.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What an HTTP/2 client sends first. No HTTP/1 request begins like it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for the preface and the settings after it in one read.
const OPENING_BYTES: usize = 128;

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Plain HTTP/1.
    Http1,
    /// HTTP/2, gRPC or not.
    Http2,
}

/// Reads until it is clear which protocol is spoken; gives back what was read. None if the other side closed
/// before it said anything that decides.
pub(super) async fn read_opening<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<(Protocol, Bytes)>> {
    let mut read = BytesMut::with_capacity(OPENING_BYTES);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
        if let Some(protocol) = recognise(&read) {
            return Ok(Some((protocol, read.freeze())));
        }
    }
}

/// None while the bytes so far are a proper prefix of the preface.
fn recognise(read: &[u8]) -> Option<Protocol> {
    let known = read.len().min(PREFACE.len());
    match read[..known] == PREFACE[..known] {
        false => Some(Protocol::Http1),
        true if known == PREFACE.len() => Some(Protocol::Http2),
        true => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_http2_and_everything_else_is_http1() {
        assert_eq!(recognise(PREFACE), Some(Protocol::Http2));
        assert_eq!(recognise(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), Some(Protocol::Http2));
        assert_eq!(recognise(b"GET / HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(recognise(b"PRX"), Some(Protocol::Http1));
        assert_eq!(recognise(b"PRI * HT"), None);
    }

    #[tokio::test]
    async fn a_preface_in_two_pieces_is_recognised_and_given_back_whole() {
        let mut pieces = arriving(&[&PREFACE[..5], &PREFACE[5..], b"rest"]);
        let (protocol, read) = read_opening(&mut pieces).await.expect("memory").expect("not closed");
        assert_eq!(protocol, Protocol::Http2);
        assert_eq!(read, PREFACE);
    }

    #[tokio::test]
    async fn closing_before_the_decision_is_no_protocol() {
        let mut pieces = arriving(&[b"PRI"]);
        assert!(read_opening(&mut pieces).await.expect("memory").is_none());
    }

    fn arriving(pieces: &[&'static [u8]]) -> impl AsyncRead + Unpin + use<> {
        let pieces: Vec<io::Result<Bytes>> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        tokio_util::io::StreamReader::new(tokio_stream::iter(pieces))
    }
}
