//! When a member is ready, and the line that says so: supervisors and test harnesses wait for its words.

use crate::node::Handle;
use std::time::Duration;
use tracing::info;

/// Between two looks. A member of a new cluster is ready within a second.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until a linearizable read succeeds and the cluster knows this member's client URLs, and says so.
pub(super) async fn announce(node: Handle) {
    while node.linearize().await.is_err() || !is_published(&node) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    info!("ready to serve client requests");
}

fn is_published(node: &Handle) -> bool {
    let me = node.identity().member;
    node.members().members.iter().any(|member| member.id == me && !member.client_urls.is_empty())
}
