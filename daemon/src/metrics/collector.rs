//! The page of a member: every number is taken from where it lives, at the moment it is asked for.

use super::followers;
use super::page::{Page, as_f64};
use super::{process, snapshots};
use crate::bootstrap::Recovered;
use crate::etcd::{API_VERSION, CLUSTER_VERSION};
use crate::node::{Handle, Inspection};
use crate::transport::{Directory, ListenerStats};
use admin_api::Id;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use raft::RoleName;
use std::collections::HashMap;
use std::sync::Arc;

/// Writes a member's page for a registry.
pub(crate) struct MemberCollector {
    pub(crate) node: Handle,
    pub(crate) directory: Arc<Directory>,
    pub(crate) listener: Arc<ListenerStats>,
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) recovered: Option<Recovered>,
    pub(crate) desc: Desc,
}

impl MemberCollector {
    pub(crate) fn new(
        node: Handle,
        directory: Arc<Directory>,
        listener: Arc<ListenerStats>,
        (quota_bytes, recovered): (Option<u64>, Option<Recovered>),
    ) -> Self {
        let desc = Desc::new("quorate_member".into(), "A member's own page.".into(), Vec::new(), HashMap::new())
            .expect("the name is a constant that is valid");
        Self { node, directory, listener, quota_bytes, recovered, desc }
    }

    fn write_server(&self, page: &mut Page) {
        let status = self.node.status();
        let flag = |flag: bool| f64::from(u8::from(flag));
        page.gauge("etcd_server_has_leader", "Whether a leader is known.", flag(status.leader.is_some()));
        page.gauge("etcd_server_is_leader", "Whether this member leads.", flag(status.is_leader()));
        page.gauge("etcd_server_is_learner", "Whether this member does not vote.", flag(status.is_learner()));
        page.gauge("etcd_server_proposals_committed_total", "The commit index.", as_f64(status.commit.0));
        page.gauge("etcd_server_proposals_applied_total", "The applied index.", as_f64(status.applied.0));
        page.gauge("quorate_term", "The member's term.", as_f64(status.term.0));
        page.gauge("quorate_last_index", "The last entry of the log.", as_f64(status.last.0));
        page.gauge("quorate_commit_index", "The greatest index known to be committed.", as_f64(status.commit.0));
        page.gauge("quorate_applied_index", "The greatest index applied.", as_f64(status.applied.0));
        let identity = self.node.identity();
        let id = vec![Id(identity.member.0).to_string()];
        page.gauges("etcd_server_id", "The member's id.", &["server_id"], vec![(id, 1.0)]);
        let versions = |version: &str| vec![(vec![version.to_owned()], 1.0)];
        page.gauges("etcd_server_version", "What the API speaks.", &["server_version"], versions(API_VERSION));
        page.gauges("etcd_cluster_version", "What the cluster is.", &["cluster_version"], versions(CLUSTER_VERSION));
        page.gauges("quorate_build_info", "The program.", &["version"], versions(env!("CARGO_PKG_VERSION")));
        let boots = "How often the process has started on this data directory.";
        page.gauge("quorate_boot", boots, as_f64(identity.boot));
        let recovered = self.recovered.iter().map(|recovered| {
            let Recovered { former, index, .. } = recovered;
            (vec![former.cluster.to_string(), former.member.to_string()], as_f64(*index))
        });
        page.gauges(
            "quorate_quorum_recovered_index",
            "The last entry of the former cluster's log that this member's cluster was made of.",
            &["former_cluster", "former_member"],
            recovered.collect(),
        );
    }

    fn write_inspection(&self, page: &mut Page, seen: &Inspection) {
        let counters = [
            ("etcd_server_leader_changes_seen_total", "Leader changes seen.", seen.leader_changes),
            ("etcd_server_proposals_failed_total", "Writes that ended without an outcome.", seen.proposals_failed),
            ("etcd_server_read_indexes_failed_total", "Reads that ended without an index.", seen.reads_failed),
            ("quorate_messages_refused_total", "Messages of peers that made no sense.", seen.refused_messages),
            ("quorate_log_cuts_total", "How often the log was cut.", seen.log_cuts),
            ("quorate_requests_refused_total", "Requests that found the inbox full.", self.node.refused()),
        ];
        for (name, help, value) in counters {
            page.counter(name, help, value);
        }
        let gauges = [
            ("etcd_server_proposals_pending", "Writes without an outcome yet.", seen.proposals_pending),
            ("quorate_wal_queued_bytes", "Bytes that wait for the log's disk.", seen.wal_queued_bytes),
            ("quorate_first_index", "The first entry the log still has.", seen.raft.first.0),
            ("quorate_log_bytes", "Bytes of the log's entries on the disk.", seen.log_bytes),
            ("quorate_log_held_entries", "Entries kept only because followers are behind.", seen.log_held_entries),
            (
                "quorate_log_held_for_staged_entries",
                "Entries kept besides, because the newest snapshot in object storage ends before them.",
                seen.log_held_for_staged_entries,
            ),
            ("quorate_durable_index", "The last entry that is durable here.", seen.raft.durable.index.0),
            ("quorate_membership_index", "Where the configuration stands.", seen.raft.membership_at.0),
            ("quorate_membership_committed", "Whether it is committed.", seen.raft.membership_committed.into()),
            ("quorate_snapshot_wanted", "Whether a snapshot is needed to go on.", seen.snapshot_wanted.into()),
        ];
        for (name, help, value) in gauges {
            page.gauge(name, help, as_f64(value));
        }
        let full = [("data", seen.full.data), ("log", seen.full.log)];
        page.gauges(
            "quorate_disk_full",
            "Whether what is to be written to the directory's disk waits for room.",
            &["directory"],
            full.map(|(directory, full)| (vec![directory.to_owned()], as_f64(full.into()))).to_vec(),
        );
        snapshots::write(page, &seen.snapshots);
        if seen.raft.role == RoleName::Leader {
            snapshots::write_followers(page, &seen.snapshots, &self.node.members());
            let heard = "Whether the leader has heard from a quorum within an election timeout.";
            page.gauge("quorate_quorum_heard", heard, as_f64(seen.raft.quorum_heard.into()));
            followers::write(page, &seen.raft.followers, &self.node.members());
        }
    }

    fn write_store(&self, page: &mut Page) {
        let store = self.node.store();
        let size = store.size();
        let revision = |revision: i64| u64::try_from(revision).unwrap_or(0);
        let gauges = [
            ("etcd_mvcc_db_total_size_in_bytes", "What the state takes on disk.", size.allocated),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "What of it holds data.", size.in_use),
            ("etcd_server_quota_backend_bytes", "The quota; 0 is none.", self.quota_bytes.unwrap_or(0)),
            ("etcd_debugging_mvcc_current_revision", "The newest revision.", revision(store.revision().0)),
            ("etcd_debugging_mvcc_compact_revision", "The oldest readable one.", revision(store.compacted().0)),
            ("etcd_debugging_mvcc_keys_total", "Keys.", store.keys()),
            ("quorate_store_durable_index", "The applied index that would survive a crash.", store.durable()),
            ("quorate_store_buffered_bytes", "Rows that wait for a flush.", store.buffered_bytes() as u64),
        ];
        for (name, help, value) in gauges {
            page.gauge(name, help, as_f64(value));
        }
    }

    fn write_peers(&self, page: &mut Page) {
        let me = self.node.identity().member;
        let peers: Vec<_> = self.directory.all().into_iter().filter(|(id, _)| *id != me).collect();
        let row = |value: &dyn Fn(&crate::transport::PeerStats) -> u64| {
            peers.iter().map(|(id, stats)| (vec![Id(id.0).to_string()], as_f64(value(stats)))).collect::<Vec<_>>()
        };
        let name = "etcd_network_peer_sent_bytes_total";
        page.counters(name, "Bytes sent to the peer.", &["To"], row(&|stats| stats.sent_bytes.get()));
        let name = "etcd_network_peer_received_bytes_total";
        page.counters(name, "Bytes received from the peer.", &["From"], row(&|stats| stats.received_bytes.get()));
        let name = "etcd_network_peer_sent_failures_total";
        page.counters(name, "Messages that could not be queued.", &["To"], row(&|stats| stats.send_failures.get()));
        let name = "quorate_peer_queue_full_total";
        page.counters(name, "Messages that found the queue full.", &["To"], row(&|stats| stats.queue_full.get()));
        let local = Id(me.0).to_string();
        let pair = |rows: Vec<(Vec<String>, f64)>| {
            rows.into_iter().map(|(peer, value)| ([vec![local.clone()], peer].concat(), value)).collect()
        };
        let labels = ["Local", "Remote"];
        let name = "etcd_network_disconnected_peers_total";
        page.counters(name, "Links lost.", &labels, pair(row(&|stats| stats.disconnects.get())));
        let name = "etcd_network_active_peers";
        page.gauges(name, "Links that stand.", &labels, pair(row(&|stats| stats.is_up().into())));
        page.gauges("etcd_network_known_peers", "Peers.", &labels, pair(row(&|_| 1)));
        page.counter(
            "quorate_peer_garbage_total",
            "Connections to the peer port that made no sense.",
            self.listener.garbage.get(),
        );
        page.counter("quorate_peer_refused_total", "Connections refused.", self.listener.refused.get());
    }
}

impl Collector for MemberCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut page = Page::default();
        self.write_server(&mut page);
        if let Some(seen) = self.node.seen() {
            self.write_inspection(&mut page, &seen);
        }
        self.write_store(&mut page);
        self.write_peers(&mut page);
        process::write(&mut page);
        let mut families = page.finish();
        families.extend(self.directory.round_trips());
        families
    }
}
