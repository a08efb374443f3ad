//! Object storage: where snapshots are staged, how often, and how long they stay. Nothing of this is etcd's.

use super::{TIME, TIME_ABOVE_0, U64, flag, number};
use crate::config::flag::{Flag, Group, Kind};
use Group::Backups;
use Kind::Text;

/// What is kept is listed in the replicated state, which has room for 256: twice as many as may be wanted, so that
/// those on their way out have room, too.
const KEPT: Kind = number(1, 128);
/// More would only wait for the same line.
const AT_ONCE: Kind = number(1, 32);

pub(super) const FLAGS: &[Flag] = &[
    flag(
        Backups,
        "backup-store",
        Text,
        "",
        "Object store for snapshots: dir:/path or s3://bucket/prefix?endpoint=https://host:port. Empty is none.",
    ),
    flag(Backups, "backup-interval", TIME, "1h", "Time between two snapshots. 0 is only when asked for."),
    flag(Backups, "backup-retention-count", KEPT, "24", "The most snapshots that are kept."),
    flag(
        Backups,
        "backup-retention-age",
        TIME,
        "168h",
        "Snapshots older than this are not kept, except the newest. 0 keeps any age.",
    ),
    flag(
        Backups,
        "backup-delete-grace",
        TIME_ABOVE_0,
        "24h",
        "How long a snapshot that is not kept stays readable. An upload may take half as long.",
    ),
    flag(
        Backups,
        "backup-bandwidth-limit",
        U64,
        "33554432",
        "Bytes per second that are uploaded, or fetched by a member that installs a snapshot. 0 is no limit.",
    ),
    flag(
        Backups,
        "backup-encryption-key-file",
        Text,
        "",
        "Keys that encrypt what goes to the object store, one on a line in hexadecimal or base64; the first one encrypts.",
    ),
    flag(
        Backups,
        "backup-encryption-key-dir",
        Text,
        "",
        "Instead, a folder with such a file under the name keys, as a mounted Secret is one. It may be filled later: \
         nothing is put there until it is.",
    ),
    flag(Backups, "backup-parallelism", AT_ONCE, "4", "Requests to the object store at once."),
];
