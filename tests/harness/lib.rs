//! What the tests stand on: the simulated cluster.

pub mod sim;
