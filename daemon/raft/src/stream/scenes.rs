//! Plays the scripts in `testdata/stream`: one stream, its leader's log, and a narrator who is the follower, the
//! link, the disk and the clock.
//!
//! A script is a story in plain words; below `---` stands what was observed. `UPDATE=1 cargo test -p raft scenes`
//! writes that part anew. After every line the runner checks what must always hold, so a script tells only its story.
//!
//! ```text
//!   config append=B window=B messages=N cache=B     first of all, where the defaults are too large to tell a story
//!   append N [bytes=B] [term=T]     clients write N entries of B bytes each, and the leader has them durable
//!   commit I · compact I            the commit index moves · the log is cut through I
//!   known I                         earlier leaders knew the follower to hold so much
//!   link up | link down [N]         a connection comes or goes, the newest or the Nth; each has its own stream id
//!   ack I@T [credit=B] [on=S]       the follower made this durable; on=S names an earlier stream
//!   reject base=I@T last=I@T [conflict=I@T] [on=S]
//!   heartbeat · heartbeat-reply [rtt=D] [credit=B] [on=S]
//!   log-read [compacted | unreadable | gap] [on=S]     the disk answers
//!   others-hold B                   other streams hold so much of the recovery budget
//!   advance D · status · urgent · close term-over | removed
//! ```

use super::phase::Phase;
use super::{Beat, LagRing, Recovery, Stream, StreamOut, View};
use crate::config::Config;
use crate::entry::{Entry, EntryKind, RECORD_HEADER_BYTES};
use crate::input::LogReadFailure;
use crate::log::Log;
use crate::message::{Ack, Message, Reject};
use crate::output::{CloseReason, Event, LogRead};
use crate::types::{Index, LinkId, LogId, MemberId, ReadRound, StreamId, Term, Time};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PEER: MemberId = MemberId(2);

/// One line of a script, taken apart: the verb, bare words, and `name=value`.
struct Line<'a> {
    verb: &'a str,
    words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split_whitespace();
        let verb = parts.next().expect("empty lines are skipped");
        let (named, words): (Vec<_>, Vec<_>) = parts.partition(|part| part.contains('='));
        Self { verb, words, named: named.iter().filter_map(|pair| pair.split_once('=')).collect() }
    }

    fn word(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.named.get(name).map(|value| value.parse().expect("a number"))
    }

    fn id(&self, name: &str) -> Option<LogId> {
        self.named.get(name).map(|value| log_id(value))
    }
}

fn log_id(text: &str) -> LogId {
    let (index, term) = text.split_once('@').expect("index@term");
    LogId::new(term.parse().expect("a term"), index.parse().expect("an index"))
}

fn duration(text: &str) -> Duration {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text[..text.len() - unit.len()].parse().expect("a number before the unit");
    match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        other => panic!("unknown unit {other:?}"),
    }
}

/// The scene: a stream and everything around it.
struct Scene {
    config: Config,
    stream: Stream,
    log: Log,
    /// Everything ever appended: what the disk gives back.
    disk: Vec<Entry>,
    lag: LagRing,
    recovery: Recovery,
    commit: Index,
    term: u64,
    links: u64,
    now: Time,
    read: Option<LogRead>,
    out: StreamOut,
    trace: String,
}

impl Scene {
    fn new(config: Config) -> Self {
        let now = Time(1_000_000);
        Self {
            stream: Stream::new(PEER, &config, 7),
            log: Log::new(LogId::ZERO, Vec::new(), LogId::ZERO, Vec::new(), config.cache_bytes_max),
            config,
            disk: Vec::new(),
            lag: LagRing::new(Index::ZERO, &[], now, 0),
            recovery: Recovery::new(),
            commit: Index::ZERO,
            term: 1,
            links: 0,
            now,
            read: None,
            out: StreamOut::default(),
            trace: String::new(),
        }
    }

    fn play(&mut self, text: &str) {
        let _ = writeln!(self.trace, "> {text}");
        let line = Line::parse(text);
        match line.verb {
            "config" => self.configure(&line),
            "append" => self.append(&line),
            "commit" => self.commit = Index(line.word().parse().expect("an index")),
            "compact" => self.compact(Index(line.word().parse().expect("an index"))),
            "known" => self.known(Index(line.word().parse().expect("an index"))),
            "link" => self.link(&line),
            "ack" => self.ack(&line),
            "reject" => self.reject(&line),
            "heartbeat" => self.heartbeat(),
            "heartbeat-reply" => self.heartbeat_reply(&line),
            "log-read" => self.log_read(&line),
            "others-hold" => self.recovery.hold(MemberId(3), line.word().parse().expect("bytes")),
            "advance" => self.advance(duration(line.word())),
            "urgent" => self.recovery.set_urgent(true),
            "status" => self.status(),
            "close" => self.close(line.word()),
            other => panic!("unknown verb {other:?}"),
        }
        self.poll();
    }

    fn configure(&mut self, line: &Line<'_>) {
        let mut config = self.config.clone();
        config.append_bytes_max = line.number("append").unwrap_or(config.append_bytes_max);
        config.inflight_bytes_start = line.number("window").unwrap_or(config.inflight_bytes_start);
        config.inflight_messages_max = line.number("messages").map_or(config.inflight_messages_max, |n| n as usize);
        config.cache_bytes_max = line.number("cache").unwrap_or(config.cache_bytes_max);
        let trace = std::mem::take(&mut self.trace);
        *self = Self { trace, ..Self::new(config) };
    }

    fn append(&mut self, line: &Line<'_>) {
        self.term = line.number("term").unwrap_or(self.term);
        let payload = vec![0; line.number("bytes").map_or(0, |bytes| bytes as usize - RECORD_HEADER_BYTES)];
        let from = self.log.last().index.0 + 1;
        let entries = (from..from + line.word().parse::<u64>().expect("a count"))
            .map(|index| Entry::new(LogId::new(self.term, index), EntryKind::Command, self.now.0, &payload))
            .collect::<Vec<_>>();
        self.disk.extend(entries.iter().cloned());
        self.lag.append(self.now, &entries);
        self.recovery.written(self.now);
        self.log.append(entries);
        self.log.set_durable(self.log.last());
    }

    fn compact(&mut self, through: Index) {
        let through = self.log.id_at(through).expect("an index of the log");
        self.log.compact(through);
    }

    fn known(&mut self, known: Index) {
        let stream = std::mem::replace(&mut self.stream, Stream::new(PEER, &self.config, 7));
        self.stream = stream.known_to_hold(known);
    }

    fn link(&mut self, line: &Line<'_>) {
        let named = line.words.get(1).map(|link| link.parse().expect("a link"));
        match (line.word(), named) {
            ("up", None) => {
                self.links += 1;
                self.stream.on_link_up(LinkId(self.links), StreamId(self.links));
            }
            ("up", Some(link)) => self.stream.on_link_up(LinkId(link), StreamId(link)),
            ("down", link) => self.stream.on_link_down(LinkId(link.unwrap_or(self.links))),
            (other, _) => panic!("link {other:?}"),
        }
    }

    fn stream_id(&self, line: &Line<'_>) -> StreamId {
        line.number("on").map_or(self.stream.id, StreamId)
    }

    fn ack(&mut self, line: &Line<'_>) {
        let ack = Ack {
            stream: self.stream_id(line),
            durable: log_id(line.word()),
            applied: Index::ZERO,
            credit_bytes: line.number("credit").unwrap_or(u64::MAX),
        };
        if let Some(matched) = self.stream.on_ack(self.now, &ack, &self.log) {
            let _ = writeln!(self.trace, "  match {matched}");
        }
    }

    fn reject(&mut self, line: &Line<'_>) {
        let reject = Reject {
            stream: self.stream_id(line),
            prev: line.id("base").expect("base=index@term"),
            last: line.id("last").expect("last=index@term"),
            conflict: line.id("conflict").map(|id| (id.term, id.index)),
        };
        self.stream.on_reject(self.now, &reject, &self.log);
    }

    fn heartbeat(&mut self) {
        let beat = self.stream.heartbeat(self.now, self.commit, ReadRound(1), Vec::new());
        let _ = writeln!(self.trace, "  → {beat}");
    }

    fn heartbeat_reply(&mut self, line: &Line<'_>) {
        let rtt = line.named.get("rtt").map_or(Duration::from_millis(1), |rtt| duration(rtt));
        let beat = Beat {
            stream: self.stream_id(line),
            echo: self.now.before(rtt),
            applied: Index::ZERO,
            credit_bytes: line.number("credit").unwrap_or(u64::MAX),
        };
        if !self.stream.on_heartbeat_reply(self.now, &beat) {
            let _ = writeln!(self.trace, "  stale");
        }
    }

    fn log_read(&mut self, line: &Line<'_>) {
        let read = self.read.expect("a read is under way");
        let result = match line.word() {
            "" => Ok(self.read_back(&read)),
            "gap" => Ok(self.read_back(&read).split_off(1)),
            "compacted" => Err(LogReadFailure::Compacted),
            "unreadable" => Err(LogReadFailure::Unreadable),
            other => panic!("log-read {other:?}"),
        };
        self.stream.on_log_read(self.now, line.number("on").map_or(read.stream, StreamId), result);
    }

    fn read_back(&self, read: &LogRead) -> Vec<Entry> {
        let mut bytes = 0;
        let wanted = self.disk.iter().filter(|entry| (read.from..=read.through).contains(&entry.index()));
        wanted
            .take_while(|entry| {
                bytes += entry.bytes();
                bytes <= read.bytes_max || bytes == entry.bytes()
            })
            .cloned()
            .collect()
    }

    /// Lets time pass, stopping wherever the stream asked to be called.
    fn advance(&mut self, by: Duration) {
        let end = self.now.after(by);
        while let Some(at) = self.stream.next_deadline().filter(|at| *at <= end) {
            assert!(at > self.now || self.now == Time(1_000_000), "a deadline is in the future");
            self.now = self.now.max(at);
            self.stream.tick(self.now);
            self.poll();
        }
        self.now = end;
        self.stream.tick(end);
    }

    fn status(&mut self) {
        let view = View { log: &self.log, lag: &self.lag, commit: self.commit };
        let status = self.stream.status(self.now, &view, false);
        let _ = writeln!(
            self.trace,
            "  {:?} paused={:?} match={} next={} in-flight={}/{}B lag={}/{}B/{:?}{} counts={} rejections={} resets={:?}",
            status.state,
            status.paused,
            status.matched,
            status.next,
            status.in_flight_messages,
            status.in_flight_bytes,
            status.lag.entries,
            status.lag.bytes,
            status.lag.age,
            if status.lag.approximate { "~" } else { "" },
            self.stream.matched(),
            status.rejections,
            status.resets,
        );
    }

    fn close(&mut self, word: &str) {
        let reason = match word {
            "term-over" => CloseReason::TermOver,
            "removed" => CloseReason::Removed,
            other => panic!("close {other:?}"),
        };
        let stream = std::mem::replace(&mut self.stream, Stream::new(PEER, &self.config, 7));
        self.recovery.forget(PEER);
        self.out.events.push(stream.closed(reason));
    }

    fn poll(&mut self) {
        let view = View { log: &self.log, lag: &self.lag, commit: self.commit };
        self.stream.poll(self.now, &view, &mut self.recovery, &mut self.out);
        self.check();
        let out = std::mem::take(&mut self.out);
        for event in out.events {
            let _ = writeln!(self.trace, "  {}", told(&event));
        }
        for (_, message) in out.send {
            let _ = writeln!(self.trace, "  → {message}");
        }
        for read in out.log_reads {
            let _ = writeln!(self.trace, "  read from={} through={} max={}", read.from, read.through, read.bytes_max);
            self.read = Some(read);
        }
    }

    /// What holds after every line of every script.
    fn check(&self) {
        for (_, message) in &self.out.send {
            let Message::Append { prev, entries, stream, .. } = message else { continue };
            assert_eq!(*stream, self.stream.id, "appends name the stream of this connection");
            assert!(self.log.contains(*prev), "the base of an append is in the log");
            for (index, entry) in (prev.index.0 + 1..).zip(entries) {
                assert_eq!(entry.index(), Index(index), "entries follow their base without a gap");
                assert!(entry.term() >= prev.term && entry.term() <= Term(self.term));
            }
        }
        if let Phase::Replicate(replicate) = &self.stream.phase {
            let bound = self.config.inflight_bytes_max + self.config.append_bytes_max;
            assert!(replicate.in_flight.bytes() <= bound, "the window holds");
            assert!(replicate.in_flight.messages() <= self.config.inflight_messages_max, "the window holds");
            assert!(replicate.next > self.stream.matched.index, "nothing acknowledged is sent again");
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Stream { from, to, reason, .. } => format!("{from:?} → {to:?}: {reason:?}"),
        Event::StreamClosed { reason, .. } => format!("closed: {reason:?}"),
        Event::Regressed { acknowledged, found, .. } => format!("regressed: acknowledged {acknowledged}, has {found}"),
        Event::Refused { why, .. } => format!("refused: {why}"),
        other => panic!("a stream does not say {other:?}"),
    }
}

fn observe(script: &str) -> String {
    let mut scene = Scene::new(Config::new(MemberId(1), 1));
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        scene.play(line);
    }
    scene.trace
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/stream");
    let mut paths =
        std::fs::read_dir(folder).expect("the scripts are there").map(|file| file.expect("readable").path());
    let mut paths = paths.by_ref().filter(|path| path.extension().is_some_and(|e| e == "txt")).collect::<Vec<_>>();
    paths.sort();
    paths
}

#[test]
fn scenes_of_a_stream_play_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut broken = Vec::new();
    for path in scripts() {
        let text = std::fs::read_to_string(&path).expect("readable");
        let (script, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let observed = observe(script);
        if update {
            std::fs::write(&path, format!("{}\n---\n{observed}", script.trim_end())).expect("writable");
        } else if observed != expected {
            broken.push(format!("{}\nexpected\n{expected}\nobserved\n{observed}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
