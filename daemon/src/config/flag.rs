//! What a flag is: a name, a kind of value, a default, what it means here and what it means to people.

use std::time::Duration;

/// What kind of value a flag takes, and within which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`; the bare flag is true.
    Bool,
    /// A whole number between these, both allowed.
    Number { min: i128, max: i128 },
    /// A length of time: `100ms` as a flag, whole nanoseconds in a file. At least `min`.
    Duration { min: Duration },
    /// URLs, separated by commas, each once.
    Urls,
    /// Words, separated by commas.
    List,
}

/// What we do with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What etcd does, or what the flag says.
    Used,
    /// Nothing: this is why that does no harm.
    Accepted(&'static str),
    /// Refused when set: this is what to do instead.
    Refused(&'static str),
    /// Another name of this flag.
    Alias(&'static str),
}

/// The headings of the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Member,
    Clustering,
    Security,
    Auth,
    Monitoring,
    Logging,
    Tracing,
    Backups,
    Features,
    Unsafe,
}

impl Group {
    pub(super) const ALL: [Self; 10] = [
        Self::Member,
        Self::Clustering,
        Self::Security,
        Self::Auth,
        Self::Monitoring,
        Self::Logging,
        Self::Tracing,
        Self::Backups,
        Self::Features,
        Self::Unsafe,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Clustering => "Clustering",
            Self::Security => "Security",
            Self::Auth => "Auth",
            Self::Monitoring => "Profiling and Monitoring",
            Self::Logging => "Logging",
            Self::Tracing => "Distributed tracing",
            Self::Backups => "Object storage and backups",
            Self::Features => "Features",
            Self::Unsafe => "Unsafe feature",
        }
    }
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) meaning: Meaning,
    pub(super) doc: &'static str,
}

impl Flag {
    pub(super) const fn new(
        group: Group,
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, group, kind, default, meaning: Meaning::Used, doc }
    }

    pub(super) const fn accepted(mut self, why: &'static str) -> Self {
        self.meaning = Meaning::Accepted(why);
        self
    }

    pub(super) const fn refused(mut self, instead: &'static str) -> Self {
        self.meaning = Meaning::Refused(instead);
        self
    }

    pub(super) const fn alias(mut self, of: &'static str) -> Self {
        self.meaning = Meaning::Alias(of);
        self
    }
}
