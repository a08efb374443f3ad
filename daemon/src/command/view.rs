//! A cluster as a table: what each member says of itself, joined with what the leader knows of its followers.

use admin_api::{Follower, Id, MemberStatus, Replication, Role, SnapshotProgress};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What one endpoint said.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// The endpoint.
    pub(super) endpoint: String,
    /// What it said of itself, or why it said nothing.
    pub(super) status: Result<MemberStatus, String>,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) term: Option<u64>,
    pub(super) commit: Option<u64>,
    pub(super) applied: Option<u64>,
    pub(super) follower: Option<Follower>,
    pub(super) note: String,
}

const HEADS: [&str; 10] =
    ["MEMBER", "ROLE", "TERM", "COMMIT", "APPLIED", "MATCH", "LAG", "LAG BYTES", "LAG SECONDS", "STREAM"];

/// The members, by name; those that did not answer last, by endpoint. Where an endpoint goes by its member's name, what
/// the leader knows of that member stands beside it.
pub(super) fn rows(heard: &[Heard], replication: Option<&Replication>) -> Vec<Row> {
    let mut followers: BTreeMap<Id, &Follower> =
        replication.iter().flat_map(|leader| &leader.followers).map(|follower| (follower.member, follower)).collect();
    let mut rows = Vec::new();
    let mut silent = Vec::new();
    for one in heard {
        match &one.status {
            Ok(status) => rows.push(member(status, followers.remove(&status.identity.member_id))),
            Err(why) => silent.push(Row { name: one.endpoint.clone(), role: "-", note: why.clone(), ..Row::default() }),
        }
    }
    for row in &mut silent {
        if let Some(id) = followers.values().find(|follower| follower.name == row.name).map(|follower| follower.member)
        {
            row.follower = followers.remove(&id).cloned();
        }
    }
    rows.extend(followers.into_values().map(only_followed));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows.extend(silent);
    rows
}

fn member(status: &MemberStatus, follower: Option<&Follower>) -> Row {
    Row {
        name: name(&status.identity.name, status.identity.member_id),
        role: status.role.name(),
        term: Some(status.term),
        commit: Some(status.log.commit_index),
        applied: Some(status.log.applied_index),
        follower: follower.cloned(),
        note: notes(status),
    }
}

/// A member nobody asked or that did not answer: the leader's word is all there is.
fn only_followed(follower: &Follower) -> Row {
    let silent = follower.silent_for_seconds.map(|seconds| format!("silent for {seconds:.1} s"));
    Row {
        name: name(&follower.name, follower.member),
        role: "?",
        follower: Some(follower.clone()),
        note: silent.unwrap_or_default(),
        ..Row::default()
    }
}

fn name(name: &str, id: Id) -> String {
    if name.is_empty() { id.to_string() } else { name.to_owned() }
}

fn notes(status: &MemberStatus) -> String {
    let mut notes: Vec<String> = status.alarms.iter().map(|alarm| format!("alarm {alarm:?}")).collect();
    let flags = [
        (status.installing_snapshot, "installing a snapshot"),
        (status.transferring_leadership, "handing over"),
        (status.leader.is_none(), "no leader"),
        (!status.ready && status.leader.is_some(), "not ready"),
    ];
    notes.extend(flags.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    notes.join(", ")
}

/// The table, with a line of heads.
pub(super) fn table(rows: &[Row]) -> String {
    let mut cells: Vec<Vec<String>> = vec![HEADS.iter().map(|&head| head.to_owned()).collect()];
    cells.extend(rows.iter().map(self::cells));
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let notes = std::iter::once("").chain(rows.iter().map(|row| row.note.as_str()));
    let mut text = String::new();
    for (row, note) in cells.iter().zip(notes) {
        let line = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            2..=8 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        let line = line.chain([note.to_owned()]).collect::<Vec<_>>().join("  ");
        writeln!(text, "{}", line.trim_end()).expect("a String takes every text");
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let mut cells =
        vec![row.name.clone(), row.role.to_owned(), number(row.term), number(row.commit), number(row.applied)];
    cells.extend(match &row.follower {
        Some(follower) => stream(follower),
        None => ["-"; 5].map(str::to_owned),
    });
    cells
}

fn stream(follower: &Follower) -> [String; 5] {
    let about = if follower.lag_approximate { "~" } else { "" };
    let state = match follower.paused {
        _ if follower.snapshot.is_some() => follower.snapshot.as_ref().map(snapshot).unwrap_or_default(),
        Some(reason) => format!("{} ({})", follower.state.name(), reason.name()),
        None => follower.state.name().to_owned(),
    };
    [
        follower.match_index.to_string(),
        follower.lag_entries.to_string(),
        format!("{about}{}", follower.lag_bytes),
        format!("{about}{:.3}", follower.lag_seconds),
        state,
    ]
}

/// An install in short: how much of it, how fast.
fn snapshot(progress: &SnapshotProgress) -> String {
    const MIB: f64 = (1 << 20) as f64;
    let rate = progress.bytes_per_second as f64 / MIB;
    format!("snapshot {} {:.0} % {rate:.1} MiB/s", progress.phase, progress.percent)
}

/// The endpoint to ask for replication: the leader that the greatest term knows.
pub(super) fn leader(heard: &[Heard]) -> Option<&str> {
    let leads = |one: &&Heard| matches!(&one.status, Ok(status) if status.role == Role::Leader);
    let term = |one: &&Heard| one.status.as_ref().map_or(0, |status| status.term);
    heard.iter().filter(leads).max_by_key(term).map(|one| one.endpoint.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin_api::{Alarm, Identity, LogPosition, PausedReason, StreamState};

    fn said(id: u64, role: Role, term: u64, commit_index: u64) -> Heard {
        let status = MemberStatus {
            identity: Identity { member_id: Id(id), name: format!("m{id}"), ..Identity::default() },
            role,
            term,
            leader: Some(Id(2)),
            ready: true,
            log: LogPosition { commit_index, applied_index: commit_index, ..LogPosition::default() },
            ..MemberStatus::default()
        };
        Heard { endpoint: format!("http://m{id}:2381"), status: Ok(status) }
    }

    fn follows(id: u64, state: StreamState, paused: Option<PausedReason>, lag_entries: u64) -> Follower {
        Follower {
            member: Id(id),
            name: format!("m{id}"),
            state,
            paused,
            match_index: 100 - lag_entries,
            lag_entries,
            lag_bytes: lag_entries * 300,
            lag_seconds: 1.25,
            lag_approximate: paused.is_some(),
            silent_for_seconds: paused.map(|_| 4.56),
            ..Follower::default()
        }
    }

    #[test]
    fn an_install_is_shown_in_place_of_the_stream() {
        let snapshot = SnapshotProgress {
            phase: "fetching".into(),
            percent: 45.4,
            bytes_per_second: 3 << 19,
            ..SnapshotProgress::default()
        };
        let follower = Follower { state: StreamState::Snapshot, snapshot: Some(snapshot), ..Follower::default() };
        assert_eq!(stream(&follower)[4], "snapshot fetching 45 % 1.5 MiB/s");
    }

    #[test]
    fn the_table_joins_members_with_what_the_leader_knows_of_them() {
        let mut heard = vec![said(2, Role::Leader, 7, 100), said(1, Role::Follower, 7, 99)];
        if let Ok(status) = &mut heard[1].status {
            status.alarms.push(Alarm::NoSpace);
        }
        heard.push(Heard { endpoint: "http://m3:2381".into(), status: Err("cannot connect: refused".into()) });
        let followers = vec![
            follows(1, StreamState::Replicate, None, 1),
            follows(3, StreamState::Probe, Some(PausedReason::Disconnected), 60),
        ];
        let replication = Replication { leader: Id(2), followers, ..Replication::default() };
        let text = table(&rows(&heard, Some(&replication)));
        let wanted = "\
MEMBER          ROLE      TERM  COMMIT  APPLIED  MATCH  LAG  LAG BYTES  LAG SECONDS  STREAM
m1              follower     7      99       99     99    1        300        1.250  replicate             alarm NoSpace
m2              leader       7     100      100      -    -          -            -  -
m3              ?            -       -        -     40   60     ~18000       ~1.250  probe (disconnected)  silent for 4.6 s
http://m3:2381  -            -       -        -      -    -          -            -  -                     cannot connect: refused
";
        assert_eq!(text, wanted, "\n{text}");
    }

    #[test]
    fn a_silent_endpoint_that_goes_by_its_member_s_name_is_that_member() {
        let heard = [said(2, Role::Leader, 7, 100), Heard { endpoint: "m3".into(), status: Err("gone".into()) }];
        let followers = vec![follows(3, StreamState::Probe, Some(PausedReason::Disconnected), 60)];
        let rows = rows(&heard, Some(&Replication { followers, ..Replication::default() }));
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].name.as_str(), rows[1].note.as_str()), ("m3", "gone"));
        assert_eq!(rows[1].follower.as_ref().unwrap().lag_entries, 60);
    }

    #[test]
    fn the_leader_of_the_greatest_term_is_asked() {
        let heard = [said(1, Role::Leader, 6, 1), said(2, Role::Leader, 7, 1), said(3, Role::Follower, 8, 1)];
        assert_eq!(leader(&heard), Some("http://m2:2381"));
        assert_eq!(leader(&heard[2..]), None);
    }
}
