//! Running a step: which cargo command it is, and how many tests passed in it.

use crate::steps::{PROFILE, SELECTION, STEPS, Step, Work};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use verify::tree;

/// How a step ended that did not fail.
pub(crate) enum Outcome {
    /// This many tests passed; none in a step without tests.
    Passed(u64),
    /// This machine cannot do it, and why.
    Skipped(String),
}

/// How steps are run.
pub(crate) struct Runner {
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Of each step's tests those whose names contain one of these; all of them if there are none.
    pub(crate) names: Vec<String>,
    /// On Kubernetes only what is tried first.
    pub(crate) everyday: bool,
}

impl Runner {
    /// Runs one step.
    ///
    /// # Errors
    /// When it fails, or a suite ran no test.
    pub(crate) fn run(&self, step: &Step) -> Result<Outcome> {
        match &step.work {
            Work::Cargo { verb, rest, variables } => {
                let mut command = self.cargo();
                command.args(*verb).args(selection(verb)).args(*rest).envs(variables.iter().copied());
                passed(command).map(|_| Outcome::Passed(0))
            }
            // Cargo runs examples in documents apart from all other tests. There need not be any.
            Work::OtherTests => {
                let examples = passed(self.test(&["--doc".to_owned()], &[]))?;
                tested(self.test(&other_targets()?, &[])).map(|tests| Outcome::Passed(examples + tests))
            }
            Work::Tests { target, rest } => tested(self.test(&named(target), rest)).map(Outcome::Passed),
            Work::OnKubernetes { target, rest, everyday } => {
                let everyday = if self.everyday { *everyday } else { &[] };
                self.on_kubernetes(target, &[*rest, everyday].concat())
            }
        }
    }

    /// Cargo, or a program that runs it in its turn.
    fn apart(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = tree::apart(program);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }

    fn cargo(&self) -> Command {
        self.apart(tree::cargo().get_program())
    }

    fn test(&self, targets: &[String], rest: &[&str]) -> Command {
        let mut command = self.cargo();
        command.arg("test").args(SELECTION).args(targets).arg("--").args(rest).args(&self.names);
        command
    }

    /// Builds the tests and the program that makes clusters, and has it run them.
    fn on_kubernetes(&self, target: &str, rest: &[&str]) -> Result<Outcome> {
        let mut build = self.cargo();
        build.arg("test").args(SELECTION).args(named(target)).arg("--no-run");
        passed(build)?;
        let kind = self.target.join(PROFILE).join("kind");
        let possible = self.apart(&kind).arg("possible").output().with_context(|| format!("run {}", kind.display()))?;
        if !possible.status.success() {
            return Ok(Outcome::Skipped(String::from_utf8_lossy(&possible.stdout).trim().to_owned()));
        }
        let cargo = self.test(&named(target), rest);
        let mut command = self.apart(&kind);
        command.arg("run").arg(cargo.get_program()).args(cargo.get_args());
        tested(command).map(Outcome::Passed)
    }
}

fn named(target: &str) -> [String; 2] {
    ["--test".to_owned(), target.to_owned()]
}

/// rustfmt knows neither features nor profiles.
fn selection(verb: &[&str]) -> &'static [&'static str] {
    if verb.contains(&"fmt") { &[] } else { SELECTION }
}

/// Every unit test, and the integration tests that no step runs by name: a new one cannot be forgotten.
fn other_targets() -> Result<Vec<String>> {
    let said = tree::metadata()?;
    let named: Vec<&str> = STEPS.iter().filter_map(|step| step.work.target()).collect();
    let targets = said["packages"].as_array().into_iter().flatten().flat_map(|package| package["targets"].as_array());
    let tests = targets.flatten().filter(|target| target["kind"][0] == "test").filter_map(|test| test["name"].as_str());
    let others: BTreeSet<&str> = tests.filter(|name| !named.contains(name)).collect();
    let others = others.into_iter().flat_map(|name| ["--test".to_owned(), name.to_owned()]);
    Ok(["--lib".to_owned(), "--bins".to_owned()].into_iter().chain(others).collect())
}

/// The number of tests that passed, of which there must be one.
fn tested(command: Command) -> Result<u64> {
    let tests = passed(command)?;
    ensure!(tests > 0, "it ran no test");
    Ok(tests)
}

/// Runs a command, shows what it says, and counts the tests that passed.
fn passed(mut command: Command) -> Result<u64> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {}", words(&command)))?;
    let output = child.stdout.take().expect("the output was asked for");
    let mut tests = 0;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        tests += passed_in(&line).unwrap_or_default();
        println!("{line}");
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} ended with {status}", words(&command));
    Ok(tests)
}

/// A command as one would type it.
fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The number of tests in a closing line of libtest: `test result: ok. 17 passed; ...`.
fn passed_in(line: &str) -> Option<u64> {
    line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{other_targets, passed_in};

    #[test]
    fn tests_are_counted_by_the_closing_line_of_each_suite() {
        assert_eq!(passed_in("test result: ok. 17 passed; 0 failed; 0 ignored"), Some(17));
        assert_eq!(passed_in("test result: FAILED. 17 passed; 1 failed"), None);
    }

    #[test]
    fn what_no_step_names_is_a_unit_test_whoever_s_it_is() {
        let targets = other_targets().expect("cargo metadata reads the manifests that this test was built from");
        for target in ["scenes", "hostile", "one_tls_stack"] {
            assert!(targets.iter().any(|name| name == target), "{target} in {targets:?}");
        }
        assert!(targets.iter().all(|name| name != "cluster"), "a step's own test in {targets:?}");
    }
}
