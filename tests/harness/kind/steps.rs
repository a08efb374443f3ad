//! What a start says while it goes on: each step by name, and how long it took.

use anyhow::{Context, Result};
use std::time::Instant;

/// Does `work`, and says what it is and how long it took.
///
/// # Errors
/// Those of `work`, with the step's name in front.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let done = work().with_context(|| what.to_owned())?;
    eprintln!("kind: {what} ({:.1} s)", begun.elapsed().as_secs_f64());
    Ok(done)
}
