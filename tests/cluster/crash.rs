//! A member that ends at a chosen system call.

use anyhow::Result;
use std::time::Duration;
use tests::crash::{campaign, campaign_of_three, can_trace};

/// Cycles of one run of the tests; `cargo run --release -p tests --bin crash` runs as many as one wants.
const CYCLES: u64 = 24;
/// Of one of three: each way back three times.
const CYCLES_OF_THREE: u64 = 9;
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

#[test]
fn a_member_that_ends_at_any_call_on_its_way_back_comes_back_all_the_same() -> Result<()> {
    if !can_trace() {
        eprintln!("skipped: strace is missing, or may not trace here");
        return Ok(());
    }
    let report = campaign_of_three(1, CYCLES_OF_THREE, NO_LIMIT)?;
    println!("{report}");
    // That points are reached is what the other test sees to: these are few.
    assert!(report.ways.len() == 3 && report.judged > 0 && report.acknowledged > 0, "{report}");
    Ok(())
}
