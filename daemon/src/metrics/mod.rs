//! Metrics: computed from the truth when they are read; only durations and counts of what has passed are kept.
//!
//! The registry reads synchronously, and what the loop knows it tells only when asked: [`gather`] asks first.

mod backups;
mod collector;
mod followers;
mod page;
mod process;
mod snapshots;
mod stages;

pub(crate) use backups::BackupCollector;
pub(crate) use collector::MemberCollector;
pub(crate) use followers::reason;
pub use stages::Stages;

use crate::node::Handle;
use prometheus::{Registry, TextEncoder};

/// The page of a member as Prometheus reads it.
///
/// # Errors
/// The page cannot be printed.
pub async fn gather(node: &Handle, registry: &Registry) -> prometheus::Result<String> {
    node.look().await;
    TextEncoder::new().encode_to_string(&registry.gather())
}
