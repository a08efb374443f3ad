//! The log as a whole, on disks that crash, lie, fill up and rot.

mod bench;
mod compaction;
mod corruption;
mod crash;
mod full;
mod property;
mod real_disk;
mod recovery;
mod threads;
