//! Measures the store on a real disk: what a put costs with its share of flushing, what reads cost, what compaction
//! costs. One line for each figure; CPU is that of the whole process, so background work is in it.
//!
//! ```text
//!   store_bench DIRECTORY [KEYS]
//! ```

use bytes::Bytes;
use mvcc::{Apply, Body, Command, Fault, Flushed, KeyRange, Put, RangeRequest, RequestId, Revision, Store};
use quorate::disk::RealDisk;
use quorate::store::{Keeper, KeeperEvents, Options, Pace, RedbBackend};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const VALUE_BYTES: usize = 256;
/// Commands in one call of the apply thread, about what a busy member sees.
const BATCH: u64 = 64;

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

/// Runs `work`, which does something `count` times, and prints what each time took.
fn measure<T>(what: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let (wall, cpu_before) = (Instant::now(), cpu());
    let result = work();
    let (wall, cpu) = (wall.elapsed(), cpu() - cpu_before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{what:<44} {:>9.2} us wall {:>9.2} us cpu each  ({count} in {:.2} s)",
        each(wall),
        each(cpu),
        wall.as_secs_f64()
    );
    result
}

struct Bench {
    store: Arc<Store>,
    keeper: Keeper,
    index: u64,
    numbers: Numbers,
}

impl Bench {
    fn put_all(&mut self, what: &str, count: u64, mut key_of: impl FnMut(&mut Numbers, u64) -> Bytes) {
        let mut slowest = Duration::ZERO;
        measure(what, count, || {
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
        println!(
            "    slowest batch {:.1} ms, stalls {:?}, file {} MiB, in use {} MiB, RSS {} MiB",
            slowest.as_secs_f64() * 1e3,
            self.keeper.stalls(),
            size.allocated >> 20,
            size.in_use >> 20,
            rss_mib()
        );
    }

    fn range(&self, request: &RangeRequest) -> mvcc::RangeResult {
        self.store.range(request).expect("readable")
    }

    fn ranges(&mut self, what: &str, count: u64, mut request: impl FnMut(&mut Numbers) -> RangeRequest) {
        let mut found = 0;
        measure(what, count, || {
            for _ in 0..count {
                let request = request(&mut self.numbers);
                found += self.store.range(&request).expect("readable").kvs.len();
            }
        });
        println!("    {} keys each", found as u64 / count);
    }
}

fn one(key: Bytes) -> RangeRequest {
    RangeRequest { range: KeyRange::one(key), ..RangeRequest::default() }
}

fn from(key: Bytes, limit: i64) -> RangeRequest {
    RangeRequest { range: KeyRange::span(key, &b"\0"[..]), limit, ..RangeRequest::default() }
}

fn run(directory: &Path, keys: u64) -> Result<(), Box<dyn std::error::Error>> {
    let disk = RealDisk::open(directory)?;
    let store = Arc::new(Store::open(Arc::new(RedbBackend::open(&disk, Options::default())?))?);
    let keeper = Keeper::start(Arc::clone(&store), Pace::default(), Quiet)?;
    let mut bench = Bench { store, keeper, index: 0, numbers: Numbers(1) };
    bench.put_all("put, new keys in random order", keys, |_, at| key(at.wrapping_mul(0x9e37_79b1) % (1 << 32)));
    let all: Vec<_> = (0..keys).map(|at| key(at.wrapping_mul(0x9e37_79b1) % (1 << 32))).collect();
    let any = |numbers: &mut Numbers| all[numbers.below(keys) as usize].clone();
    bench.put_all("put, overwriting any of them", keys, |numbers, _| any(numbers));
    bench.put_all("put, overwriting 1,000 hot ones", keys, |numbers, _| all[numbers.below(1000) as usize].clone());
    bench.keeper.flush_soon();
    std::thread::sleep(Duration::from_secs(2));
    bench.ranges("point read", 300_000, |numbers| one(any(numbers)));
    bench.ranges("range of 100", 5_000, |numbers| from(any(numbers), 100));
    bench.ranges("range of 100, keys only", 5_000, |numbers| RangeRequest {
        keys_only: true,
        ..from(any(numbers), 100)
    });
    bench
        .ranges("count of half the keys", 20_000, |numbers| RangeRequest { count_only: true, ..from(any(numbers), 0) });
    let newest = bench.store.revision();
    let old = Revision(newest.0 - 500);
    bench.ranges("range of 100, 500 revisions ago", 2_000, |numbers| RangeRequest {
        revision: old,
        ..from(any(numbers), 100)
    });
    let older = Revision(newest.0 - keys.cast_signed() / 2);
    bench.ranges("point read of hot keys, long ago", 20_000, |numbers| RangeRequest {
        revision: older,
        ..one(all[numbers.below(1000) as usize].clone())
    });
    measure("range of everything", keys, || {
        bench.range(&RangeRequest { range: KeyRange::all(), ..RangeRequest::default() })
    });
    let hash = measure("hash of everything", 3 * keys, || bench.store.hash_kv(Revision::ZERO))?;
    let compact = Command { id: RequestId::default(), body: Body::Compact { revision: newest } };
    bench.index += 1;
    bench.store.apply(&[Apply { index: bench.index, command: &compact, answered: true }])?.remove(0)?;
    let kept = bench.store.hash_kv(Revision::ZERO)?;
    measure("sweep of two thirds of the rows", 2 * keys, || {
        bench.keeper.flush_soon();
        while bench.store.flush(10_000).is_ok_and(|flushed| flushed.sweep_pending) {}
    });
    println!(
        "    hash {:08x}, compacted {:08x}, swept the same: {}",
        hash.hash,
        kept.hash,
        bench.store.hash_kv(Revision::ZERO)? == kept
    );
    bench.put_all("put, overwriting any, after the sweep", keys, |numbers, _| any(numbers));
    let Bench { store, keeper, .. } = bench;
    drop(keeper);
    drop(store);
    drop(disk);
    let disk = RealDisk::open(directory)?;
    let backend = measure("open the file", 1, || RedbBackend::open(&disk, Options::default()))?;
    let store = measure("count the keys at opening", keys, || Store::open(Arc::new(backend)))?;
    println!("    {} keys at {}", store.keys(), store.revision());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let keys = arguments.get(2).and_then(|keys| keys.parse().ok()).unwrap_or(200_000);
    let Some(directory) = arguments.get(1) else {
        eprintln!("store_bench DIRECTORY [KEYS]");
        return ExitCode::FAILURE;
    };
    match run(Path::new(directory), keys / BATCH * BATCH) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
