//! A member that ends at a chosen system call.

use anyhow::Result;
use std::time::Duration;
use tests::crash::{campaign, can_trace};

/// Cycles of one run of the tests; `cargo run --release -p tests --bin crash` runs as many as one wants.
const CYCLES: u64 = 24;
/// Longer than they take.
const NO_LIMIT: Duration = Duration::from_secs(3600);

#[test]
fn a_member_that_ends_at_any_write_sync_or_rename_keeps_what_it_acknowledged() -> Result<()> {
    if !can_trace() {
        eprintln!("skipped: strace is missing, or may not trace here");
        return Ok(());
    }
    let report = campaign(1, CYCLES, NO_LIMIT)?;
    println!("{report}");
    assert!(report.struck[0] + report.struck[1] > CYCLES / 4, "many points are reached: {report}");
    assert!(report.judged > 0 && report.acknowledged > 0, "{report}");
    Ok(())
}
