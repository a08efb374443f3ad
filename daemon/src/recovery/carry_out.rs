//! Making a new cluster of what is on a disk, before its member starts. The steps and what a crash after each of them
//! leaves are in the module above.

use crate::bootstrap::{Due, Former, Place, Recovering, due};
use crate::config::Settings;
use crate::disk::{ClaimError, Disk};
use crate::install;
use crate::node::{StartError, apply_entries};
use crate::store::{self, RedbBackend};
use crate::wal::{self, Recovered, Wal, WalReader};
use mvcc::{Command, Fault, Rebirth, Store};
use raft::{Entry, EntryKind, Index, LogId, MemberId};
use std::sync::Arc;
use tracing::{info, warn};

/// Entries are read back in pieces of this size.
const READ_BYTES: u64 = 4 << 20;
/// What is applied is made durable in pieces of this size: larger ones make fewer syncs, and take memory.
const FLUSH_BYTES: usize = 16 << 20;
/// Nothing needs to be swept for this.
const NO_SWEEP: usize = 0;

/// The log of the member, not opened yet.
pub struct Log<'a> {
    /// Claims its directory.
    pub open: &'a dyn Fn() -> Result<Arc<dyn Disk>, ClaimError>,
    /// How it is kept.
    pub options: wal::Options,
}

/// Makes the disk the only member of a new cluster, if that is asked for and not done, or was begun before. Blocks.
///
/// # Errors
/// [`StartError`]: there is nothing to make one of, or log and store cannot be read; the disk is as it was then. Or the
/// disk fails; the next start goes on.
pub fn carry_out(settings: &Settings, disk: &Arc<dyn Disk>, log: &Log<'_>) -> Result<(), StartError> {
    let place = Place::new(Arc::clone(disk), &settings.data_dir);
    let (recovering, begun) = match due(&place, settings)? {
        Due::Nothing => return Ok(()),
        Due::Begin(recovering) => (recovering, false),
        Due::GoOn(recovering) => (recovering, true),
    };
    let held = Held::open(disk, log, recovering.former)?;
    if !begun {
        held.refuse_empty()?;
        tell_begin(&recovering, &held);
        recovering.begin(&place)?;
    }
    let last = held.into_store()?;
    recovering.finish(&place, last)?;
    warn!(
        former_cluster = %recovering.former.cluster,
        cluster = %recovering.cluster,
        member = %recovering.member,
        %last,
        "the quorum is recovered: this member is the only voter of a new cluster"
    );
    Ok(())
}

fn tell_begin(recovering: &Recovering, held: &Held) {
    let Recovering { former, request, .. } = recovering;
    let uncommitted = held.last.index.0.saturating_sub(held.commit.0);
    warn!(
        former_cluster = %former.cluster,
        former_member = %former.member,
        request = request.as_deref().unwrap_or("--force-new-cluster"),
        last = %held.last,
        applied = %held.applied(),
        uncommitted,
        "recovering a lost quorum: a new cluster is made of what this member holds, and of nothing else"
    );
}

/// What the disk holds of the former cluster: sound, and all of it readable.
struct Held {
    backend: Arc<RedbBackend>,
    store: Store,
    reader: WalReader,
    last: LogId,
    commit: Index,
}

impl Held {
    /// Step 1.
    fn open(disk: &Arc<dyn Disk>, log: &Log<'_>, former: Former) -> Result<Self, StartError> {
        let intent = install::recover_state(&**disk)?;
        let recovered = open_log(&(log.open)()?, &log.options, former, intent.as_ref())?;
        if intent.is_some() {
            install::finish_switch(&**disk)?;
        }
        let backend = Arc::new(RedbBackend::open(&**disk, store::Options::default())?);
        let store = Store::open(Arc::clone(&backend) as Arc<dyn mvcc::Backend>)?;
        let Recovered { remembered, wal, .. } = recovered;
        let (applied, start, last) = (Index(store.applied()), remembered.start, remembered.last);
        if applied > last.index {
            return Err(StartError::StoreAhead { applied, last });
        }
        if applied < start.index {
            return Err(StartError::StoreBehind { applied, start });
        }
        let held = Self { backend, store, reader: wal.reader(), last, commit: remembered.commit };
        held.each_piece(|entries| {
            entries.iter().filter(|entry| entry.kind() == EntryKind::Command).try_for_each(decodes)
        })?;
        Ok(held)
    }

    fn applied(&self) -> Index {
        Index(self.store.applied())
    }

    /// A learner that nobody has sent anything yet, or a log that was begun and never written to.
    fn refuse_empty(&self) -> Result<(), StartError> {
        if self.last > LogId::ZERO {
            return Ok(());
        }
        Err(crate::bootstrap::BootstrapError::NothingToRecover("this member's log is empty").into())
    }

    /// Steps 3 and 4. Says where the log ends.
    fn into_store(self) -> Result<LogId, StartError> {
        self.each_piece(|entries| {
            // Nobody waits for what its entries lead to.
            apply_entries(&self.store, MemberId::NONE, entries)?;
            if self.store.buffered_bytes() >= FLUSH_BYTES {
                self.store.flush(NO_SWEEP)?;
            }
            Ok(())
        })?;
        self.store.flush(NO_SWEEP)?;
        assert_eq!(self.store.durable(), self.last.index.0, "the whole log is in the store");
        info!(revision = self.store.revision().0, keys = self.store.keys(), "the store has the whole log");
        let Self { backend, store, last, .. } = self;
        drop(store);
        Rebirth::NewCluster { revision_bump: 0, mark_compacted: false }.of(&*backend).map_err(Fault::storage)?;
        Ok(last)
    }

    /// Goes through the entries that the store had not applied when it was called.
    fn each_piece(&self, mut take: impl FnMut(&[Entry]) -> Result<(), Fault>) -> Result<(), StartError> {
        let mut next = self.applied().next();
        while next <= self.last.index {
            let entries = self.reader.read(next, self.last.index, READ_BYTES)?;
            take(&entries)?;
            next = entries.last().expect("a read gives one entry at least").index().next();
        }
        Ok(())
    }
}

fn decodes(entry: &Entry) -> Result<(), Fault> {
    Command::decode(&entry.payload()).map(drop).map_err(Fault::storage)
}

fn open_log(
    disk: &Arc<dyn Disk>,
    options: &wal::Options,
    former: Former,
    intent: Option<&install::Intent>,
) -> Result<Recovered, StartError> {
    let identity = wal_identity(former);
    let options = wal::Options { create_if_missing: false, recent_bytes: 0, ..options.clone() };
    let recovered = Wal::open(Arc::clone(disk), identity, &options)?;
    Ok(match intent {
        Some(intent) => install::recover_log(recovered, intent, (disk, identity, &options))?,
        None => recovered,
    })
}

/// Whose the segments of the former log are.
pub(crate) fn wal_identity(former: Former) -> wal::Identity {
    wal::Identity { cluster: former.cluster.0, member: MemberId(former.member.0), storage: *former.storage.as_bytes() }
}
