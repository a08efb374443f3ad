//! Three real members on loopback under load: killed, paused, wiped, filled, removed and added; nothing that was
//! acknowledged is lost, and every member shows the same in the end.

mod backups;
mod crash;
mod disk;
mod identity;
mod install;
mod lag;
mod loss;
mod membership;
mod partition;
mod recovery;
mod rot;
mod staged;
mod stop;

use tests::cluster::Cluster;

/// Clients of a scenario: enough to keep batches full on two cores, few enough to leave them to the members.
const CLIENTS: usize = 12;

/// The client addresses of all members, running or not.
fn addresses(cluster: &Cluster) -> Vec<String> {
    cluster.members.iter().map(|member| member.client.clone()).collect()
}
