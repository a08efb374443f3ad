//! What the operating system says of this process, under the names every dashboard knows.

use super::page::{Page, as_f64};
use std::fs;

/// Writes what can be read; a system without `/proc` shows less.
pub(super) fn write(page: &mut Page) {
    if let Some(stat) = Stat::read() {
        page.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", stat.resident_bytes);
        page.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat.virtual_bytes);
        page.gauge("process_start_time_seconds", "Start time since the epoch in seconds.", stat.start_seconds);
        page.gauge("process_threads", "Number of OS threads.", stat.threads);
        page.counter_f64("process_cpu_seconds_total", "User and system CPU time in seconds.", stat.cpu_seconds);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd").map(Iterator::count) {
        page.gauge("process_open_fds", "Number of open file descriptors.", as_f64(open as u64));
        page.gauge("os_fd_used", "The number of used file descriptors.", as_f64(open as u64));
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.gauge("process_max_fds", "Maximum number of open file descriptors.", as_f64(limit));
        page.gauge("os_fd_limit", "The file descriptor limit.", as_f64(limit));
    }
}

struct Stat {
    cpu_seconds: f64,
    start_seconds: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Self::parse(&stat, booted)
    }

    /// The fields after the name, which may hold anything, count from 3; see proc(5).
    fn parse(stat: &str, booted: f64) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = as_f64(rustix::param::clock_ticks_per_second());
        let page_bytes = as_f64(rustix::param::page_size() as u64);
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            start_seconds: booted + field(22)? / ticks,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_process_is_called() {
        let line = "1 (a) b) c) S 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 7 0 200 4096 3 0 0";
        let stat = Stat::parse(line, 1000.0).expect("a whole line");
        let ticks = as_f64(rustix::param::clock_ticks_per_second());
        assert!((stat.cpu_seconds - 150.0 / ticks).abs() < 1e-9);
        assert!((stat.start_seconds - (1000.0 + 200.0 / ticks)).abs() < 1e-9);
        assert!((stat.threads - 7.0).abs() < 1e-9);
        assert!(Stat::parse("1 (short) S 1", 0.0).is_none());
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Stat::read().expect("a system with /proc").resident_bytes > 1e6);
    }
}
