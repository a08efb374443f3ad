//! At which system call a member is struck, and what strace has to be told for that.
//!
//! strace counts the calls of each thread by itself, so a point is drawn for one thread and met by whichever comes so far.

use super::place;
use crate::sim::rng::Rng;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// The system calls whose order decides what a crash leaves. The two that every write makes stand here more often.
pub(super) const CALLS: [&str; 10] = [
    "fdatasync",
    "fdatasync",
    "fdatasync",
    "pwrite64",
    "pwrite64",
    "pwrite64",
    "pwritev",
    "fsync",
    "rename",
    "ftruncate",
];

/// How many of each call each thread makes that makes any, in a cycle that is not struck: strace counts for each thread.
pub(super) type Counts = BTreeMap<&'static str, Vec<u64>>;

/// What happens at the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The process is killed before the call.
    Kill,
    /// The call fails: the device is broken.
    Eio,
    /// The call fails: the device is full.
    Enospc,
}

/// When and how a cycle strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The system call.
    pub call: &'static str,
    /// Which one of them, from the start of the process on.
    pub nth: u64,
    /// What happens.
    pub strike: Strike,
}

/// Whether strace is there and may trace: some machines forbid it.
#[must_use]
pub fn can_trace() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=SIGKILL:when=1", "true"]);
    probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Draws a point of a cycle that makes so many calls, if it makes any.
pub(super) fn draw(rng: &mut Rng, counts: &Counts) -> Option<Point> {
    let made: Vec<&'static str> = CALLS.into_iter().filter(|call| counts.contains_key(call)).collect();
    let call = *rng.pick(&made)?;
    let most = *rng.pick(&counts[call])?;
    let nth = rng.between(1, most);
    let strike = match rng.below(6) {
        0 => Strike::Eio,
        1 => Strike::Enospc,
        _ => Strike::Kill,
    };
    Some(Point { call, nth, strike })
}

/// How many of each call each thread made, by the lines of strace: a thread, the call, and what came of it.
pub(super) fn count(trace: &str) -> Counts {
    let mut threads: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    place::calls(trace).for_each(|(thread, name, _)| *threads.entry((thread, name)).or_default() += 1);
    threads.into_iter().fold(Counts::new(), |mut counts, ((_, call), count)| {
        counts.entry(call).or_default().push(count);
        counts
    })
}

/// What a member is started under to be struck there; what strace saw goes to `output`.
#[must_use]
pub fn strace(Point { call, nth, strike }: Point, output: &str) -> Vec<String> {
    let effect = match strike {
        Strike::Kill => "signal=SIGKILL",
        Strike::Eio => "error=EIO",
        Strike::Enospc => "error=ENOSPC",
    };
    let inject = format!("inject={call}:{effect}:when={nth}");
    let trace = format!("trace={call}");
    // As a grandchild: the member stays our child, and is what we kill.
    let words = ["strace", "-D", "-f", "-y", "-qq", "-o", output, "-e", &trace, "-e", &inject];
    words.map(str::to_owned).to_vec()
}

/// What a member is started under when its calls are only counted.
pub(super) fn counting(output: &str) -> Vec<String> {
    let trace = format!("trace={}", CALLS.join(","));
    ["strace", "--seccomp-bpf", "-D", "-f", "-y", "-qq", "-o", output, "-e", &trace].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_drawn_over_every_call_and_every_strike() {
        let mut rng = Rng::new(1);
        let counts: Counts = CALLS.into_iter().map(|call| (call, vec![3, 1])).collect();
        let points: Vec<Point> = (0..500).filter_map(|_| draw(&mut rng, &counts)).collect();
        assert_eq!(points.len(), 500);
        for call in CALLS {
            for strike in [Strike::Kill, Strike::Eio, Strike::Enospc] {
                assert!(points.iter().any(|point| (point.call, point.strike) == (call, strike)), "{call} {strike:?}");
            }
        }
        assert!(points.iter().all(|point| (1..=3).contains(&point.nth)));
        let renames = Counts::from([("rename", vec![1])]);
        assert!((0..50).filter_map(|_| draw(&mut rng, &renames)).all(|point| (point.call, point.nth) == ("rename", 1)));
    }

    #[test]
    fn calls_are_counted_by_thread() {
        let trace = "7 fdatasync(5) = 0\n8 fdatasync(6 <unfinished ...>\n7 rename(\"a\", \"b\") = 0\n\
                     8 <... fdatasync resumed>) = 0\n8 fdatasync(6) = 0\n9  fdatasync(5) = 0\n9 +++ killed by SIGKILL +++\n";
        assert_eq!(count(trace), Counts::from([("fdatasync", vec![1, 2, 1]), ("rename", vec![1])]));
    }
}
