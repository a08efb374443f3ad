//! One member of a Quorate cluster.

pub mod config;
pub mod tls;
