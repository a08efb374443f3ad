//! The generated words of etcd's protobuf packages, and their descriptors for reflection.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::large_futures,
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
mod generated {
    /// Keys, values and events.
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
    /// Users, roles and permissions.
    pub mod authpb {
        tonic::include_proto!("authpb");
    }
    /// Requests, responses and services.
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
}

pub use generated::{authpb, etcdserverpb, mvccpb};

/// The services and messages above as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/etcd_descriptors.bin"));
