//! The stateful set: all pods at once, restarted by the operator alone, claims that nothing deletes but the operator.

use super::labels::{Names, VOLUME, label_selector, labels, owned};
use super::pod::pod_template;
use super::template::Template;
use crate::crd::RaftCluster;
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Without a number of pods: that is set when the set is made, and changed by a step of its own.
#[must_use]
pub fn stateful_set(cluster: &RaftCluster, template: &Template) -> StatefulSet {
    let names = Names::of(cluster);
    let spec = StatefulSetSpec {
        service_name: Some(names.peer_service()),
        // A cluster forms when every first member has heard every other one. It can never be changed.
        pod_management_policy: Some("Parallel".into()),
        // The controller would go by ordinals, and would wait for a broken pod to get well before it replaces it.
        update_strategy: Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".into()), rolling_update: None }),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: Some("Retain".into()),
            when_scaled: Some("Retain".into()),
        }),
        selector: label_selector(&names.cluster),
        template: pod_template(cluster, template),
        volume_claim_templates: Some(vec![claim(cluster)]),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata: owned(cluster, names.cluster), spec: Some(spec), status: None }
}

fn claim(cluster: &RaftCluster) -> PersistentVolumeClaim {
    let storage = &cluster.spec.storage;
    let size = [("storage".to_owned(), Quantity(storage.size.as_str().to_owned()))];
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(VOLUME.into()),
            labels: Some(labels(&Names::of(cluster).cluster)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(size.into()), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
