//! What members say: the client of their admin endpoint.

mod client;

pub use client::{CallError, MemberClient, Trust};
