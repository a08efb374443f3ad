//! Where this engine comes from: one file of an early openraft (v0.6.2), the replication stream. What that seed did is
//! numbered S1 to S50, what was wrong with it D1 to D30; this table says where each behaviour lives now, or what
//! serves its purpose better. Names are those of this package unless they say otherwise.
//!
//! # Behaviours
//!
//! | | In the seed | Here |
//! |---|---|---|
//! | S1 | one stream per (term, target), a task of its own | `stream::Stream`, a value the leader polls: nothing to supervise, join or leak |
//! | S2 | its fixed identity | `Stream::new`: the peer and the settings. The term is the leader's: streams end with it, and every envelope names it |
//! | S3 | its changing state | `Stream`, `stream::Phase`: what belongs to a phase lives in its variant |
//! | S4 | `matched` and the greatest possible match | `stream::search`: `lo` and `hi`; the first probe goes to the last inherited entry |
//! | S5 | never two requests in flight | `stream::inflights`: a window in messages and bytes over an ordered link; the follower's checks keep order harmless |
//! | S6 | the stream dies with the term | `role::leader`: streams are fields of `Leader`, which is dropped with its role |
//! | S7 | LineRate, Snapshotting, Shutdown | `stream::Phase`: Probe, Replicate, Snapshot; [`crate::CloseReason`] is the end |
//! | S8 | a driver that runs the state's loop | `Stream::poll`; every transition is [`crate::Event::Stream`] with its reason |
//! | S9 | bisection, aligned down to 8 | `stream::search`: hints skip whole terms first, the same bisection is the fallback |
//! | S10 | never below what the log still has | `stream::search`: probes are clamped to `Log::start` |
//! | S11 | a gap that logs cannot close | `Stream::cut_off` leads to the Snapshot phase |
//! | S12 | payload range, empty for a probe | `stream::send`: ranges bounded in bytes; an empty append is a question, heartbeats are their own message |
//! | S13 | the id of `prev`, retried if purged | `Log::id_at`: terms are kept in memory as runs, so nothing can vanish in between |
//! | S14 | loaded entries must follow `prev` | `stream::send` checks the first, `replies` the whole of what the disk gave; else back to Probe |
//! | S15 | the request | [`crate::Message::Append`] in an [`crate::Envelope`] that carries term and leader |
//! | S16 | RPC timeout of one heartbeat interval | silence, not size, times out: `Stream::tick` (Stalled); transport errors arrive as [`crate::Input::LinkDown`] |
//! | S17 | success updates the match | `Stream::on_ack` |
//! | S18 | a higher term in a reply | `Raft::receive`: terms are compared there alone, whatever the message |
//! | S19 | a conflict lowers the right cursor | `Search::refused`, from [`crate::Reject`]: what was refused, the last entry, the conflicting term's run |
//! | S20 | commit rides on every request | every append and heartbeat; [`crate::Message::Commit`] when none is due |
//! | S21 | the match only grows | `Stream::on_ack`; going back is an event of its own, [`crate::Event::Regressed`] |
//! | S22 | every advance reaches the core, nothing else does | `on_ack` returns it; `Leader::on_ack` then recounts |
//! | S23 | send until matched, break on network errors | `send_appends`: while the window is open and the tail not reached |
//! | S24 | a snapshot when the lag passes a threshold | only when the log does not reach back (`cut_off`): lag alone never asks for one |
//! | S25 | wait for heartbeat tick or event | level-triggered: polled after every step, woken by `next_deadline` |
//! | S26 | drain more events without waiting | the driver drains its inbox; a stream reads the tail, so there are no events to drain |
//! | S27 | `Replicate{entry, committed}` | `stream::View`: log, commit and lag ring by reference |
//! | S28 | `UpdateCommittedLogId` | the same view |
//! | S29 | `Terminate` | dropping the value, after [`crate::Event::StreamClosed`] |
//! | S30 | a tracing span with each message | events are values; the driver gives them spans |
//! | S31 | `UpdateMatched` | the return value of `on_ack` |
//! | S32 | `RevertToFollower` | `Raft::follow` |
//! | S33 | `NeedsSnapshot`, answered over a channel | [`crate::Message::Snapshot`] offers; the follower fetches ([`crate::Output::install`]) and acknowledges what it has |
//! | S34 | `Shutdown` on a storage error | the driver owns the disk and stops the member; a failed read is [`crate::LogReadFailure`] |
//! | S35 | eight classes of error, each with an owner | [`crate::StateReason`] (stream), [`crate::CloseReason`] (leader), the error enums of `output` (caller), [`crate::Event::Refused`] (nobody: dropped and counted) |
//! | S36 | heartbeats go on while waiting for a snapshot | `Leader::beat` does not look at phases |
//! | S37 | chunks through the leader | the driver moves snapshots, from whoever has one; the core offers and accepts |
//! | S38 | a chunk's own timeout | the driver's; the offer is repeated every second of the Snapshot phase |
//! | S39 | after the last chunk: matched, LineRate | any acknowledgement that reaches the log ends the phase (SnapshotInstalled) |
//! | S40 | events drained between chunks | nothing blocks, so nothing is left to drain |
//! | S41 | its settings | [`crate::Config`] |
//! | S42 | `ReplicationMetrics{matched}` | [`crate::FollowerStatus`], computed from the stream when asked |
//! | S43 | one-line summaries | `Display` of [`crate::Envelope`] and [`crate::Message`]: the text of logs and scenes |
//! | S44 | spans and levels | [`crate::Event`]: each is one line and one counter at the driver |
//! | S45 | storage: first id, reads, concurrent purge | `log`, [`crate::LogRead`], [`crate::Input::Compacted`] |
//! | S46 | how a follower appends | `role::follower`, with D30 and P14 to P16 closed |
//! | S47 | how a follower installs | [`crate::Output::install`], [`crate::Input::Installed`], `Core::on_installed` |
//! | S48 | the leader on a new match | `Leader::settle_commit`; promotion bounds in `role::leader::change`; departures in `settle_departures` |
//! | S49 | the leader on `NeedsSnapshot`, `RevertToFollower`, `Shutdown` | offers name the start of the log: any snapshot that reaches it serves; the others as S32, S34 |
//! | S50 | defaults of that release | [`crate::Config::new`], each with its reason |
//!
//! # Defects
//!
//! | | In the seed | Here |
//! |---|---|---|
//! | D1 | stop-and-wait | a window in messages and bytes: `stream::window` |
//! | D2 | one batch for each wake-up | `send_appends` loops while the window is open |
//! | D3 | a timeout that large payloads never meet | a stall is the absence of acknowledgements, scaled by the round trip |
//! | D4 | heartbeats share the append path | [`crate::Message::Heartbeat`], cut to the match point |
//! | D5 | no byte limit | `append_bytes_max` and the window |
//! | D6 | unbounded channels | no channels; every buffer in here has a named bound |
//! | D7 | entries pinned by events | streams read the log by reference |
//! | D8 | a hot loop when purge and read disagree | `Slice::{Cached, Cold, Compacted}`; a failed read backs off |
//! | D9 | snapshot chunks resent without pause or end | offers are paced; transfer is the driver's, with backoff |
//! | D10 | a snapshot starts over with every stream | a snapshot is named by its last entry, not by a stream or a term |
//! | D11 | snapshots leave through the leader only | an offer says what is needed, not whence |
//! | D12 | no heartbeats while chunks are sent | S36 |
//! | D13 | a snapshot for lag alone, again and again | S24 |
//! | D14 | a higher term ignored while waiting | S18 |
//! | D15 | peers can panic a stream | replies that make no sense are [`crate::Event::Refused`]; `tests/hostile.rs` |
//! | D16 | underflow when a follower lost data | saturating indexes; [`crate::Event::Regressed`] |
//! | D17 | a read error ends the stream silently | `LogUnreadable`: back to Probe, with backoff, in the status |
//! | D18 | a span held across an await | no awaits in here |
//! | D19, D20 | short reads of a snapshot | the driver's manifest and digests |
//! | D21 | any response counts as installed | only an acknowledged log id does |
//! | D22 | copies for every follower | one record, encoded once: [`crate::Entry`] |
//! | D23 | three storage calls for each batch | terms and recent entries are in memory |
//! | D24 | progress lost when membership changes | `Leader::open_streams` keeps the streams it has |
//! | D25 | only `matched` to look at | [`crate::FollowerStatus`]: state, reason, lag in entries, bytes and age |
//! | D26 | bursts of ticks | deadlines, drawn anew each time; no ticks are counted |
//! | D27 | probes with full batches | eight entries at most, when the probe is likely to match |
//! | D28 | catching up steals from the quorum | `stream::recovery`: one budget, lifted when commit waits for it |
//! | D29 | a snapshot must be nearly fresh | any that reaches the log serves |
//! | D30 | probing deletes; the leader counts what is not durable | entries are removed only where one contradicts them, and never below commit; own match is durable |
