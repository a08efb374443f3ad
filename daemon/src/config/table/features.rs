//! Gates, the old names of flags that had one, and what may lose data.

use super::{NOT_COMPARED, TIME, TIME_ABOVE_0, U32, U32_FROM_1, U64, flag, number};
use crate::config::flag::{Flag, Group, Kind};
use Group::{Features, Unsafe};
use Kind::{Bool, List, Text};

pub(super) const FLAGS: &[Flag] = &[
    flag(Features, "feature-gates", List, "", "Features by name, Name=true|false."),
    flag(
        Features,
        "experimental-initial-corrupt-check",
        Bool,
        "false",
        "Compare state with the other members before serving.",
    )
    .accepted(NOT_COMPARED),
    flag(
        Features,
        "experimental-compact-hash-check-enabled",
        Bool,
        "false",
        "Compare compaction hashes with followers.",
    )
    .accepted(NOT_COMPARED),
    flag(Features, "experimental-watch-progress-notify-interval", TIME_ABOVE_0, "10m", "")
        .alias("watch-progress-notify-interval"),
    flag(Features, "experimental-corrupt-check-time", TIME, "0s", "").alias("corrupt-check-time"),
    flag(Features, "experimental-compact-hash-check-time", TIME_ABOVE_0, "1m", "").alias("compact-hash-check-time"),
    flag(Features, "experimental-compaction-batch-limit", U32, "1000", "").alias("compaction-batch-limit"),
    flag(Features, "experimental-compaction-sleep-interval", TIME, "10ms", "").alias("compaction-sleep-interval"),
    flag(Features, "experimental-warning-apply-duration", TIME, "100ms", "").alias("warning-apply-duration"),
    flag(Features, "experimental-snapshot-catchup-entries", U64, "5000", "").alias("snapshot-catchup-entries"),
    flag(Features, "experimental-max-learners", U32_FROM_1, "1", "").alias("max-learners"),
    flag(Features, "experimental-enable-distributed-tracing", Bool, "false", "").alias("enable-distributed-tracing"),
    flag(Features, "experimental-distributed-tracing-address", Text, "localhost:4317", "")
        .alias("distributed-tracing-address"),
    flag(Features, "experimental-distributed-tracing-service-name", Text, "etcd", "")
        .alias("distributed-tracing-service-name"),
    flag(Features, "experimental-distributed-tracing-instance-id", Text, "", "")
        .alias("distributed-tracing-instance-id"),
    flag(Features, "experimental-distributed-tracing-sampling-rate", number(0, 1_000_000), "0", "")
        .alias("distributed-tracing-sampling-rate"),
    flag(
        Unsafe,
        "force-new-cluster",
        Bool,
        "false",
        "Make a new cluster of what is on this disk, with this member as its only voter: once, for a majority that is lost \
         for good. What others had and this one had not is lost.",
    ),
    flag(Unsafe, "unsafe-no-fsync", Bool, "false", "Never wait for the disk.")
        .accepted("every write still waits for the disk"),
];
