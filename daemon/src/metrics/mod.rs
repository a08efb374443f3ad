//! Metrics: computed from the truth when they are read; only durations and counts of what has passed are kept.

mod stages;

pub use stages::Stages;
