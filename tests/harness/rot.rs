//! One member whose files are spoilt while it does not run, again and again: what it says afterwards must be true.
//!
//! * A member works until its log has several segments and its state is on the disk, and ends: asked to, or killed.
//! * A cycle puts its data directory back as it was then, spoils one file, and starts the member. It may refuse to start,
//!   with the exit code that tells a supervisor why; or everything it has ever acknowledged is there, as it was.
//! * One thing nobody can know who is alone: damage to the very last write of a member that was killed looks like a
//!   write that never finished. That it is not there then is counted apart.

use crate::client::Client;
use crate::cluster::{Cluster, Flavor, Member, copy_folder, eventually};
use crate::crash::{SHORT_LOG, learner, wait_ready_or_gone};
use crate::sim::rng::Rng;
use anyhow::{Context, Result, bail, ensure};
use quorate::bootstrap::{EXIT_DAMAGED, EXIT_WRONG_IDENTITY};
use quorate::etcd::proto::mvccpb::KeyValue;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes of each of the two lives.
const WRITES: u64 = 90;
/// Of so many keys.
const KEYS: u64 = 60;
/// How far back the history is compared.
const OLDER_BY: i64 = 25;
/// What a disk writes in one piece.
const SECTOR_BYTES: u64 = 512;
/// How long a member that is ready may keep a read waiting: it elects itself first.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Spare segments are written within this, besides the ballast.
const SPARES_WITHIN: Duration = Duration::from_secs(10);
/// One that has failed ends within this.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// What it says of a file that another version would have written: a digit of the version can rot too.
const ANOTHER_VERSION: &str = "this program reads";

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Segment,
    Spare,
    State,
    Identity,
}

/// How often each is chosen, by what there is to lose in it.
const KINDS: [Kind; 9] = [
    Kind::Segment,
    Kind::Segment,
    Kind::Segment,
    Kind::Segment,
    Kind::State,
    Kind::State,
    Kind::State,
    Kind::Identity,
    Kind::Spare,
];

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One bit is the wrong way round.
    Flipped { at: u64, bit: u64 },
    /// A sector was never written.
    Unwritten { sector: u64 },
    /// A sector holds something else.
    Overwritten { sector: u64 },
    /// The end is gone.
    Shortened { length: u64 },
    /// The file is gone.
    Gone,
}

/// What a member made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// It does not start, and says that it is damaged.
    Refused,
    /// It serves everything as it was.
    Unharmed,
    /// It was killed, and takes the last write for one that never finished.
    LastWriteCut,
}

/// What cycles amounted to.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<(Kind, &'static str, Found), u64>,
}

impl Report {
    /// How many cycles came to this.
    #[must_use]
    pub fn count(&self, found: Found) -> u64 {
        self.counts.iter().filter(|((.., what), _)| *what == found).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, damage, found), count) in &self.counts {
            writeln!(f, "{kind:?} {damage}: {found:?} {count}")?;
        }
        let flips = self.counts.iter().filter(|((_, damage, _), _)| *damage == "flipped").map(|(_, count)| count);
        write!(
            f,
            "{} cycles, {} of them bits: {} refused, {} without harm, {} cost a killed member its last write; \
             wrong answers: 0, losses that nobody noticed: 0",
            self.counts.values().sum::<u64>(),
            flips.sum::<u64>(),
            self.count(Found::Refused),
            self.count(Found::Unharmed),
            self.count(Found::LastWriteCut),
        )
    }
}

/// A member that does not run, its files, and what it has acknowledged.
struct Life {
    cluster: Cluster,
    files: PathBuf,
    killed: bool,
    truth: Truth,
}

/// What was there in the end.
struct Truth {
    all: Vec<KeyValue>,
    /// Before the last write.
    but_last: Vec<KeyValue>,
    older_at: i64,
    older: Vec<KeyValue>,
}

/// Runs so many cycles, drawn from `seed`: half of them on a member that was asked to end, half on one that was killed.
///
/// # Errors
/// A wrong answer, a loss that was not noticed, a member that neither serves nor says why; anything the machine refuses.
pub fn campaign(seed: u64, cycles: u64) -> Result<Report> {
    let mut rng = Rng::new(seed);
    let mut report = Report::default();
    for (killed, count) in [(false, cycles / 2), (true, cycles - cycles / 2)] {
        let mut life = live(killed)?;
        for _ in 0..count {
            let (kind, name, damage) = draw(&life.files, &mut rng)?;
            let found = cycle(&mut life, &name, damage, &mut rng)
                .with_context(|| format!("seed {seed}, {} of a member killed: {killed}, {damage:?}", name.display()))?;
            *report.counts.entry((kind, damage.name(), found)).or_default() += 1;
        }
    }
    Ok(report)
}

/// Lets a member live twice and end.
fn live(killed: bool) -> Result<Life> {
    let mut cluster = Cluster::planned(Flavor::Quorate, 1, &SHORT_LOG)?;
    let runtime = runtime()?;
    let member = &mut cluster.members[0];
    let address = member.client.clone();
    begin(member)?;
    runtime.block_on(work(&address, 0))?;
    member.terminate()?;
    begin(member)?;
    let truth = runtime.block_on(async {
        work(&address, WRITES).await?;
        last_words(&address).await
    })?;
    if killed {
        member.kill()?;
    } else {
        member.terminate()?;
    }
    let files = cluster.folder().join("files");
    copy_folder(&cluster.members[0].data(), &files)?;
    Ok(Life { cluster, files, killed, truth })
}

/// Starts it, and waits until it has spare segments: what is cut off a file of full length can be told, what is cut off one
/// that grows cannot.
fn begin(member: &mut Member) -> Result<()> {
    member.spawn()?;
    member.wait_ready()?;
    let spares = || Some(list(&member.data()).ok()?.iter().filter(|name| kind_of(name) == Some(Kind::Spare)).count());
    eventually("spare segments", SPARES_WITHIN, || spares().filter(|count| *count > 1))?;
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Writes of all sizes, deletions, a compaction, a member that comes and goes.
async fn work(address: &str, from: u64) -> Result<()> {
    let mut client = Client::lazy(address)?;
    for nth in from..from + WRITES {
        let key = format!("key-{}", nth % KEYS);
        let revision = match nth % 9 {
            8 => client.delete(&key).await?.0,
            _ => client.put(&key, &format!("{nth} ").repeat(usize::try_from(nth * 7 % 900)?)).await?,
        };
        match nth % 30 {
            10 => learner(&mut client).await?,
            20 if revision > 3 * OLDER_BY => drop(client.compact(revision - 2 * OLDER_BY, false).await?),
            _ => {}
        }
    }
    Ok(())
}

/// One more write, and everything before and after it.
async fn last_words(address: &str) -> Result<Truth> {
    let mut client = Client::lazy(address)?;
    let but_last = client.everything(0, false).await?.kvs;
    let older_at = client.put("last", "word").await? - OLDER_BY;
    let older = client.everything(older_at, false).await?.kvs;
    Ok(Truth { all: client.everything(0, false).await?.kvs, but_last, older_at, older })
}

/// Chooses a file and what happens to it.
fn draw(files: &Path, rng: &mut Rng) -> Result<(Kind, PathBuf, Damage)> {
    let kind = *rng.pick(&KINDS).context("a list")?;
    let found = list(files)?;
    let of_kind: Vec<&PathBuf> = found.iter().filter(|name| kind_of(name) == Some(kind)).collect();
    let name = (*rng.pick(&of_kind).with_context(|| format!("the member has no {kind:?}: {found:?}"))?).clone();
    let bytes = fs::read(files.join(&name))?;
    let (length, used) = (bytes.len() as u64, bytes.iter().rposition(|byte| *byte != 0).map_or(1, |at| at as u64 + 1));
    // Most of a fresh file is zeros that nothing has been written over yet.
    let within = if rng.below(8) == 0 { length } else { used };
    let at = rng.below(within);
    // The last segment of a log has no other to tell of it.
    let may_go = kind != Kind::Segment || of_kind.last().is_some_and(|last| **last != name);
    let damage = match rng.below(10) {
        0 => Damage::Unwritten { sector: at / SECTOR_BYTES },
        1 => Damage::Overwritten { sector: at / SECTOR_BYTES },
        2 if kind != Kind::Segment || at < began_with(&bytes) => Damage::Shortened { length: at },
        3 if may_go => Damage::Gone,
        _ => Damage::Flipped { at, bit: rng.below(8) },
    };
    Ok((kind, name, damage))
}

/// The length that a segment had when it began, as its header says. One that began when no spare was at hand has grown
/// since, and does not tell that its end is gone.
fn began_with(segment: &[u8]) -> u64 {
    segment.get(92..100).and_then(|field| field.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The files of a data directory, ascending.
fn list(files: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["", "wal"] {
        for entry in fs::read_dir(files.join(folder))? {
            found.push(Path::new(folder).join(entry?.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

fn kind_of(name: &Path) -> Option<Kind> {
    let name = name.file_name()?.to_str()?;
    match name {
        "state.redb" => Some(Kind::State),
        "identity.json" => Some(Kind::Identity),
        _ if name.ends_with(".wal") => Some(Kind::Segment),
        _ if name.starts_with("spare-") => Some(Kind::Spare),
        _ => None,
    }
}

impl Damage {
    fn name(self) -> &'static str {
        match self {
            Self::Flipped { .. } => "flipped",
            Self::Unwritten { .. } => "unwritten",
            Self::Overwritten { .. } => "overwritten",
            Self::Shortened { .. } => "shortened",
            Self::Gone => "gone",
        }
    }

    /// Lets it happen.
    fn strike(self, path: &Path, rng: &mut Rng) -> Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // A sector may reach beyond the end of a file, which does not get longer.
        let sector = |at: u64| -> Result<Vec<u8>> {
            let left = file.metadata()?.len() - at * SECTOR_BYTES;
            Ok(vec![0; usize::try_from(left.min(SECTOR_BYTES))?])
        };
        match self {
            Self::Flipped { at, bit } => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                file.write_all_at(&[byte[0] ^ 1 << bit], at)?;
            }
            Self::Unwritten { sector: at } => file.write_all_at(&sector(at)?, at * SECTOR_BYTES)?,
            Self::Overwritten { sector: at } => {
                let mut bytes = sector(at)?;
                bytes.fill_with(|| rng.bits().to_le_bytes()[0]);
                file.write_all_at(&bytes, at * SECTOR_BYTES)?;
            }
            Self::Shortened { length } => file.set_len(length)?,
            Self::Gone => fs::remove_file(path)?,
        }
        Ok(())
    }
}

/// Puts the files back, spoils one, and asks the member.
fn cycle(life: &mut Life, name: &Path, damage: Damage, rng: &mut Rng) -> Result<Found> {
    let member = &mut life.cluster.members[0];
    fs::remove_dir_all(member.data())?;
    copy_folder(&life.files, &member.data())?;
    damage.strike(&member.data().join(name), rng)?;
    member.spawn()?;
    if !wait_ready_or_gone(member)? {
        return refused(member);
    }
    let answer = runtime()?.block_on(ask(&member.client, life.truth.older_at));
    let found = match answer {
        Ok((all, older)) => judge(life, &all, &older)?,
        // It has come upon the damage while it served. The next start says so.
        Err(unanswered) => {
            let status = member.wait_end(ENDS_WITHIN).with_context(|| format!("it says {unanswered:#}"))?;
            ensure!(!status.success(), "it ended as if all were well, after {unanswered:#}");
            member.spawn()?;
            ensure!(!wait_ready_or_gone(member)?, "it starts again, after {unanswered:#}");
            return refused(member);
        }
    };
    life.cluster.members[0].kill()?;
    Ok(found)
}

/// It has ended: did it say why?
fn refused(member: &mut Member) -> Result<Found> {
    let status = member.wait_end(ENDS_WITHIN)?;
    let (code, log) = (status.code(), member.log());
    // Without its identity it is somebody else, to whom the log does not belong.
    let says_why = [EXIT_DAMAGED, EXIT_WRONG_IDENTITY].map(i32::from).map(Some).contains(&code);
    let says_why = says_why || log.contains(ANOTHER_VERSION);
    ensure!(says_why, "it ended with {status}:\n{log}");
    Ok(Found::Refused)
}

async fn ask(address: &str, older_at: i64) -> Result<(Vec<KeyValue>, Vec<KeyValue>)> {
    let mut client = Client::lazy(address)?;
    let deadline = Instant::now() + READ_WITHIN;
    loop {
        match client.everything(0, false).await {
            Ok(all) => return Ok((all.kvs, client.everything(older_at, false).await?.kvs)),
            Err(status) if Instant::now() > deadline => bail!("cannot be read: {status}"),
            // It may be electing itself.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Whether what it says is what was.
fn judge(life: &Life, all: &[KeyValue], older: &[KeyValue]) -> Result<Found> {
    let Life { truth, killed, .. } = life;
    ensure!(older == truth.older, "the history is another one at revision {}", truth.older_at);
    if all == truth.all {
        return Ok(Found::Unharmed);
    }
    ensure!(*killed && all == truth.but_last, "{}", difference(&truth.all, all));
    Ok(Found::LastWriteCut)
}

fn difference(expected: &[KeyValue], found: &[KeyValue]) -> String {
    let name = |kv: &KeyValue| format!("{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision);
    let missing: Vec<String> = expected.iter().filter(|kv| !found.contains(kv)).map(name).collect();
    let made_up: Vec<String> = found.iter().filter(|kv| !expected.contains(kv)).map(name).collect();
    format!("nobody noticed: missing {missing:?}, never written {made_up:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_happens_where_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut rng) = (folder.path().join("file"), Rng::new(1));
        let mut after = |damage: Damage| {
            fs::write(&path, vec![0xff; 1000]).unwrap();
            damage.strike(&path, &mut rng).unwrap();
            fs::read(&path).ok()
        };
        let flipped = after(Damage::Flipped { at: 999, bit: 7 }).unwrap();
        assert_eq!((flipped[999], flipped[..999].iter().all(|byte| *byte == 0xff)), (0x7f, true));
        let unwritten = after(Damage::Unwritten { sector: 1 }).unwrap();
        assert_eq!((unwritten.len(), unwritten.iter().position(|byte| *byte == 0)), (1000, Some(512)));
        assert_ne!(after(Damage::Overwritten { sector: 0 }).unwrap()[..512], [0xff; 512]);
        assert_eq!(after(Damage::Shortened { length: 9 }).unwrap().len(), 9);
        assert_eq!(after(Damage::Gone), None);
    }

    #[test]
    fn a_loss_and_a_wrong_value_are_told() {
        let kv = |key: &'static str, mod_revision| KeyValue { key: key.into(), mod_revision, ..KeyValue::default() };
        let (expected, found) = ([kv("a", 1), kv("b", 2)], [kv("a", 1), kv("b", 3)]);
        let told = difference(&expected, &found);
        assert!(told.contains("missing [\"b@2\"]") && told.contains("never written [\"b@3\"]"), "{told}");
    }
}
