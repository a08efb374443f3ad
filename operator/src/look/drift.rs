//! Whether an object is as it should be.

use crate::children::ANNOTATION_RENDERED;
use serde::Serialize;
use serde_json::Value;

/// An object as it should be.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Its kind, group and version.
    pub resource: kube::discovery::ApiResource,
    /// Its name.
    pub name: String,
    /// The object, with what it was rendered as on it.
    pub value: Value,
}

impl Desired {
    /// From an object that a pure function built.
    ///
    /// # Errors
    /// It does not serialize, or has no name.
    pub fn of<K>(object: &K) -> Result<Self, serde_json::Error>
    where
        K: kube::Resource<DynamicType = ()> + Serialize,
    {
        let resource = kube::discovery::ApiResource::erase::<K>(&());
        let mut value = serde_json::to_value(object)?;
        value["apiVersion"] = Value::String(resource.api_version.clone());
        value["kind"] = Value::String(resource.kind.clone());
        let rendered = format!("{:x}", fnv(value.to_string().as_bytes()));
        value["metadata"]["annotations"][ANNOTATION_RENDERED] = Value::String(rendered);
        let name = object.meta().name.clone().unwrap_or_default();
        Ok(Self { resource, name, value })
    }

    /// Whether the object that is there will do.
    #[must_use]
    pub fn is_met_by(&self, live: &Value) -> bool {
        covers(live, &self.value)
    }
}

/// All that is wanted is there. What is there besides are defaults, or the work of others.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => covers(live, wanted),
            None => is_empty(wanted),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// The API server leaves such out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// FNV-1a: stable, and as good as anything for telling two renderings apart.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    fn desired(data: &[(&str, &str)]) -> Desired {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut object = ConfigMap { data: Some(data), ..ConfigMap::default() };
        object.metadata.name = Some("m".into());
        Desired::of(&object).expect("it serializes")
    }

    #[test]
    fn what_others_add_is_no_drift_and_what_they_change_is() {
        let wanted = desired(&[("a", "1")]);
        let mut live = wanted.value.clone();
        live["metadata"]["uid"] = json!("u");
        live["metadata"]["annotations"]["else"] = json!("x");
        assert!(wanted.is_met_by(&live));
        live["data"]["a"] = json!("2");
        assert!(!wanted.is_met_by(&live));
    }

    #[test]
    fn a_field_that_is_not_wanted_any_more_is_drift() {
        let live = desired(&[("a", "1"), ("b", "2")]).value;
        assert!(!desired(&[("a", "1")]).is_met_by(&live));
    }

    #[test]
    fn a_list_is_the_same_only_as_a_whole() {
        assert!(covers(&json!([{ "a": 1, "b": 2 }]), &json!([{ "a": 1 }])));
        assert!(!covers(&json!([{ "a": 1 }, {}]), &json!([{ "a": 1 }])));
        assert!(covers(&json!({}), &json!({ "empty": [], "none": {} })));
        assert!(!covers(&json!({}), &json!({ "some": [1] })));
    }
}
