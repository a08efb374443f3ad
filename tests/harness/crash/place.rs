//! What a struck call was about, by the lines of strace: a thread, the call with the path of its file, what came of it.
//!
//! ```text
//!   4711 pwritev(9</tmp/x/m1/data/wal/0000000000000001.wal>, [...], 2, 4096) = -1 EIO (Input/output error) (INJECTED)
//!   4711 rename("/tmp/x/m1/data/identity.json.new", "/tmp/x/m1/data/identity.json") = 0
//! ```

use super::point::{CALLS, Point, Strike};
use std::collections::BTreeMap;
use std::fmt;

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A segment of the log.
    Log,
    /// A file that is at hand for the log.
    Spare,
    /// The state file.
    Store,
    /// A snapshot on its way in: its parts, the state made of them, and the record of the switch to it.
    Install,
    /// Who the member is.
    Identity,
    /// The names in a directory.
    Directory,
    /// Anything else.
    Other,
}

impl Place {
    /// Of the first path in what follows a call's name.
    fn of(arguments: &str) -> Self {
        let path = arguments.split(['<', '>', '"']).nth(1).unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            name if name.ends_with(".wal") => Self::Log,
            name if name.starts_with("install.intent") || name == "state.redb.install" => Self::Install,
            _ if path.contains("/data/install/") => Self::Install,
            name if name.starts_with("spare-") || name.starts_with("ballast") => Self::Spare,
            name if name.starts_with("state.redb") => Self::Store,
            "identity.json.spare" => Self::Spare,
            name if name.starts_with("identity.json") => Self::Identity,
            "data" | "wal" | "install" => Self::Directory,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Spare => "spare",
            Self::Store => "store",
            Self::Install => "install",
            Self::Identity => "identity",
            Self::Directory => "directory",
            Self::Other => "other",
        })
    }
}

/// The calls of a trace: thread, name, and where each goes.
pub(super) fn calls(trace: &str) -> impl Iterator<Item = (&str, &'static str, Place)> {
    trace.lines().filter_map(|line| {
        let (thread, call) = line.split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        let name = CALLS.into_iter().find(|of| *of == name)?;
        Some((thread, name, Place::of(arguments)))
    })
}

/// Where a point was struck: strace counts for each thread.
#[must_use]
pub(super) fn struck(trace: &str, point: Point) -> Vec<Place> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let nth = |(thread, name, place): (_, &str, Place)| {
        let count = counts.entry(thread).or_default();
        *count += u64::from(name == point.call);
        (name == point.call && *count == point.nth).then_some(place)
    };
    calls(trace).filter_map(nth).collect()
}

/// What a member has to do about a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// End: nothing is known any more about what it writes.
    End,
    /// Go on: it has room again when it looks the next time.
    GoOn,
    /// Either.
    Free,
}

/// The duty after these places were struck in a member that was ready by then.
#[must_use]
pub(super) fn duty(point: Point, places: &[Place]) -> Duty {
    let kept = |place: &Place| matches!(place, Place::Log | Place::Store);
    let writes = matches!(point.call, "pwrite64" | "pwritev");
    match point.strike {
        Strike::Kill => Duty::End,
        Strike::Eio if places.iter().any(kept) && point.call != "rename" => Duty::End,
        Strike::Enospc if writes && !places.is_empty() && places.iter().all(kept) => Duty::GoOn,
        Strike::Eio | Strike::Enospc => Duty::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "7 pwritev(5</tmp/m1/data/wal/0000000000000001.wal>, [{iov_base=\"a\"}], 1, 0) = 1\n\
        8 pwrite64(6</tmp/m1/data/state.redb>, \"x\", 1, 0 <unfinished ...>\n\
        7 rename(\"/tmp/m1/data/wal/spare-0000000000000001\", \"/tmp/m1/data/wal/0000000000000002.wal\") = 0\n\
        8 <... pwrite64 resumed>) = 1\n\
        7 fdatasync(5</tmp/m1/data/wal/0000000000000001.wal>) = 0\n\
        8 pwrite64(7</tmp/m1/data/wal/spare-0000000000000002.new>, \"\", 0, 0) = -1 EIO (Input/output error) (INJECTED)\n\
        7 fsync(8</tmp/m1/data>) = 0\n\
        7 pwrite64(9</tmp/m1/data/identity.json.new>, \"\", 0, 0) = 0\n\
        7 pwrite64(9</tmp/m1/data/install/ab12.part>, \"\", 0, 0) = 0\n\
        7 rename(\"/tmp/m1/data/state.redb.install\", \"/tmp/m1/data/state.redb\") = 0\n\
        7 +++ killed by SIGKILL +++\n";

    #[test]
    fn each_call_is_of_the_file_it_names() {
        let found: Vec<_> = calls(TRACE).map(|(_, name, place)| (name, place)).collect();
        assert_eq!(
            found,
            [
                ("pwritev", Place::Log),
                ("pwrite64", Place::Store),
                ("rename", Place::Spare),
                ("fdatasync", Place::Log),
                ("pwrite64", Place::Spare),
                ("fsync", Place::Directory),
                ("pwrite64", Place::Identity),
                ("pwrite64", Place::Install),
                ("rename", Place::Install),
            ]
        );
    }

    #[test]
    fn the_nth_call_of_each_thread_is_the_one_that_is_struck() {
        let at = |call, nth| struck(TRACE, Point { call, nth, strike: Strike::Eio });
        assert_eq!(at("pwrite64", 1), [Place::Store, Place::Identity]);
        assert_eq!(at("pwrite64", 2), [Place::Spare, Place::Install]);
        assert_eq!(at("fdatasync", 2), []);
    }

    #[test]
    fn a_broken_disk_ends_a_member_and_a_full_one_does_not() {
        let duty = |call, strike, places: &[Place]| duty(Point { call, nth: 1, strike }, places);
        assert_eq!(duty("fdatasync", Strike::Eio, &[Place::Spare, Place::Log]), Duty::End);
        assert_eq!(duty("pwrite64", Strike::Eio, &[Place::Spare]), Duty::Free);
        assert_eq!(duty("pwritev", Strike::Enospc, &[Place::Log]), Duty::GoOn);
        assert_eq!(duty("pwrite64", Strike::Enospc, &[Place::Store, Place::Spare]), Duty::Free);
        assert_eq!(duty("fdatasync", Strike::Enospc, &[Place::Log]), Duty::Free);
        assert_eq!(duty("rename", Strike::Kill, &[]), Duty::End);
    }
}
