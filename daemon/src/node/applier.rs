//! The thread that applies committed entries to the store, which its [`Keeper`] flushes meanwhile.
//!
//! * Entries are taken as many as there are, and what they led to goes back in one completion: wake-ups are few when
//!   there is much to do.
//! * The engine bounds what is handed over and not applied yet (`applying_bytes_max`), so the queue here needs no
//!   bound of its own.
//! * A fault of the store ends the process: it must neither answer nor apply on.

use super::completion::{Completion, Outcome};
use super::doors::StoreDoor;
use super::full::Tree;
use super::{Applied, Inbox};
use crate::disk::{Disk, Patience};
use crate::install::Switch;
use crate::metrics::Stages;
use crate::store::{Keeper, KeeperEvents, Pace};
use mvcc::{Apply, Command, Fault, Flushed, Store};
use raft::{Entry, EntryKind, Index, LogId, MemberId};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tracing::error;

/// Entries between two completions: clients at the front of a long queue hear early. About a millisecond of work.
const COMPLETION_ENTRIES: usize = 256;

/// The way to the thread. Ends it when dropped, after what is queued has been applied, and the store's keeper with it.
pub(super) struct Applying {
    queue: Arc<Queue>,
    patience: Arc<Patience>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    /// To be done after the entries.
    switch: Option<Switch>,
    asleep: bool,
    closed: bool,
}

impl Applying {
    pub(super) fn start(me: MemberId, state: State, inbox: Arc<Inbox>, stages: Arc<Stages>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = queue.clone();
        let flushes = Flushes { inbox: inbox.clone(), stages: stages.clone() };
        let (patience, told) = (state.patience.clone(), inbox.clone());
        patience.tell(Box::new(move |full| told.complete(Completion::DiskFull(Tree::Data, full))));
        let keeper = Keeper::start(state.store.clone(), Pace::default(), flushes)?;
        let applier = Applier { me, state, keeper, inbox, stages };
        let apply = move || {
            if let Err(fault) = applier.run(&theirs) {
                error!(%fault, "the store failed: this member stops");
                applier.inbox.complete(Completion::Failed(format!("the store failed: {fault}")));
            }
        };
        let thread = thread::Builder::new().name("apply".to_owned()).spawn(apply)?;
        Ok(Self { queue, patience, thread: Some(thread) })
    }
}

impl StoreDoor for Applying {
    fn apply(&self, entries: &mut Vec<Entry>) {
        let mut inner = self.queue.lock();
        inner.entries.extend(entries.drain(..));
        let asleep = mem::take(&mut inner.asleep);
        drop(inner);
        if asleep {
            self.queue.arrived.notify_one();
        }
    }

    fn switch(&self, switch: Switch) {
        let mut inner = self.queue.lock();
        inner.switch = Some(switch);
        inner.asleep = false;
        drop(inner);
        self.queue.arrived.notify_one();
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        self.patience.end();
        self.queue.lock().closed = true;
        self.queue.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself; the store is then as after a crash.
            thread.join().ok();
        }
    }
}

impl Queue {
    /// Everything queued, as soon as there is something; none when the queue is closed and empty.
    fn take(&self, into: &mut VecDeque<Entry>) -> Option<Option<Switch>> {
        let mut inner = self.lock();
        while inner.entries.is_empty() && inner.switch.is_none() {
            if inner.closed {
                return None;
            }
            inner.asleep = true;
            inner = self.arrived.wait(inner).expect("nothing panics while it holds the queue");
        }
        mem::swap(&mut inner.entries, into);
        Some(inner.switch.take())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the queue")
    }
}

/// The state machine, and the directory it lives in.
pub(super) struct State {
    pub(super) store: Arc<Store>,
    pub(super) disk: Arc<dyn Disk>,
    /// How what is written to the directory waits for room.
    pub(super) patience: Arc<Patience>,
}

struct Applier {
    me: MemberId,
    state: State,
    keeper: Keeper,
    inbox: Arc<Inbox>,
    stages: Arc<Stages>,
}

impl Applier {
    fn run(&self, queue: &Queue) -> Result<(), Fault> {
        let mut entries = VecDeque::new();
        while let Some(switch) = queue.take(&mut entries) {
            for part in entries.make_contiguous().chunks(COMPLETION_ENTRIES) {
                let timer = self.stages.apply.start_timer();
                let completion = self.apply(part)?;
                timer.observe_duration();
                self.inbox.complete(completion);
            }
            entries.clear();
            if let Some(switch) = switch {
                self.switch(switch)?;
            }
            self.keeper.make_room();
        }
        Ok(())
    }

    fn switch(&self, switch: Switch) -> Result<(), Fault> {
        let State { store, disk, .. } = &self.state;
        switch.run(&**disk, store).map_err(Fault::storage)?;
        self.inbox.complete(Completion::Switched);
        Ok(())
    }

    fn apply(&self, entries: &[Entry]) -> Result<Completion, Fault> {
        let outcomes = apply_entries(&self.state.store, self.me, entries)?;
        let last = entries.last().map_or(LogId::ZERO, Entry::id);
        Ok(Completion::Applied { through: last.index, term: last.term, outcomes })
    }
}

/// Applies committed entries, as they follow each other in the log, to the store of the member `me`, and tells what
/// its own requests among them led to, in the order of the log.
///
/// # Errors
/// [`Fault`] if the storage fails or an entry carries no command. The member must then stop.
///
/// # Panics
/// If a command has been applied already.
pub fn apply_entries(store: &Store, me: MemberId, entries: &[Entry]) -> Result<Vec<Outcome>, Fault> {
    let mut outcomes = Vec::new();
    let mut commands: Vec<(&Entry, Command)> = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.kind() {
            EntryKind::Command => {
                let command = Command::decode(&entry.payload()).map_err(Fault::storage)?;
                commands.push((entry, command));
            }
            EntryKind::Noop | EntryKind::Membership => {
                apply_commands(store, me, &mut commands, &mut outcomes)?;
                store.advance(entry.index().0);
            }
        }
    }
    apply_commands(store, me, &mut commands, &mut outcomes)?;
    Ok(outcomes)
}

fn apply_commands(
    store: &Store,
    me: MemberId,
    commands: &mut Vec<(&Entry, Command)>,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Fault> {
    if commands.is_empty() {
        return Ok(());
    }
    let is_mine = |command: &Command| command.id.origin == me.0;
    let batch: Vec<Apply<'_>> = commands
        .iter()
        .map(|(entry, command)| Apply { index: entry.index().0, command, answered: is_mine(command) })
        .collect();
    let results = store.apply(&batch)?;
    for ((entry, command), outcome) in commands.drain(..).zip(results) {
        if is_mine(&command) {
            let applied = Applied { outcome, index: entry.index(), term: entry.term() };
            outcomes.push(Outcome { sequence: command.id.sequence, applied });
        }
    }
    Ok(())
}

/// What becomes of the keeper's news.
struct Flushes {
    inbox: Arc<Inbox>,
    stages: Arc<Stages>,
}

impl KeeperEvents for Flushes {
    fn flushed(&mut self, round: Flushed, took: Duration) {
        self.stages.flush.observe(took.as_secs_f64());
        self.inbox.complete(Completion::Flushed(Index(round.applied)));
    }

    fn fault(&mut self, fault: Fault) {
        error!(%fault, "the store cannot be made durable: this member stops");
        self.inbox.complete(Completion::Failed(format!("the store cannot be made durable: {fault}")));
    }
}
