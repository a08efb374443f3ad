//! Programs run with a deadline, their words kept in a log; the error carries the last of them.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer is waited for that should come at once.
pub const SHORT: Duration = Duration::from_secs(60);
/// How often a running program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of a log an error carries.
const LAST_LINES: usize = 15;

/// Runs `command` to its end, its output appended to `log`.
///
/// # Errors
/// When it cannot start, fails, or takes longer than `within`; then it is killed.
pub fn run(command: &mut Command, log: &Path, within: Duration) -> Result<()> {
    let what = describe(command);
    let out = OpenOptions::new().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let status = wait(command, &what, within).with_context(|| tail(log))?;
    ensure!(status.success(), "{what} ended with {status}\n{}", tail(log));
    Ok(())
}

/// What `command` prints.
///
/// # Errors
/// When it cannot start, fails, or takes longer than [`SHORT`]; the error has what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let what = describe(command);
    let (said, complained) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
    command.stdin(Stdio::null()).stdout(said.reopen()?).stderr(complained.reopen()?);
    let status = wait(command, &what, SHORT)?;
    ensure!(status.success(), "{what} ended with {status}: {}", fs::read_to_string(complained.path())?.trim());
    Ok(fs::read_to_string(said.path())?.trim_end().to_owned())
}

/// Whether `command` succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok()
}

/// A command and its arguments.
#[must_use]
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn wait(command: &mut Command, what: &str, within: Duration) -> Result<ExitStatus> {
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("start {what}"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > within {
            child.kill()?;
            child.wait()?;
            bail!("{what} took longer than {} s and was ended", within.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The last lines of a log, or that there are none.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    format!("{}:\n{}", log.display(), lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended_and_its_words_are_kept() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let begun = Instant::now();
        let slow = run(&mut command(&["sh", "-c", "echo begun; exec sleep 60"]), &log, Duration::from_secs(1));
        let said = format!("{:#}", slow.expect_err("it takes too long"));
        assert!(said.contains("longer than 1 s") && said.contains("begun"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(30));
        Ok(())
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let failed = output(&mut command(&["sh", "-c", "echo no such thing >&2; exit 3"]));
        assert!(failed.expect_err("it fails").to_string().contains("no such thing"));
    }
}
