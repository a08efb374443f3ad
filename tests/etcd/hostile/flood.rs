//! Clients that take whatever they can get: connections, streams, headers, halves of requests, answers they never read. All
//! along an honest client must be served, in the time that it waits for an answer, and when they are gone the member's
//! memory must be back.

use super::raw::{END_HEADERS, Kind, Raw, WINDOW_MAX, header, headers};
use anyhow::{Context, Result, ensure};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::client::Client;
use tests::cluster::{Cluster, Flavor, Member};

const MIB: u64 = 1 << 20;
/// What is stored, in values of this size: large enough that a few answers with all of it fill what answers may hold.
const VALUES: usize = 64;
const VALUE_BYTES: usize = 128 << 10;
/// The honest client asks this many times in peace, before and after, and at least as often in each attack.
const HONEST_MIN: u64 = 50;
/// How long each attack goes on at least.
const ATTACK: Duration = Duration::from_secs(3);
/// What attacks may cost while they last: the answers a member holds at once (256 MiB), about as much that is free and not
/// given back yet, what it holds of requests (128 MiB), and what thousands of connections and calls cost.
const ATTACKED_BYTES_MAX: u64 = 800 * MIB;
/// What may stay afterwards: allocators keep a little.
const LEFT_BYTES_MAX: u64 = 64 * MIB;
/// Memory is back after this at most.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// One way to be a nuisance: holds what it has got until it is dropped.
type Attack = fn(&str) -> Result<Box<dyn std::any::Any>>;

const ATTACKS: [(&str, Attack); 8] = [
    ("silent connections", silent),
    ("slow readers", slow_readers),
    ("closed windows", closed_windows),
    ("streams", streams),
    ("resets", resets),
    ("huge headers", huge_headers),
    ("halves of requests", halves),
    ("requests without end", endless),
];

/// A client that writes and reads, one after the other, and notes how long each took.
struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u64, Duration)>>,
}

impl Honest {
    fn start(address: &str) -> Self {
        let (stop, address) = (Arc::new(AtomicBool::new(false)), address.to_owned());
        let seen = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || work(&address, &seen)) }
    }

    /// How many requests it made, and what the slowest took.
    fn end(self) -> Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn work(address: &str, stop: &AtomicBool) -> Result<(u64, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::lazy(address)?;
        let (mut requests, mut slowest) = (0, Duration::ZERO);
        while requests < HONEST_MIN || !stop.load(Ordering::Relaxed) {
            let (key, value) = (format!("honest-{}", requests % 10), requests.to_string());
            let begun = Instant::now();
            client.put(&key, &value).await.context("an honest write")?;
            let (_, found) = client.get(&key, false).await.context("an honest read")?;
            ensure!(found.as_ref().is_some_and(|(found, _)| *found == value), "{key} is {found:?}, not {value}");
            (requests, slowest) = (requests + 2, slowest.max(begun.elapsed()));
        }
        Ok((requests, slowest))
    })
}

#[test]
fn whoever_floods_a_member_keeps_nobody_out_and_leaves_no_memory_behind() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let member = &cluster.members[0];
    fill(&member.client)?;
    let begun = Honest::start(&member.client).end()?;
    let before = member.resident_bytes()?;
    println!("{:<20} {:>8} requests, slowest {:>8.1?}; {} MiB", "peace", begun.0, begun.1, before / MIB);
    for (name, attack) in ATTACKS {
        let honest = Honest::start(&member.client);
        let held = attack(&member.client).with_context(|| name.to_owned())?;
        let most = highest(member, ATTACK)?;
        let (requests, slowest) = honest.end().with_context(|| name.to_owned())?;
        println!("{name:<20} {requests:>8} requests, slowest {slowest:>8.1?}; {} MiB", most / MIB);
        ensure!(most < before + ATTACKED_BYTES_MAX, "{name}: {} MiB, {} in peace", most / MIB, before / MIB);
        drop(held);
    }
    let after = settled(member, before + LEFT_BYTES_MAX)?;
    println!("{:<20} {} MiB", "afterwards", after / MIB);
    Honest::start(&member.client).end()?;
    Ok(())
}

fn fill(address: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut client, value) = (Client::lazy(address)?, "v".repeat(VALUE_BYTES));
        for key in 0..VALUES {
            client.put(&format!("large-{key}"), &value).await?;
        }
        Ok(())
    })
}

/// The most memory the member has over a while.
fn highest(member: &Member, time: Duration) -> Result<u64> {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < time {
        most = most.max(member.resident_bytes()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// Waits until the member has no more memory than this; what it has then.
fn settled(member: &Member, bytes_max: u64) -> Result<u64> {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let now = member.resident_bytes()?;
        if now <= bytes_max {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "memory stays at {} MiB, above {} MiB", now / MIB, bytes_max / MIB);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Connections that say nothing, or a part of their first words.
fn silent(address: &str) -> Result<Box<dyn std::any::Any>> {
    let held: Vec<TcpStream> = (0..3000).map(|_| TcpStream::connect(address)).collect::<std::io::Result<_>>()?;
    Ok(Box::new(held))
}

/// Connections that ask for everything, as often as they may, and read none of it.
fn slow_readers(address: &str) -> Result<Box<dyn std::any::Any>> {
    greedy(address, WINDOW_MAX)
}

/// The same, and the server may not even send.
fn closed_windows(address: &str) -> Result<Box<dyn std::any::Any>> {
    greedy(address, 0)
}

fn greedy(address: &str, window: u32) -> Result<Box<dyn std::any::Any>> {
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(address, window)?;
        // The server may end this at any time.
        let _ = (0..20).try_for_each(|_| raw.ask_for_everything());
        held.push(raw);
    }
    Ok(Box::new(held))
}

/// Calls that begin and never go on, far more than a connection may have.
fn streams(address: &str) -> Result<Box<dyn std::any::Any>> {
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        let _ = (0..10_000).try_for_each(|_| raw.call("/etcdserverpb.KV/Put").map(|_| ()));
        held.push(raw);
    }
    Ok(Box::new(held))
}

/// Calls that are taken back at once ("rapid reset", CVE-2023-44487): the connection ends.
fn resets(address: &str) -> Result<Box<dyn std::any::Any>> {
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        let _ = (0..20_000).try_for_each(|_| {
            let stream = raw.call("/etcdserverpb.KV/Range")?;
            raw.frame(Kind::Reset, 0, stream, &8_u32.to_be_bytes())
        });
        ensure!(raw.is_closed_within(Duration::from_secs(5))?, "a connection that resets all it begins stays open");
    }
    Ok(Box::new(()))
}

/// Headers without end (RUSTSEC-2024-0332): refused, or the end of the connection.
fn huge_headers(address: &str) -> Result<Box<dyn std::any::Any>> {
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        let _ = raw.frame(Kind::Headers, 0, 1, &headers("/etcdserverpb.KV/Put"));
        let mut more = Vec::new();
        header(&mut more, "x-more", &"m".repeat(16_000));
        let _ = (0..4000).try_for_each(|_| raw.frame(Kind::Continuation, 0, 1, &more));
        let _ = raw.frame(Kind::Continuation, END_HEADERS, 1, &[]);
        ensure!(raw.is_closed_within(Duration::from_secs(5))?, "a connection with 64 MB of headers stays open");
    }
    Ok(Box::new(()))
}

/// Requests of the largest size that lack a part of their message.
fn halves(address: &str) -> Result<Box<dyn std::any::Any>> {
    hoard(address, 1)
}

/// Such requests with all of their message, that do not end.
fn endless(address: &str) -> Result<Box<dyn std::any::Any>> {
    hoard(address, 0)
}

fn hoard(address: &str, pieces_lacking: usize) -> Result<Box<dyn std::any::Any>> {
    const PIECE_BYTES: usize = 16_000;
    const PIECES: usize = 93;
    const MESSAGE_BYTES: usize = PIECES * PIECE_BYTES;
    let piece = vec![0; PIECE_BYTES];
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut raw = Raw::connect(address, WINDOW_MAX)?;
        let _ = (0..200).try_for_each(|_| {
            let stream = raw.call("/etcdserverpb.KV/Put")?;
            let announced = u32::try_from(MESSAGE_BYTES).expect("below 4 GiB").to_be_bytes();
            raw.frame(Kind::Data, 0, stream, &[&[0][..], &announced[..]].concat())?;
            (pieces_lacking..PIECES).try_for_each(|_| raw.frame(Kind::Data, 0, stream, &piece))
        });
        held.push(raw);
    }
    Ok(Box::new(held))
}
