//! Ways to be a nuisance. Each holds what it has got until that is dropped, and fails when the member does not defend
//! itself as it should.

use crate::hostile::raw::{END_HEADERS, Kind, Raw, WINDOW_MAX, header, headers};
use anyhow::{Result, ensure};
use quorate::listener::STREAMS_MAX;
use std::any::Any;
use std::net::TcpStream;
use std::time::Duration;

/// An attack that is under way.
pub(super) struct Held {
    /// Connections and calls and parts of calls that went out, before the member or its kernel took no more.
    pub(super) sent: usize,
    /// The connections, as long as this is not dropped.
    _open: Box<dyn Any>,
}

impl Held {
    fn new(sent: usize, open: impl Any) -> Self {
        Self { sent, _open: Box::new(open) }
    }
}

/// Does it so often, or until the member ends the connection; how often that was.
fn often(times: usize, mut once: impl FnMut() -> std::io::Result<()>) -> usize {
    (0..times).map_while(|_| once().ok()).count()
}

/// Connections that say nothing, or a part of their first words.
pub(super) fn silent(address: &str) -> Result<Held> {
    let held: Vec<TcpStream> = (0..3000).map(|_| TcpStream::connect(address)).collect::<std::io::Result<_>>()?;
    Ok(Held::new(held.len(), held))
}

/// Connections that ask for everything, as often as they may, and read none of it.
pub(super) fn slow_readers(address: &str) -> Result<Held> {
    greedy(address, WINDOW_MAX)
}

/// The same, and the server may not even send.
pub(super) fn closed_windows(address: &str) -> Result<Held> {
    greedy(address, 0)
}

/// Connections that ask for one large value again and again, and take a byte of each answer: the HTTP library takes over
/// the rest at the first byte, and is done with the call.
pub(super) fn narrow_windows(address: &str) -> Result<Held> {
    let (mut sent, mut held) = (0, Vec::new());
    for _ in 0..10 {
        let mut raw = Raw::connect(address, 1)?;
        sent += often(1000, || raw.ask_for("large-0"));
        held.push(raw);
    }
    Ok(Held::new(sent, held))
}

fn greedy(address: &str, window: u32) -> Result<Held> {
    let (mut sent, mut held) = (0, Vec::new());
    for _ in 0..20 {
        let mut raw = Raw::connect(address, window)?;
        sent += often(20, || raw.ask_for_everything());
        held.push(raw);
    }
    Ok(Held::new(sent, held))
}

/// Calls that begin and never go on, as many as a connection may have. One that begins more is ended, and gives back all
/// of them.
pub(super) fn streams(address: &str) -> Result<Held> {
    let (mut sent, mut held) = (0, Vec::new());
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        sent += often(STREAMS_MAX as usize, || raw.call("/etcdserverpb.KV/Put").map(|_| ()));
        held.push(raw);
    }
    Ok(Held::new(sent, held))
}

/// Calls that are taken back at once ("rapid reset", CVE-2023-44487): the connection ends.
pub(super) fn resets(address: &str) -> Result<Held> {
    let mut sent = 0;
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        sent += often(20_000, || {
            let stream = raw.call("/etcdserverpb.KV/Range")?;
            raw.frame(Kind::Reset, 0, stream, &8_u32.to_be_bytes())
        });
        ensure!(raw.is_closed_within(Duration::from_secs(5))?, "a connection that resets all it begins stays open");
    }
    Ok(Held::new(sent, ()))
}

/// Headers without end (RUSTSEC-2024-0332): refused, or the end of the connection.
pub(super) fn huge_headers(address: &str) -> Result<Held> {
    let mut sent = 0;
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        raw.frame(Kind::Headers, 0, 1, &headers("/etcdserverpb.KV/Put"))?;
        let mut more = Vec::new();
        header(&mut more, "x-more", &"m".repeat(16_000));
        sent += often(4000, || raw.frame(Kind::Continuation, 0, 1, &more));
        // It may have ended long ago.
        raw.frame(Kind::Continuation, END_HEADERS, 1, &[]).ok();
        ensure!(raw.is_closed_within(Duration::from_secs(5))?, "a connection with 64 MB of headers stays open");
    }
    Ok(Held::new(sent, ()))
}

/// Large requests that lack a part of their message.
pub(super) fn halves(address: &str) -> Result<Held> {
    hoard(address, 1)
}

/// Such requests with all of their message, that do not end.
pub(super) fn endless(address: &str) -> Result<Held> {
    hoard(address, 0)
}

/// Three times what a member holds of requests, on a few connections, each as large as it takes without a word between.
fn hoard(address: &str, parts_lacking: usize) -> Result<Held> {
    const PART_BYTES: usize = 16_000;
    const PARTS: usize = 64;
    let announced = u32::try_from(PARTS * PART_BYTES).expect("below 4 GiB").to_be_bytes();
    let part = vec![0; PART_BYTES];
    let (mut sent, mut held) = (0, Vec::new());
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        sent += often(40, || {
            let stream = raw.call("/etcdserverpb.KV/Put")?;
            let mut goes_on = raw.data(stream, &[&[0][..], &announced[..]].concat())?;
            for _ in parts_lacking..PARTS {
                goes_on = goes_on && raw.data(stream, &part)?;
            }
            Ok(())
        });
        held.push(raw);
    }
    Ok(Held::new(sent, held))
}
