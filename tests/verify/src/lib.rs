//! What a run finds on a machine: the checkout, its caches, the programs that tests need. It stands on almost nothing,
//! so that `cargo verify` says its first word within seconds of a fresh clone.

pub mod packages;
pub mod programs;
pub mod tree;
