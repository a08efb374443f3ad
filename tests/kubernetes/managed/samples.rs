//! The samples that people copy, as a real API server takes them: its schema, its rules, no field that it does not know.

use super::operator;
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::kube::Space;

/// Fewer would mean that they were not found.
const SAMPLES_MIN: usize = 7;

#[test]
fn the_api_server_takes_every_sample() -> Result<()> {
    operator()?;
    let space = Space::make(&stage()?.kube, "samples")?;
    let mut taken = 0;
    for file in fs::read_dir(tests::tree::root().join("deploy/samples"))? {
        let file = file?.path().display().to_string();
        let said = space.kubectl(&["apply", "--dry-run=server", "--validate=strict", "--filename", &file]);
        let said = said.with_context(|| file.clone())?;
        ensure!(said.contains("created (server dry run)"), "{file}: {said}");
        taken += 1;
    }
    ensure!(taken >= SAMPLES_MIN, "only {taken} samples were found");
    Ok(())
}
