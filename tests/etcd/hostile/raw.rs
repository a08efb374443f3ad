//! HTTP/2 as no library would speak it: frames written by hand, and nothing read unless somebody asks, or sends more than
//! the server has let it.
//!
//! A frame is its length (3 bytes), kind, flags, stream (4 bytes), and what follows, all big-endian (RFC 9113, 4.1). Headers
//! are sent as literals that enter no table (RFC 7541, 6.2.2), so that every stream's bytes are the same.

use anyhow::Result;
use prost::Message;
use quorate::etcd::proto::etcdserverpb as pb;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A server that takes nothing any more for so long is not written to further.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);
/// One that has not let its client send more for so long does not do it any more.
const CREDIT_TIMEOUT: Duration = Duration::from_secs(2);
/// What may be sent before the server says more.
const INITIAL_CREDIT_BYTES: usize = (1 << 16) - 1;
const FRAME_HEADER_BYTES: usize = 9;
/// The largest window there is.
pub(super) const WINDOW_MAX: u32 = (1 << 31) - 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Kinds of frames.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

/// Of settings: they are taken note of.
const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One connection.
pub(super) struct Raw {
    stream: TcpStream,
    next: u32,
    /// What the server takes of bodies, on all streams together.
    credit_bytes: usize,
    /// The server has said what it takes on one stream.
    settled: bool,
    /// Streams that the server has answered, or taken back.
    answered: BTreeSet<u32>,
}

impl Raw {
    /// Connects, and lets the server send so many bytes on each stream.
    pub(super) fn connect(address: &str, window: u32) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let (credit_bytes, answered) = (INITIAL_CREDIT_BYTES, BTreeSet::new());
        let mut raw = Self { stream, next: 1, credit_bytes, settled: false, answered };
        raw.stream.write_all(PREFACE)?;
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()[..]].concat();
        raw.frame(Kind::Settings, 0, 0, &setting)?;
        raw.frame(Kind::WindowUpdate, 0, 0, &(WINDOW_MAX - (1 << 16)).to_be_bytes())?;
        Ok(raw)
    }

    /// Writes a frame.
    pub(super) fn frame(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [&length[1..], &[kind as u8, flags][..], &stream.to_be_bytes()[..]].concat();
        self.stream.write_all(&[&head[..], payload].concat())
    }

    /// Opens a call, without any of its message; its stream.
    pub(super) fn call(&mut self, path: &str) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.frame(Kind::Headers, END_HEADERS, stream, &headers(path))?;
        Ok(stream)
    }

    /// Asks for all keys, and says no more.
    pub(super) fn ask_for_everything(&mut self) -> io::Result<()> {
        self.ask(&everything())
    }

    /// Asks for this key, and says no more.
    pub(super) fn ask_for(&mut self, key: &'static str) -> io::Result<()> {
        self.ask(&pb::RangeRequest { key: key.into(), ..Default::default() })
    }

    fn ask(&mut self, range: &pb::RangeRequest) -> io::Result<()> {
        let stream = self.call("/etcdserverpb.KV/Range")?;
        self.frame(Kind::Data, END_STREAM, stream, &message(range))
    }

    /// Sends a part of a call's body as soon as the server takes so much; whether it is still asked for.
    pub(super) fn data(&mut self, stream: u32, part: &[u8]) -> io::Result<bool> {
        while self.is_told_something()? || !self.settled || self.credit_bytes < part.len() {
            self.hear()?;
        }
        if self.answered.contains(&stream) {
            return Ok(false);
        }
        self.credit_bytes -= part.len();
        self.frame(Kind::Data, 0, stream, part)?;
        Ok(true)
    }

    /// Whether there is a frame of the server's to read.
    fn is_told_something(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let there = self.stream.peek(&mut [0; FRAME_HEADER_BYTES]);
        self.stream.set_nonblocking(false)?;
        match there {
            Ok(bytes) => Ok(bytes == FRAME_HEADER_BYTES),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads one frame of the server's.
    fn hear(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(CREDIT_TIMEOUT))?;
        let mut head = [0; FRAME_HEADER_BYTES];
        self.stream.read_exact(&mut head)?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        if kind == Kind::Settings as u8 && flags & ACK == 0 {
            self.settled = true;
            self.frame(Kind::Settings, ACK, 0, &[])?;
        } else if kind == Kind::WindowUpdate as u8 && stream == 0 {
            let more = payload.first_chunk().ok_or(ErrorKind::InvalidData)?;
            self.credit_bytes += u32::from_be_bytes(*more) as usize;
        } else if kind == Kind::Headers as u8 || kind == Kind::Reset as u8 {
            self.answered.insert(stream);
        } else if kind == Kind::GoAway as u8 {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// Reads until the server closes the connection, for so long at most; whether it did.
    pub(super) fn is_closed_within(&mut self, time: Duration) -> Result<bool> {
        let deadline = Instant::now() + time;
        let mut sink = vec![0; 1 << 16];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut sink) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
                Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// The headers of a call, as literals.
pub(super) fn headers(path: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` are entries 3 and 6 of the static table, `:path` and `:authority` names 4 and 1.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, "flood")] {
        block.push(name);
        text(&mut block, value);
    }
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        header(&mut block, name, value);
    }
    block
}

/// One more header.
pub(super) fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

/// A length of seven bits and what does not fit into them (RFC 7541, 5.1), and the text as it is.
fn text(block: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => block.push(u8::try_from(text.len()).expect("below 127")),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).expect("below 128") | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).expect("below 128"));
        }
    }
    block.extend(text.as_bytes());
}

/// A message in its frame.
pub(super) fn message(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &u32::try_from(bytes.len()).expect("a short message").to_be_bytes()[..], &bytes[..]].concat()
}

/// A range over all keys.
fn everything() -> pb::RangeRequest {
    pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() }
}
