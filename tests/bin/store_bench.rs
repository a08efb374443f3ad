//! Measures the store on a real disk: what a put costs with its share of flushing, what reads cost, what compaction
//! costs. Prints the table that stands in `daemon/src/store/mod.rs`: microseconds of CPU for each, background work
//! included. On the way, standard error has a line for each figure, with the wall clock and more figures.
//!
//! ```text
//!   cargo run --release -p tests --bin store_bench [-- DIRECTORY [KEYS]]     a folder that goes away, 100,000 keys
//! ```

use bytes::Bytes;
use mvcc::{Apply, Body, Command, Fault, Flushed, KeyRange, Put, RangeRequest, RequestId, Revision, Store};
use quorate::disk::RealDisk;
use quorate::store::{Keeper, KeeperEvents, Options, Pace, RedbBackend};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const VALUE_BYTES: usize = 256;
/// Commands in one call of the apply thread, about what a busy member sees.
const BATCH: u64 = 50;

struct Quiet;

impl KeeperEvents for Quiet {
    fn flushed(&mut self, _round: Flushed, _took: Duration) {}
    fn fault(&mut self, fault: Fault) {
        eprintln!("storage failed: {fault}");
    }
}

/// splitmix64
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/ns-{:03}/pod-{number:010}", number % 100))
}

/// User and system time of all threads so far, in the kernel's ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Runs `work`, which does something `count` times. Tells what each time took, and returns its CPU in microseconds.
fn measure<T>(what: &str, count: u64, work: impl FnOnce() -> T) -> (T, f64) {
    let (wall, cpu_before) = (Instant::now(), cpu());
    let result = work();
    let (wall, cpu) = (wall.elapsed(), cpu() - cpu_before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    eprintln!(
        "{what:<44} {:>9.2} us wall {:>9.2} us cpu each  ({count} in {:.2} s)",
        each(wall),
        each(cpu),
        wall.as_secs_f64()
    );
    (result, each(cpu))
}

struct Bench {
    store: Arc<Store>,
    keeper: Keeper,
    index: u64,
    numbers: Numbers,
}

impl Bench {
    fn put_all(&mut self, what: &str, count: u64, mut key_of: impl FnMut(&mut Numbers, u64) -> Bytes) -> f64 {
        let mut slowest = Duration::ZERO;
        let ((), each) = measure(what, count, || {
            for batch in 0..count / BATCH {
                let commands: Vec<_> = (0..BATCH)
                    .map(|at| {
                        let mut value = vec![0; VALUE_BYTES];
                        value.iter_mut().step_by(2).for_each(|byte| *byte = self.numbers.below(256) as u8);
                        let put = Put {
                            key: key_of(&mut self.numbers, batch * BATCH + at),
                            value: value.into(),
                            ..Put::default()
                        };
                        let id = RequestId { origin: 1, sequence: self.index + at };
                        Command::decode(&Command { id, body: Body::Put(put) }.encode()).expect("just encoded")
                    })
                    .collect();
                let batch: Vec<_> = (self.index + 1..)
                    .zip(&commands)
                    .map(|(index, command)| Apply { index, command, answered: true })
                    .collect();
                self.index += BATCH;
                let began = Instant::now();
                self.keeper.make_room();
                self.store.apply(&batch).expect("no fault");
                slowest = slowest.max(began.elapsed());
            }
        });
        let size = self.store.size();
        eprintln!(
            "    slowest batch {:.1} ms, stalls {:?}, file {} MiB, in use {} MiB, RSS {} MiB",
            slowest.as_secs_f64() * 1e3,
            self.keeper.stalls(),
            size.allocated >> 20,
            size.in_use >> 20,
            rss_mib()
        );
        each
    }

    fn range(&self, request: &RangeRequest) -> mvcc::RangeResult {
        self.store.range(request).expect("readable")
    }

    fn ranges(&mut self, what: &str, count: u64, mut request: impl FnMut(&mut Numbers) -> RangeRequest) -> f64 {
        let mut found = 0;
        let ((), each) = measure(what, count, || {
            for _ in 0..count {
                let request = request(&mut self.numbers);
                found += self.store.range(&request).expect("readable").kvs.len();
            }
        });
        eprintln!("    {} keys each", found as u64 / count);
        each
    }

    /// Until everything is on disk: reads are then reads of rows, not of the buffer.
    fn settle(&self) {
        while self.store.buffered_bytes() > 0 {
            self.keeper.flush_soon();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn one(key: Bytes) -> RangeRequest {
    RangeRequest { range: KeyRange::one(key), ..RangeRequest::default() }
}

fn from(key: Bytes, limit: i64) -> RangeRequest {
    RangeRequest { range: KeyRange::span(key, &b"\0"[..]), limit, ..RangeRequest::default() }
}

/// Microseconds of CPU, one for each thing.
struct Costs {
    hot_put: f64,
    any_put: [f64; 3],
    point_read: f64,
    range: f64,
    range_of_keys: f64,
    count: f64,
    hash_row: f64,
    sweep_row: f64,
    open_key: f64,
}

impl Costs {
    fn table(&self, keys: u64) -> String {
        let figure = |figure: f64| if figure < 10.0 { format!("{figure:.1}") } else { format!("{figure:.0}") };
        let least = self.any_put.iter().copied().fold(f64::MAX, f64::min);
        let most = self.any_put.iter().copied().fold(0.0, f64::max);
        let keys = if keys.is_multiple_of(1000) { format!("{},000", keys / 1000) } else { keys.to_string() };
        let rows = [
            (
                format!("put of a hot key; of any of {keys}"),
                format!("{}; {} to {}", figure(self.hot_put), figure(least), figure(most)),
            ),
            ("point read, row not cached".to_owned(), figure(self.point_read)),
            (
                "range of 100 keys; without their values".to_owned(),
                format!("{}; {}", figure(self.range), figure(self.range_of_keys)),
            ),
            ("count of half the keys".to_owned(), figure(self.count)),
            ("hash, for each row".to_owned(), figure(self.hash_row)),
            ("sweep, for each row".to_owned(), figure(self.sweep_row)),
            ("opening, for each key".to_owned(), figure(self.open_key)),
        ];
        let rows = rows.map(|(operation, figures)| format!("| {operation} | {figures} |\n"));
        format!("| operation | microseconds |\n| --- | --- |\n{}", rows.concat())
    }
}

fn run(directory: &Path, keys: u64) -> Result<Costs, Box<dyn std::error::Error>> {
    let disk = RealDisk::open(directory)?;
    let store = Arc::new(Store::open(Arc::new(RedbBackend::open(&disk, Options::default())?))?);
    let keeper = Keeper::start(Arc::clone(&store), Pace::default(), Quiet)?;
    let mut bench = Bench { store, keeper, index: 0, numbers: Numbers(1) };
    let all: Vec<_> = (0..keys).map(|at| key(at.wrapping_mul(0x9e37_79b1) % (1 << 32))).collect();
    let any = |numbers: &mut Numbers| all[numbers.below(keys) as usize].clone();
    let new_put = bench.put_all("put, new keys in random order", keys, |_, at| all[at as usize].clone());
    let over_put = bench.put_all("put, overwriting any of them", keys, |numbers, _| any(numbers));
    let hot = |numbers: &mut Numbers| all[numbers.below(1000.min(keys)) as usize].clone();
    let hot_put = bench.put_all("put, overwriting 1,000 hot ones", keys, |numbers, _| hot(numbers));
    bench.settle();
    let point_read = bench.ranges("point read", 300_000, |numbers| one(any(numbers)));
    let range = bench.ranges("range of 100", 5_000, |numbers| from(any(numbers), 100));
    let only_keys = |request| RangeRequest { keys_only: true, ..request };
    let range_of_keys = bench.ranges("range of 100, keys only", 5_000, |numbers| only_keys(from(any(numbers), 100)));
    let counted = |request| RangeRequest { count_only: true, ..request };
    let count = bench.ranges("count of half the keys", 20_000, |numbers| counted(from(any(numbers), 0)));
    history(&mut bench, keys, any, hot);
    let newest = bench.store.revision();
    let (hash, hash_row) = measure("hash of everything", 3 * keys, || bench.store.hash_kv(Revision::ZERO));
    let compact = Command { id: RequestId::default(), body: Body::Compact { revision: newest } };
    bench.index += 1;
    bench.store.apply(&[Apply { index: bench.index, command: &compact, answered: true }])?.remove(0)?;
    let kept = bench.store.hash_kv(Revision::ZERO)?;
    let ((), sweep_row) = measure("sweep of two thirds of the rows", 2 * keys, || {
        bench.keeper.flush_soon();
        while bench.store.flush(10_000).is_ok_and(|flushed| flushed.sweep_pending) {}
    });
    let same = bench.store.hash_kv(Revision::ZERO)? == kept;
    eprintln!("    hash {:08x}, compacted {:08x}, swept the same: {same}", hash?.hash, kept.hash);
    let late_put = bench.put_all("put, overwriting any, after the sweep", keys, |numbers, _| any(numbers));
    let Bench { store, keeper, .. } = bench;
    drop((keeper, store, disk));
    let open_key = reopen(directory, keys)?;
    let any_put = [new_put, over_put, late_put];
    Ok(Costs { hot_put, any_put, point_read, range, range_of_keys, count, hash_row, sweep_row, open_key })
}

/// What reads of the past and of everything cost: no rows of the table.
fn history(bench: &mut Bench, keys: u64, any: impl Fn(&mut Numbers) -> Bytes, hot: impl Fn(&mut Numbers) -> Bytes) {
    let newest = bench.store.revision();
    let at = |revision: i64, request| RangeRequest { revision: Revision(revision), ..request };
    bench.ranges("range of 100, 500 revisions ago", 2_000, |numbers| at(newest.0 - 500, from(any(numbers), 100)));
    let older = newest.0 - keys.cast_signed() / 2;
    bench.ranges("point read of hot keys, long ago", 20_000, |numbers| at(older, one(hot(numbers))));
    let everything = RangeRequest { range: KeyRange::all(), ..RangeRequest::default() };
    measure("range of everything", keys, || bench.range(&everything));
}

/// Opens the store again, and tells what it costs for each key.
fn reopen(directory: &Path, keys: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let disk = RealDisk::open(directory)?;
    let (backend, _) = measure("open the file", 1, || RedbBackend::open(&disk, Options::default()));
    let backend = Arc::new(backend?);
    let (store, each) = measure("count the keys at opening", keys, || Store::open(backend));
    let store = store?;
    eprintln!("    {} keys at {}", store.keys(), store.revision());
    Ok(each)
}

/// Keys when nobody says otherwise: those of the table.
const KEYS: u64 = 100_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let directory = arguments.next().map_or_else(|| temporary.path().join("store"), Into::into);
    let keys = arguments.next().map_or(Ok(KEYS), |keys| keys.parse())?;
    let keys = keys / BATCH * BATCH;
    let costs = run(&directory, keys).map_err(|error| anyhow::anyhow!("{error}"))?;
    print!("{}", costs.table(keys));
    Ok(())
}
