//! The table: painted over itself on a terminal, a line for each change elsewhere.

use super::super::status::Seen;
use super::super::view::{self, Row};
use super::load::Rate;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

/// Plain lines tell the load every few seconds.
const LOOKS_PER_LOAD_LINE: u32 = 10;

/// Where the table is shown.
pub(super) struct Screen {
    form: Form,
    out: Box<dyn Write>,
}

enum Form {
    /// So many lines of the last table stand above the cursor.
    Live { lines: usize },
    /// What was said last, by member, and how many looks ago the load was.
    Plain { said: BTreeMap<String, String>, looks: u32 },
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let live = out.is_terminal();
        Self::on(Box::new(out), live)
    }

    fn on(out: Box<dyn Write>, live: bool) -> Self {
        let form = if live { Form::Live { lines: 0 } } else { Form::Plain { said: BTreeMap::new(), looks: 0 } };
        Self { form, out }
    }

    /// Shows the cluster, with news that stay.
    ///
    /// # Errors
    /// The output is gone.
    pub(super) fn show(&mut self, seen: &Seen, news: &[String], rate: Option<&Rate>) -> io::Result<()> {
        let rows = view::rows(&seen.heard, seen.replication.as_ref());
        match &mut self.form {
            Form::Live { lines } => {
                let mut table = view::table(&rows);
                if let Some(rate) = rate {
                    table.push_str(&format!("load: {rate}\n"));
                }
                let up = if *lines == 0 { String::new() } else { format!("\x1b[{lines}A") };
                *lines = table.lines().count() + 1;
                let news: String = news.iter().map(|one| format!("{one}\n")).collect();
                write!(self.out, "{up}\x1b[J{news}\n{table}")?;
            }
            Form::Plain { said, looks } => {
                *looks += 1;
                if let Some(rate) = rate.filter(|_| looks.is_multiple_of(LOOKS_PER_LOAD_LINE)) {
                    writeln!(self.out, "load: {rate}")?;
                }
                for one in news {
                    writeln!(self.out, "{one}")?;
                }
                for row in &rows {
                    say(&mut self.out, said, row)?;
                }
            }
        }
        self.out.flush()
    }
}

/// One line, if the member is in another state than the one said last. Numbers that always move do not count.
fn say(out: &mut dyn Write, said: &mut BTreeMap<String, String>, row: &Row) -> io::Result<()> {
    let stream = row.follower.as_ref().map(|follower| match follower.paused {
        Some(reason) => format!(" stream {} ({})", follower.state.name(), reason.name()),
        None => format!(" stream {}", follower.state.name()),
    });
    let term = row.term.map(|term| format!(" term {term}"));
    let note = if row.note.is_empty() { String::new() } else { format!(" {}", row.note) };
    let state = format!("{}{}{}{note}", row.role, term.unwrap_or_default(), stream.unwrap_or_default());
    // How long somebody is silent always moves.
    let steady = state.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    let key = if row.term.is_some() { &state } else { &steady };
    if said.get(&row.name) == Some(key) {
        return Ok(());
    }
    writeln!(out, "{} {state}{}", row.name, figures(row))?;
    said.insert(row.name.clone(), key.clone());
    Ok(())
}

fn figures(row: &Row) -> String {
    match &row.follower {
        Some(follower) => format!(
            " match {} lag {} entries {} bytes {:.3} s",
            follower.match_index, follower.lag_entries, follower.lag_bytes, follower.lag_seconds
        ),
        None => row.commit.map_or_else(String::new, |commit| format!(" commit {commit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::view::Heard;
    use admin_api::{Id, Identity, LogPosition, MemberStatus, Role};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn seen(role: Role, commit_index: u64) -> Seen {
        let status = MemberStatus {
            identity: Identity { name: "m1".into(), ..Identity::default() },
            role,
            term: 2,
            leader: Some(Id(1)),
            ready: true,
            log: LogPosition { commit_index, ..LogPosition::default() },
            ..MemberStatus::default()
        };
        Seen { heard: vec![Heard { endpoint: "e".into(), status: Ok(status) }], replication: None }
    }

    #[test]
    fn plain_lines_come_with_changes_and_not_with_progress() {
        let kept = Kept::default();
        let mut screen = Screen::on(Box::new(kept.clone()), false);
        screen.show(&seen(Role::Follower, 7), &[], None).unwrap();
        assert_eq!(kept.take(), "m1 follower term 2 commit 7\n");
        screen.show(&seen(Role::Follower, 9), &[], None).unwrap();
        assert_eq!(kept.take(), "");
        screen.show(&seen(Role::Leader, 9), &["m2 starts again".into()], None).unwrap();
        assert_eq!(kept.take(), "m2 starts again\nm1 leader term 2 commit 9\n");
    }

    #[test]
    fn a_live_table_is_painted_over_the_last_one() {
        let kept = Kept::default();
        let mut screen = Screen::on(Box::new(kept.clone()), true);
        screen.show(&seen(Role::Follower, 7), &[], None).unwrap();
        assert!(kept.take().starts_with("\x1b[J\nMEMBER"));
        screen.show(&seen(Role::Follower, 7), &["news".into()], None).unwrap();
        assert!(kept.take().starts_with("\x1b[3A\x1b[Jnews\n\nMEMBER"), "up over the table and the empty line");
    }
}
