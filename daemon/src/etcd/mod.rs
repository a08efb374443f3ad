//! The etcd v3 contract: protobuf in, commands and reads of the store out. Foreign formats end here.
//!
//! ```text
//!   kv · txn · maintenance · cluster        one file for each family of RPCs
//!   watch · lease · auth                    the families that are refused for now
//!   header · status · limits                what they share: who answers, the one error table, the bounds
//! ```

pub mod grpc;
mod kv;
pub mod limits;
mod overlap;
pub mod proto;
pub mod status;
mod txn;
