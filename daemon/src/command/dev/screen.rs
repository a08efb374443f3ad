//! The table: painted over itself on a terminal; elsewhere printed again when a member or a stream has changed its state,
//! and every few seconds while figures move.

use super::super::status::Seen;
use super::super::view::{self, Row};
use super::load::Rate;
use std::io::{self, IsTerminal, Write};

/// Where a table cannot be painted over, one in so many looks is enough for figures that move: a file of it stays
/// readable.
const LOOKS_PER_TABLE: u32 = 10;

/// Where the table is shown.
pub(super) struct Screen {
    form: Form,
    out: Box<dyn Write>,
}

enum Form {
    /// So many lines of the last table stand above the cursor.
    Live { lines: usize },
    /// The last table, and how many looks ago it was printed.
    Plain { last: Vec<Row>, looks: u32 },
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let live = out.is_terminal();
        Self::on(Box::new(out), live)
    }

    fn on(out: Box<dyn Write>, live: bool) -> Self {
        let form = if live { Form::Live { lines: 0 } } else { Form::Plain { last: Vec::new(), looks: 0 } };
        Self { form, out }
    }

    /// Shows the cluster, with news that stay.
    ///
    /// # Errors
    /// The output is gone.
    pub(super) fn show(&mut self, seen: &Seen, news: &[String], rate: Option<&Rate>) -> io::Result<()> {
        let rows = view::rows(&seen.heard, seen.replication.as_ref());
        let mut table = view::table(&rows);
        if let Some(rate) = rate {
            table.push_str(&format!("load: {rate}\n"));
        }
        let news: String = news.iter().map(|one| format!("{one}\n")).collect();
        match &mut self.form {
            Form::Live { lines } => {
                let up = if *lines == 0 { String::new() } else { format!("\x1b[{lines}A") };
                *lines = table.lines().count() + 1;
                write!(self.out, "{up}\x1b[J{news}\n{table}")?;
            }
            Form::Plain { last, looks } => {
                *looks += 1;
                self.out.write_all(news.as_bytes())?;
                let moved = rows != *last && *looks >= LOOKS_PER_TABLE;
                if moved || !rows.iter().map(state).eq(last.iter().map(state)) {
                    write!(self.out, "\n{table}")?;
                    (*last, *looks) = (rows, 0);
                }
            }
        }
        self.out.flush()
    }
}

/// What of a member is worth a table at once.
fn state(row: &Row) -> impl PartialEq + '_ {
    let stream = row.follower.as_ref().map(|follower| (follower.state, follower.paused));
    // How long somebody is silent always moves.
    let note = row.note.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    (&row.name, row.role, row.term, stream, note)
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
    fn without_a_terminal_a_table_comes_with_changes_at_once_and_with_progress_every_few_seconds() {
        let kept = Kept::default();
        let mut screen = Screen::on(Box::new(kept.clone()), false);
        let mut shown = |role, commit, news: &[String]| {
            screen.show(&seen(role, commit), news, None).unwrap();
            kept.take()
        };
        let first = shown(Role::Follower, 7, &[]);
        assert!(first.starts_with("\nMEMBER") && first.contains("follower") && !first.contains('\x1b'), "{first}");
        let later: Vec<_> = (0..2 * LOOKS_PER_TABLE).map(|n| shown(Role::Follower, 8 + u64::from(n), &[])).collect();
        assert_eq!(later.iter().filter(|said| !said.is_empty()).count(), 2, "{later:?}");
        let led = shown(Role::Leader, 27, &["m2 starts again".into()]);
        assert!(led.starts_with("m2 starts again\n\nMEMBER") && led.contains("leader"), "{led}");
        let idle = (0..3 * LOOKS_PER_TABLE).map(|_| shown(Role::Leader, 27, &[]));
        assert_eq!(idle.collect::<String>(), "", "nothing moves");
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
