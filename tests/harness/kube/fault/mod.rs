//! Faults as verbs. Each is undone by a verb of its own, or by dropping what it returned, and each is tested on a
//! cluster for doing what it says.

pub mod link;
pub mod node;
pub mod pod;
pub mod volume;

pub use link::{Cut, Direction};
pub use node::{Cordon, Node};
pub use volume::SmallVolume;
