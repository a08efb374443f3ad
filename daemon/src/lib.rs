//! One member of a Quorate cluster: etcd v3 requests in, a replicated log on disk, snapshots in an object store.

pub mod etcd;
