//! The replicated key-value state machine: etcd's revision model, without disks, clocks or threads.
//!
//! ```text
//!   Command ─▶ Store::apply ─▶ Outcome            RangeRequest ─▶ Store::range ─▶ RangeResult
//!                   │                                                 ▲
//!                   ▼                                                 │ newest first
//!             active buffer ──freeze──▶ frozen buffer ──commit──▶ Backend: Keys, Revisions, Head
//! ```
//!
//! Members that apply the same commands hold the same state. What one disk suffers is a [`Fault`], never an
//! [`Outcome`]: it ends the member, which catches up after its restart.
//!
//! | module | holds |
//! | --- | --- |
//! | `types`, `command`, `range`, `outcome`, `error` | the words |
//! | `codec` | the bytes of a command |
//! | `store`, `shown` | the lock, the steps, the public face; where it stands, beside the lock |
//! | `apply`, `txn`, `compare` | carrying out commands |
//! | `read`, `read_txn`, `events`, `hash` | reading |
//! | `state`, `buffer`, `cache`, `rank` | what there is at one moment, as one |
//! | `flush` | moving it to the backend, sweeping what is compacted |
//! | `staging` | which snapshots are in object storage |
//! | `image` | the whole of it as a stream |
//! | `row`, `head`, `varint` | the bytes in the tables |
//! | `backend`, `memory` | the door to the storage, and one without a disk |

mod apply;
mod backend;
mod buffer;
mod cache;
mod codec;
mod command;
mod compare;
mod error;
mod events;
mod flush;
mod hash;
mod head;
mod image;
mod memory;
mod outcome;
mod range;
mod rank;
mod read;
mod read_txn;
mod row;
#[cfg(test)]
#[path = "../tests/model/sample.rs"]
mod sample;
mod shown;
mod staging;
mod state;
mod store;
mod txn;
mod types;
mod varint;

#[cfg(test)]
extern crate self as mvcc;

pub use apply::ANSWERS_BYTES_MAX;
pub use backend::{Backend, Change, Direction, REVISION_KEY_BYTES, Span, Table, View, Visit};
pub use codec::{CODEC_VERSION, DecodeError, TXN_DEPTH_MAX};
pub use command::{
    AlarmAction, AlarmChange, Body, Command, Compare, DeleteRange, Op, PublishedMember, Put, Relation, Target, Txn,
};
pub use error::{Fault, ReadError, Refusal};
pub use events::Events;
pub use flush::Flushed;
pub use hash::HashKv;
pub use image::{BLOCK_BYTES_MAX, Image, ImageBlocks, ImageCheck, ImageError, ImageSummary, Rebirth, Restore};
pub use memory::MemoryBackend;
pub use outcome::{DeleteRangeReply, Done, OpReply, Outcome, PutReply, Reply, TxnReply};
pub use range::{RangeRequest, RangeResult, Sort, SortOrder, SortTarget};
pub use read::{Found, Room};
pub use staging::{STAGED_SNAPSHOTS_MAX, SnapshotDigest, StagedSnapshot, Staging};
pub use store::{Apply, Replacement, Store};
pub use types::{Alarm, AlarmKind, Event, EventKind, KeyRange, KeyValue, RequestId, Revision, Size};
