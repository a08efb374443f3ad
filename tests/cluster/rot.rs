//! A member whose files were spoilt while it did not run.

use anyhow::Result;
use tests::rot::{Found, campaign};

/// Cycles of one run of the tests; `cargo run --release -p tests --bin rot` runs as many as one wants.
const CYCLES: u64 = 60;

#[test]
fn a_member_whose_files_are_spoilt_says_so_or_says_what_it_said_before() -> Result<()> {
    let report = campaign(1, CYCLES)?;
    println!("{report}");
    for found in [Found::Refused, Found::Unharmed] {
        assert!(report.count(found) > CYCLES / 10, "both happen: {report}");
    }
    Ok(())
}
