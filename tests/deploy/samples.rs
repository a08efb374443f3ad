//! The samples' own settings of members are settings that the daemon has, with values that it takes. That the definition
//! takes the samples is the operator's own test.

use crate::files::manifests;
use anyhow::{Context, Result, ensure};
use quorate::config::{self, Mode, Wanted};
use serde_json::Value;
use std::path::Path;

#[test]
fn a_sample_sets_nothing_that_the_daemon_does_not_take() -> Result<()> {
    let mut tried = 0;
    for sample in manifests("samples")? {
        let Some(extra) = sample.value["spec"]["config"]["extra"].as_object() else { continue };
        let flag = |(name, value): (&String, &Value)| Ok(format!("--{name}={}", value.as_str().context("a text")?));
        let flags: Vec<String> = extra.iter().map(flag).collect::<Result<_>>()?;
        let file = sample.file.display();
        match config::load(Mode::Quorate, &flags, std::iter::empty(), &|_: &Path| false)? {
            Wanted::Run(checked) => ensure!(checked.notes.is_empty(), "{file}: {:?}", checked.notes),
            other => anyhow::bail!("{file}: {other:?}"),
        }
        tried += 1;
    }
    ensure!(tried >= 1, "no sample with settings was found");
    Ok(())
}
