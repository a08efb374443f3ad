//! Snapshots of much data: what the next one uploads, a follower that rejoins through one while clients write, next to
//! etcd on the same work; a restore, with equal hashes; and how much is sent twice when the store fails.
//!
//! * What does not end in its time is an error, and so is a machine without the room.
//! * Values of 16 KiB that do not shrink; the store is a directory on the same disk.

mod faults;
mod rejoin;
mod restore;
mod scene;
mod writers;

use anyhow::Result;
use faults::Faulty;
use rejoin::Rejoined;
use restore::Restored;
use scene::{Scene, Size, Staged, ensure_room};
use tests::cluster::Flavor;
use writers::WRITERS;

/// What ours showed besides the rejoin.
struct Backups {
    first: Staged,
    second: Staged,
    restored: Restored,
    from_objects: u64,
}

/// Measures all of it, and prints it.
pub(crate) fn run(mib: u64, extra: &[&str], ours_only: bool) -> Result<()> {
    let size = Size { mib };
    ensure_room(size)?;
    let (ours, backups) = ours(size, extra)?;
    eprintln!("Quorate: caught up after {:.1} s", ours.took.as_secs_f64());
    let theirs = if ours_only { None } else { Some(theirs(size)?) };
    print!("{}", table(size, &ours, theirs.as_ref(), &backups));
    let faulty = faults::measure(size, extra)?;
    print!("{}", words(&backups, &faulty));
    Ok(())
}

fn ours(size: Size, extra: &[&str]) -> Result<(Rejoined, Backups)> {
    let mut scene = Scene::start(Flavor::Quorate, size, None, extra)?;
    let first = scene.stage()?;
    eprintln!("Quorate: staged {} MiB in {:.1} s", first.bytes >> 20, first.took.as_secs_f64());
    scene.change_one_percent()?;
    let second = scene.stage()?;
    scene.wait_cut()?;
    let restored = restore::measure(&scene, &second)?;
    let rejoined = rejoin::measure(&mut scene, Flavor::Quorate)?;
    let (from_objects, _) = rejoin::fetched(&scene.cluster.members[scene.away])?;
    Ok((rejoined, Backups { first, second, restored, from_objects }))
}

fn theirs(size: Size) -> Result<Rejoined> {
    let mut scene = Scene::start(Flavor::Etcd, size, None, &[])?;
    scene.change_one_percent()?;
    let rejoined = rejoin::measure(&mut scene, Flavor::Etcd)?;
    eprintln!("etcd: caught up after {:.1} s", rejoined.took.as_secs_f64());
    Ok(rejoined)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn table(size: Size, ours: &Rejoined, theirs: Option<&Rejoined>, backups: &Backups) -> String {
    let row = |name: &str, cell: &dyn Fn(&Rejoined) -> String| {
        let theirs = theirs.map_or_else(String::new, |theirs| format!(" {} |", cell(theirs)));
        format!("| {name} | {} |{theirs}\n", cell(ours))
    };
    let etcd = if theirs.is_some() { (" etcd |", " ---: |") } else { ("", "") };
    let mut text = format!(
        "\n| a follower rejoins, {} MiB of data, {WRITERS} clients write | Quorate |{}\n| --- | ---: |{}\n",
        size.mib, etcd.0, etcd.1
    );
    text += &row("caught up after, s", &|seen| format!("{:.1}", seen.took.as_secs_f64()));
    text += &row("sent to it by the leader, MiB", &|seen| format!("{:.1}", mib(seen.sent)));
    text += &row("of that the snapshot, MiB (share of it)", &|seen| {
        seen.sent_of_snapshot.map_or_else(
            || "not told apart".to_owned(),
            |sent| format!("{:.1} ({:.2} %)", mib(sent), percent(sent, backups.second.bytes)),
        )
    });
    text += &row("writes/s: two members, while it comes back, three members", &|seen| {
        let Rejoined { without, with, whole, .. } = seen;
        format!("{:.0}, {:.0}, {:.0}", without.per_second, with.per_second, whole.per_second)
    });
    text += &row("p99 of writes, ms: the same (of three members)", &|seen| {
        let Rejoined { without, with, whole, .. } = seen;
        let rise = 100.0 * (with.p99_ms / whole.p99_ms - 1.0);
        format!("{:.1}, {:.1} ({rise:+.0} %), {:.1}", without.p99_ms, with.p99_ms, whole.p99_ms)
    });
    text += &row("CPU s of the leader, of the follower", &|seen| {
        format!("{:.1}, {:.1}", seen.leader_cpu_seconds, seen.follower_cpu_seconds)
    });
    text + &format!("\nobject storage gave it {:.1} MiB\n", mib(backups.from_objects))
}

fn words(backups: &Backups, faulty: &Faulty) -> String {
    let Backups { first, second, restored, .. } = backups;
    format!(
        "first snapshot: {:.1} MiB uploaded in {:.1} s\n\
         second one, after one value in a hundred changed: {:.1} MiB, {:.2} % of all its bytes, in {:.1} s\n\
         backup of {:.1} MiB: verified in {:.1} s, restored in {:.1} s, the member served {:.1} s after its start; \
         HashKV is equal\n\
         with {} answers of the object store that went wrong: {:.1} MiB were sent for {:.1} MiB, {:.2} times; {:.1} MiB \
         came from object storage; caught up after {:.1} s\n",
        mib(first.uploaded),
        first.took.as_secs_f64(),
        mib(second.uploaded),
        percent(second.uploaded, second.bytes),
        second.took.as_secs_f64(),
        mib(second.bytes),
        restored.verified.as_secs_f64(),
        restored.restored.as_secs_f64(),
        restored.started.as_secs_f64(),
        faulty.faults,
        mib(faulty.sent),
        mib(faulty.snapshot),
        faulty.sent as f64 / faulty.snapshot as f64,
        mib(faulty.from_objects),
        faulty.took.as_secs_f64(),
    )
}
