//! Everything that keeps the tree honest, in one read-only command; the same here and in CI.
//!
//! ```text
//!   cargo verify              every step that needs no Kubernetes
//!   cargo verify sim cluster  these steps
//!   cargo verify --list       what there is
//! ```
//!
//! * Steps run one after the other, each in a process of its own; the first failure ends the run with its exit code.
//! * A test suite that ran no test has failed, whatever its exit code says.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

struct Step {
    name: &'static str,
    what: &'static str,
    command: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    runs_tests: bool,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        what: "rustfmt finds nothing to change",
        command: &["fmt", "--all", "--check"],
        environment: &[],
        runs_tests: false,
    },
    Step {
        name: "lint",
        what: "clippy has no warning",
        command: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "tests/kubernetes",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        environment: &[],
        runs_tests: false,
    },
    Step {
        name: "docs",
        what: "every documented link leads somewhere",
        command: &["doc", "--workspace", "--no-deps", "--locked", "--quiet"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
        runs_tests: false,
    },
    Step {
        name: "unit",
        what: "modules, golden scenes, properties, crash images of the log and the store",
        command: &["test", "--workspace", "--exclude", "tests", "--locked"],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: "harness",
        what: "the judge of histories and the checkers, on cases known to be bad; every decoder under mutated bytes",
        command: &["test", "--package", "tests", "--features", "kubernetes", "--lib", "--locked"],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: "deploy",
        what: "manifests, held against Kubernetes' types and the daemon's settings, without a cluster",
        command: &["test", "--package", "tests", "--features", "kubernetes", "--test", "deploy", "--locked"],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: "sim",
        what: "whole clusters on simulated disks, each from one seed; planted bugs are found",
        command: &["test", "--profile", "sim", "--package", "tests", "--test", "sim", "--locked"],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: "cluster",
        what: "real members on loopback: killed, also at chosen system calls, paused, wiped, filled",
        command: &[
            "test",
            "--profile",
            "sim",
            "--package",
            "tests",
            "--test",
            "cluster",
            "--locked",
            "--",
            "--test-threads=2",
        ],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: "etcd",
        what: "the real etcdctl and hostile clients",
        command: &[
            "test",
            "--profile",
            "sim",
            "--package",
            "tests",
            "--test",
            "etcd",
            "--locked",
            "--",
            "--test-threads=2",
        ],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: KIND,
        what: "a Kubernetes of five nodes comes after a killed run, works, and goes without a trace",
        command: &[
            "test",
            "--package",
            "tests",
            "--features",
            "kubernetes",
            "--test",
            "kind",
            "--locked",
            "--",
            "--nocapture",
        ],
        environment: &[],
        runs_tests: true,
    },
    Step {
        name: KUBERNETES,
        what: "members on it: their pods and nodes killed, paused, cut off, drained, under load",
        command: &[
            "run",
            "--quiet",
            "--package",
            "tests",
            "--bin",
            "kind",
            "--locked",
            "--",
            "run",
            "cargo",
            "test",
            "--package",
            "tests",
            "--features",
            "kubernetes",
            "--test",
            "kubernetes",
            "--locked",
            "--",
            "--test-threads=1",
        ],
        environment: &[],
        runs_tests: true,
    },
];

const KIND: &str = "kind";
const KUBERNETES: &str = "kubernetes";

fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).collect();
    if wanted.iter().any(|word| word == "--list") {
        STEPS.iter().for_each(|step| println!("{:<10} {}", step.name, step.what));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = wanted.iter().find(|word| STEPS.iter().all(|step| step.name != **word)) {
        eprintln!("there is no step {unknown:?}: cargo verify --list");
        return ExitCode::from(2);
    }
    tests::packages::provide();
    let mut passed = 0;
    let chosen = |step: &&Step| match wanted.is_empty() {
        true => !needs_cluster(step),
        false => wanted.iter().any(|word| word == step.name),
    };
    for step in STEPS.iter().filter(chosen) {
        if let Some(why) = impossible(step) {
            println!("\n== {}: skipped, as this machine has {why}", step.name);
            continue;
        }
        match run(step) {
            Ok(tests) => passed += tests,
            Err(why) => {
                eprintln!("\nverify: {} failed: {why}", step.name);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("\nverify: everything holds");
    println!("{passed} passed, 0 failed");
    ExitCode::SUCCESS
}

/// Why this machine cannot do a step that needs a cluster, if so.
fn impossible(step: &Step) -> Option<String> {
    needs_cluster(step).then(tests::kind::impossible)?
}

/// Such a step builds a Kubernetes first, and runs only when it is named.
fn needs_cluster(step: &Step) -> bool {
    [KIND, KUBERNETES].contains(&step.name)
}

/// Runs one step and returns how many tests passed in it.
fn run(step: &Step) -> Result<u64, String> {
    println!("\n== {}: {}", step.name, step.what);
    let begun = Instant::now();
    let mut command = tests::tree::cargo();
    command.args(step.command).envs(step.environment.iter().copied()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start cargo: {error}"))?;
    let output = child.stdout.take().expect("the output was asked for");
    let mut passed = 0;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        passed += passed_in(&line).unwrap_or_default();
        println!("{line}");
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    println!("== {} took {:.0} s", step.name, begun.elapsed().as_secs_f64());
    match (status.success(), step.runs_tests && passed == 0) {
        (false, _) => Err(format!("cargo {} ended with {status}", step.command.join(" "))),
        (true, true) => Err("it ran no test".to_owned()),
        (true, false) => Ok(passed),
    }
}

/// The number of tests in a closing line of libtest: `test result: ok. 17 passed; ...`.
fn passed_in(line: &str) -> Option<u64> {
    line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse().ok()
}
