//! What dashboards and alert rules ask for, and pictures of what they show.

pub mod dashboard;
#[cfg(feature = "kubernetes")]
pub mod drawing;

use std::collections::BTreeSet;

/// What the names of our metrics and of etcd's begin with.
const OURS: [&str; 3] = ["quorate_", "etcd_", "grpc_server_"];
/// What a histogram's series have behind its name.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The metrics that a text names, of members and of the operator; of a histogram its name.
#[must_use]
pub fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| OURS.iter().any(|prefix| word.starts_with(prefix)));
    names.map(|name| OF_HISTOGRAMS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_its_metrics() {
        let query = r#"sum by (le) (rate(etcd_disk_bucket{namespace="a"}[1m])) / quorate_follower_lag_bytes > 3"#;
        assert_eq!(metrics(query).into_iter().collect::<Vec<_>>(), ["etcd_disk", "quorate_follower_lag_bytes"]);
    }
}
