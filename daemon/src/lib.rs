//! One member of a cluster: etcd requests in, a replicated log on disk, snapshots in object storage.

pub mod disk;
pub mod store;
pub mod wal;
