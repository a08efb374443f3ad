//! Snapshots for people.

use super::{Found, Place};
use crate::bootstrap::NodeInfo;
use crate::command::print;
use crate::snapshot::Manifest;
use std::fmt::Write;
use std::process::ExitCode;

/// Digits of an id in a table: enough to tell snapshots of one store apart, and to name one.
const ID_DIGITS: usize = 12;

/// One line for each. A manifest that cannot be read is told, and the others are shown.
pub(super) async fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let (mut table, mut code) = (String::new(), ExitCode::SUCCESS);
    let head = ["id", "cluster", "taken", "index", "revision", "bytes", "chunks"];
    line(&mut table, head.map(str::to_owned));
    for name in place.list().await? {
        match place.open_one(&name).await {
            Ok(found) => line(&mut table, row(&found)),
            Err(problem) => {
                eprintln!("{problem:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    print(&table);
    Ok(code)
}

fn row(found: &Found) -> [String; 7] {
    let manifest = found.manifest();
    let mut id = found.id().to_string();
    id.truncate(ID_DIGITS);
    [
        id,
        manifest.cluster.to_string(),
        taken(manifest),
        manifest.last.index.0.to_string(),
        manifest.revision.to_string(),
        manifest.stored_bytes().to_string(),
        manifest.chunks.len().to_string(),
    ]
}

fn line(table: &mut String, [id, cluster, taken, index, revision, bytes, chunks]: [String; 7]) {
    let line = format!("{id:<12}  {cluster:<16}  {taken:<20}  {index:>10}  {revision:>10}  {bytes:>12}  {chunks:>6}");
    table.push_str(line.trim_end());
    table.push('\n');
}

fn taken(manifest: &Manifest) -> String {
    let seconds = i64::try_from(manifest.created_us / 1_000_000).ok();
    let moment = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "at no known time".to_owned(), |moment| moment.to_string())
}

/// Everything that a manifest says.
pub(in crate::command) fn describe(found: &Found, chunks: bool) -> String {
    let manifest = found.manifest();
    let mut text = String::new();
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name:<12} {value}").expect("text takes everything");
    };
    field("id", &found.id());
    field("cluster", &manifest.cluster);
    field("taken", &taken(manifest));
    field("by version", &manifest.daemon_version);
    field("index", &manifest.last.index.0);
    field("term", &manifest.last.term.0);
    field("revision", &manifest.revision);
    field("state hash", &format_args!("{:016x}", manifest.state_hash));
    field("stored", &format_args!("{} bytes in {} chunks", manifest.stored_bytes(), manifest.chunks.len()));
    field("encrypted", &found.sealing());
    field("unpacked", &format_args!("{} bytes", manifest.raw_bytes()));
    for (id, info) in &manifest.membership.nodes {
        let kind = if manifest.membership.is_voter(*id) { "voter" } else { "learner" };
        let name = NodeInfo::decode(info).map(|info| info.name).unwrap_or_default();
        field(kind, &format_args!("{:x} {}", id.0, name.escape_default()));
    }
    for chunk in manifest.chunks.iter().filter(|_| chunks) {
        field("chunk", &format_args!("{} {} bytes", chunk.digest, chunk.stored_bytes));
    }
    text
}
