//! Cuts off a client that floods an HTTP/2 connection with pings, as grpc-go does ("too many pings").
//!
//! Each ping costs an answer, so a client could keep a member busy for nothing. A ping sooner than the least
//! interval after the last one is a strike; requests clear the strikes, as a client with requests under way may ping
//! to measure. Only the frame headers are looked at:
//!
//!   length u24 │ kind u8 │ flags u8 │ stream u32
//!
//! after the 24 bytes of the preface.

use std::io;
use std::time::{Duration, Instant};

/// Strikes that are forgiven: grpc-go's own figure.
const STRIKES_MAX: u32 = 2;

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const KIND_DATA: u8 = 0;
const KIND_HEADERS: u8 = 1;
const KIND_PING: u8 = 6;
const FLAG_ACK: u8 = 1;

/// Watches the frames of one client.
pub(super) struct PingGuard {
    interval_min: Duration,
    last: Option<Instant>,
    strikes: u32,
    /// Bytes of the preface or of a frame's payload still to pass.
    skip: usize,
    /// The part of a frame header that has arrived.
    header: [u8; FRAME_HEADER_BYTES],
    header_bytes: usize,
}

impl PingGuard {
    /// For a connection whose first byte is still to come.
    pub(super) fn new(interval_min: Duration) -> Self {
        Self {
            interval_min,
            last: None,
            strikes: 0,
            skip: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            header_bytes: 0,
        }
    }

    /// Follows the frames through `bytes`.
    ///
    /// # Errors
    /// When the client has pinged too often.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &bytes[passed..];
            let taken = (FRAME_HEADER_BYTES - self.header_bytes).min(bytes.len());
            self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.header_bytes += taken;
            bytes = &bytes[taken..];
            if self.header_bytes == FRAME_HEADER_BYTES {
                self.header_bytes = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<()> {
        let [l0, l1, l2, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        match kind {
            KIND_PING if flags & FLAG_ACK == 0 => self.ping(Instant::now()),
            KIND_DATA | KIND_HEADERS => {
                self.strikes = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ping(&mut self, now: Instant) -> io::Result<()> {
        if self.last.is_some_and(|last| now.duration_since(last) < self.interval_min) {
            self.strikes += 1;
        }
        self.last = Some(now);
        if self.strikes > STRIKES_MAX {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "too many pings"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn guard() -> PingGuard {
        let mut guard = PingGuard::new(Duration::from_secs(5));
        guard.see(&[b'P'; PREFACE_BYTES]).expect("only the preface");
        guard
    }

    #[test]
    fn a_flood_of_pings_is_cut_off_however_it_is_sliced() {
        for slice in [1, 7, 17, 1000] {
            let mut guard = guard();
            let flood = frame(KIND_PING, 0, &[0; 8]).repeat(4);
            let seen: io::Result<Vec<()>> = flood.chunks(slice).map(|bytes| guard.see(bytes)).collect();
            assert!(seen.is_err(), "slices of {slice}");
        }
    }

    #[test]
    fn three_quick_pings_are_forgiven() {
        assert!(guard().see(&frame(KIND_PING, 0, &[0; 8]).repeat(3)).is_ok());
    }

    #[test]
    fn requests_clear_the_strikes() {
        let mut guard = guard();
        for _ in 0..100 {
            guard.see(&frame(KIND_PING, 0, &[0; 8])).expect("measured between requests");
            guard.see(&frame(KIND_HEADERS, 4, &[1, 2, 3])).expect("a request");
            guard.see(&frame(KIND_DATA, 1, &[0; 500])).expect("its message");
        }
    }

    #[test]
    fn answers_to_our_own_pings_do_not_count() {
        assert!(guard().see(&frame(KIND_PING, FLAG_ACK, &[0; 8]).repeat(100)).is_ok());
    }

    #[test]
    fn a_payload_that_looks_like_pings_does_not_count() {
        let inside = frame(KIND_PING, 0, &[0; 8]).repeat(10);
        assert!(guard().see(&frame(KIND_DATA, 0, &inside)).is_ok());
    }
}
