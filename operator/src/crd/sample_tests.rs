//! The clusters of `deploy/samples`, which people copy: taken by the definition's rules, known field by field, and read
//! by our types to the last text.

use super::RaftCluster;
use super::crd_tests::{said, schema};
use crate::stored::read;
use crate::wanted::wanted;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Fewer would mean that they were not found.
const SAMPLES_MIN: usize = 7;

fn samples() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.expect("it lists").path();
        let text = std::fs::read_to_string(&path).expect("it is text");
        let object = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.display().to_string(), object)
    };
    let all: BTreeMap<_, _> = files.map(read).collect();
    assert!(all.len() >= SAMPLES_MIN, "only {:?}", all.keys());
    all
}

/// The first field that the schema does not have: the API server would drop it, or refuse it.
fn unknown(object: &Value, schema: &Value, path: &str) -> Option<String> {
    match object {
        Value::Array(items) => items.iter().find_map(|item| unknown(item, &schema["items"], path)),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => unknown(value, schema, &path),
                (None, None) => Some(path),
            }
        }),
        _ => None,
    }
}

#[test]
fn every_sample_passes_the_rules_and_reads_to_the_last_field() {
    let spec = &schema::<RaftCluster>()["properties"]["spec"];
    for (file, object) in samples() {
        assert_eq!(said::<RaftCluster>(&object, None), Vec::<String>::new(), "{file}");
        assert_eq!(unknown(&object["spec"], spec, "spec"), None, "{file}: it is misspelt");
        let cluster = read(object).unwrap_or_else(|error| panic!("{file}: {error}"));
        wanted(&cluster).unwrap_or_else(|error| panic!("{file}: {error}"));
        cluster.spec.config.quota.bytes().unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(cluster.spec.config.left_out().collect::<Vec<_>>(), Vec::<&str>::new(), "{file}");
        assert_eq!(cluster.spec.version, env!("CARGO_PKG_VERSION"), "{file} is of another version");
    }
}

#[test]
fn a_misspelt_field_of_a_sample_is_found() {
    let spec = &schema::<RaftCluster>()["properties"]["spec"];
    let mut object = samples().into_values().find(|object| object["spec"]["tls"].is_object()).expect("one with TLS");
    object["spec"]["tls"]["client"]["secretname"] = Value::Null;
    assert_eq!(unknown(&object["spec"], spec, "spec").as_deref(), Some("spec.tls.client.secretname"));
}

#[test]
fn samples_have_names_of_their_own() {
    let names: std::collections::BTreeSet<String> =
        samples().values().filter_map(|object| Some(object["metadata"]["name"].as_str()?.to_owned())).collect();
    assert_eq!(names.len(), samples().len(), "{names:?}: two cannot be applied to one namespace");
}
