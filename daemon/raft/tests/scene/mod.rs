//! The stage: reads a script, runs its verbs on a cluster, writes down what was seen.

mod checks;
mod cluster;
mod disk;
mod trace;
mod verbs;

use cluster::Cluster;

/// Plays a script and gives it back with what was observed.
pub(crate) fn play(script: &str, name: &str) -> String {
    let mut cluster = Cluster::default();
    let mut played = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "---" {
            played.push_str(line);
            played.push('\n');
            let verb = line.split('#').next().unwrap_or_default().trim();
            if !verb.is_empty() {
                verbs::run(&mut cluster, verb).unwrap_or_else(|why| panic!("{name}: `{verb}`: {why}"));
                checks::check(&mut cluster).unwrap_or_else(|why| panic!("{name}: after `{verb}`: {why}"));
            }
            continue;
        }
        // What was observed before makes way, up to the blank line that ends it.
        while lines.next_if(|line| !line.is_empty()).is_some() {}
        played.push_str("---\n");
        for seen in cluster.trace.drain(..) {
            played.push_str(&seen);
            played.push('\n');
        }
    }
    played
}
