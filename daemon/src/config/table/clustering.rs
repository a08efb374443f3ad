//! Who belongs to the cluster, how it is formed and changed, and how much history it keeps.

use super::{TIME, U32, U32_FROM_1, flag};
use crate::config::flag::{Flag, Group, Kind};
use Group::Clustering;
use Kind::{Bool, Choice, List, Text, Urls};

const NO_DISCOVERY: &str = "name the members in --initial-cluster";
const OWN_SWEEP: &str = "compacted revisions are swept in the background, in steps of the store's own";

pub(super) const FLAGS: &[Flag] = &[
    flag(
        Clustering,
        "initial-advertise-peer-urls",
        Urls,
        "http://localhost:2380",
        "List of this member's peer URLs to advertise to the rest of the cluster.",
    ),
    flag(
        Clustering,
        "initial-cluster",
        Text,
        "",
        "Initial cluster configuration for bootstrapping: name=url,name=url. Empty is this member alone.",
    ),
    flag(
        Clustering,
        "initial-cluster-state",
        Choice(&["new", "existing"]),
        "new",
        "Initial cluster state: new when bootstrapping, existing when joining. Ignored once there is data.",
    ),
    flag(
        Clustering,
        "initial-cluster-token",
        Text,
        "etcd-cluster",
        "Initial cluster token: clusters with other tokens never talk to each other.",
    ),
    flag(
        Clustering,
        "advertise-client-urls",
        Urls,
        "http://localhost:2379",
        "List of this member's client URLs to advertise to the public.",
    ),
    flag(Clustering, "discovery", Text, "", "Discovery URL.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-token", Text, "", "V3 discovery: token of the cluster.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-endpoints", List, "", "V3 discovery: endpoints of the service.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-dial-timeout", TIME, "2s", "V3 discovery: dial timeout.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-request-timeout", TIME, "5s", "V3 discovery: request timeout.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-keepalive-time", TIME, "2s", "V3 discovery: keepalive time.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-keepalive-timeout", TIME, "6s", "V3 discovery: keepalive timeout.")
        .accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-insecure-transport", Bool, "true", "V3 discovery: no TLS.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-insecure-skip-tls-verify", Bool, "false", "V3 discovery: no verification.")
        .accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-cert", Text, "", "V3 discovery: client certificate.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-key", Text, "", "V3 discovery: client key.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-cacert", Text, "", "V3 discovery: CA bundle.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-user", Text, "", "V3 discovery: user.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-password", Text, "", "V3 discovery: password.").accepted(NO_DISCOVERY),
    flag(Clustering, "discovery-srv", Text, "", "DNS srv domain used to bootstrap the cluster.").refused(NO_DISCOVERY),
    flag(Clustering, "discovery-srv-name", Text, "", "Suffix to the dns srv name.").refused(NO_DISCOVERY),
    flag(
        Clustering,
        "strict-reconfig-check",
        Bool,
        "true",
        "Reject reconfiguration requests that would cause quorum loss.",
    ),
    flag(Clustering, "pre-vote", Bool, "true", "Enable to run an additional Raft election phase.")
        .accepted("it is always on"),
    flag(
        Clustering,
        "auto-compaction-retention",
        Text,
        "0",
        "Auto compaction retention length. 0 means disable auto compaction.",
    ),
    flag(
        Clustering,
        "auto-compaction-mode",
        Choice(&["periodic", "revision"]),
        "periodic",
        "Interpret auto-compaction-retention as a duration (hours without a unit) or as a number of revisions.",
    ),
    flag(
        Clustering,
        "compaction-batch-limit",
        U32,
        "1000",
        "Maximum revisions deleted in each compaction batch (0 is the default).",
    )
    .accepted(OWN_SWEEP),
    flag(Clustering, "compaction-sleep-interval", TIME, "10ms", "Rest between compaction batches.").accepted(OWN_SWEEP),
    flag(Clustering, "max-learners", U32_FROM_1, "1", "Maximum number of learners in the cluster."),
    flag(Clustering, "downgrade-check-time", TIME, "5s", "Time between downgrade checks.")
        .accepted("downgrades of etcd's versions do not exist here"),
];
