//! The objects that make up a cluster: each built by a pure function of the cluster and what is remembered of it.
//!
//! The volume claims are not among them: they belong to nobody, so that nothing that is deleted takes data along.

mod account;
mod budget;
mod config_map;
mod labels;
mod network_policy;
mod object_store;
mod pod;
mod services;
mod stateful_set;
mod template;

pub use account::service_account;
pub use budget::disruption_budget;
pub use config_map::config_map;
pub(crate) use labels::owned;
pub use labels::{
    ANNOTATION_RENDERED, LABEL_ASKS, LABEL_CLUSTER, LABEL_MANAGED_BY, MANAGED_BY, Names, labels, ordinal_of, pod_name,
    selector, selector_text, volume_name,
};
pub use network_policy::network_policy;
pub use object_store::{Form, NamedSecret, object_store_secrets, stages_in_the_clear};
pub use pod::{PORT_ADMIN, PORT_CLIENT, PORT_METRICS, PORT_PEER};
pub use services::{client_service, peer_service};
pub use stateful_set::stateful_set;
pub use template::Template;

#[cfg(test)]
mod children_tests;
