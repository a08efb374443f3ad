//! The table, as it stands in the README.

use crate::load::{Load, Measured};
use std::fmt::Write;
use std::fs;
use std::thread;

/// One line that says what it was measured on.
pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    format!(
        "{cores} cores ({}), three members and the load generator on it",
        model.trim_start_matches(['\t', ' ', ':'])
    )
}

/// A Markdown table; each cell is ours and, after a slash, etcd's where it was measured.
pub(crate) fn render(loads: &[&Load], ours: &[Measured], theirs: &[Measured]) -> String {
    let mut text = String::from(
        "\n| load | requests/s | p50 ms | p99 ms | p99.9 ms | CPU s per 100,000 | memory MiB | disk MiB |\n",
    );
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (n, load) in loads.iter().enumerate() {
        let cell = |digits: usize, value: fn(&Measured) -> f64| match theirs.get(n) {
            Some(their) => format!("{:.digits$} / {:.digits$}", value(&ours[n]), value(their)),
            None => format!("{:.digits$}", value(&ours[n])),
        };
        let cells = [
            cell(0, |m| m.per_second),
            cell(1, |m| m.p50_ms),
            cell(1, |m| m.p99_ms),
            cell(1, |m| m.p999_ms),
            cell(1, |m| m.cpu_seconds_per_100k),
            cell(0, |m| m.resident_mib),
            cell(0, |m| m.disk_mib),
        ];
        writeln!(text, "| {} | {} |", load.name, cells.join(" | ")).expect("writing to a string succeeds");
    }
    text
}
