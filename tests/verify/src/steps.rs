//! The steps, each with what it proves and what it runs.
//!
//! Every step builds the same packages with the same features in one profile. Cargo then builds each dependency once;
//! another selection of packages would give some of them other features, and build half of them again.

/// What every cargo command is given.
pub(crate) const SELECTION: &[&str] =
    &["--workspace", "--features", "tests/kubernetes", "--profile", PROFILE, "--locked"];

/// Optimised, as seeds and members' tests are worth it, with every assertion on. Its folder has its name.
pub(crate) const PROFILE: &str = "sim";

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) work: Work,
}

impl Step {
    /// Whether it builds Kubernetes, where no cache has it.
    pub(crate) fn takes_go_programs(&self) -> bool {
        self.name == "kind" || self.is_on_kubernetes()
    }

    /// Whether it runs scenarios on a Kubernetes, which take a quiet machine and many minutes.
    pub(crate) fn is_on_kubernetes(&self) -> bool {
        matches!(self.work, Work::OnKubernetes { .. })
    }
}

pub(crate) enum Work {
    /// A cargo command that runs no test, what it takes besides the selection, and variables for it.
    Cargo {
        verb: &'static [&'static str],
        rest: &'static [&'static str],
        variables: &'static [(&'static str, &'static str)],
    },
    /// Every test that no other step has: unit tests, the integration tests of all packages, examples in documents.
    OtherTests,
    /// One test target.
    Tests { target: &'static str, rest: &'static [&'static str] },
    /// The same, while there is a Kubernetes cluster; skipped where none can be made.
    OnKubernetes {
        target: &'static str,
        rest: &'static [&'static str],
        /// Words of the names of those that run when nothing else is asked for.
        everyday: &'static [&'static str],
    },
}

impl Work {
    /// The test target that this step runs by its name.
    pub(crate) fn target(&self) -> Option<&'static str> {
        match self {
            Self::Tests { target, .. } | Self::OnKubernetes { target, .. } => Some(target),
            Self::Cargo { .. } | Self::OtherTests => None,
        }
    }
}

/// What is tried on Kubernetes each time: a cluster forms, grows, shrinks, is upgraded, its leader is killed, a volume
/// is lost; about ten minutes. The other scenarios try the harness itself, or what seldom changes.
const EVERYDAY: &[&str] =
    &["forms::", "leader_killed::", "claim_lost::", "life::a_cluster_forms", "changes::", "repair::"];

/// In the order of a run: what fails soonest comes first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        what: "rustfmt finds nothing to change",
        work: Work::Cargo { verb: &["fmt", "--all", "--check"], rest: &[], variables: &[] },
    },
    Step {
        name: "lint",
        what: "clippy has no warning",
        work: Work::Cargo { verb: &["clippy", "--all-targets"], rest: &["--", "-D", "warnings"], variables: &[] },
    },
    Step {
        name: "docs",
        what: "every documented link leads somewhere",
        work: Work::Cargo {
            verb: &["doc", "--no-deps", "--quiet"],
            rest: &[],
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        },
    },
    Step {
        name: "unit",
        what: "modules, golden scenes, properties, crash images; the judge of histories on cases known to be bad",
        work: Work::OtherTests,
    },
    Step {
        name: "deploy",
        what: "manifests and charts, held against Kubernetes' types and the daemon's settings, without a cluster",
        work: Work::Tests { target: "deploy", rest: &[] },
    },
    Step {
        name: "sim",
        what: "whole clusters on simulated disks, each from one seed; planted bugs are found",
        // How many seeds ran, and what they reached.
        work: Work::Tests { target: "sim", rest: &["--show-output"] },
    },
    Step {
        name: "cluster",
        what: "real members on loopback: killed, also at chosen system calls, paused, wiped, filled",
        work: Work::Tests { target: "cluster", rest: &["--test-threads=2"] },
    },
    Step {
        name: "etcd",
        what: "the real etcdctl and hostile clients",
        work: Work::Tests { target: "etcd", rest: &["--test-threads=2"] },
    },
    Step {
        name: "kind",
        what: "a Kubernetes of five nodes comes after a killed run, works, and goes without a trace",
        work: Work::Tests { target: "kind", rest: &["--nocapture"] },
    },
    Step {
        name: "kubernetes",
        what: "members and the operator on it: pods and nodes killed, paused, cut off, under load; changes and repairs",
        work: Work::OnKubernetes {
            target: "kubernetes",
            rest: &["--test-threads=1", "--nocapture"],
            everyday: EVERYDAY,
        },
    },
];
