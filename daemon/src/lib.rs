//! One member of a Quorate cluster.

pub mod config;
pub mod telemetry;
pub mod tls;
