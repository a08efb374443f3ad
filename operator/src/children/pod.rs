//! A member's pod.

use super::config_map::{KEY_MEMBERS, KEY_STATE};
use super::labels::{Names, VOLUME, label_selector, selector};
use super::object_store;
use super::template::Template;
use crate::crd::{AntiAffinity, RaftCluster};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapKeySelector, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction,
    HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodAffinityTerm,
    PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecretVolumeSource,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Where clients are served.
pub const PORT_CLIENT: i32 = 2379;
/// Where peers are.
pub const PORT_PEER: i32 = 2380;
/// Where health and metrics are, without certificates.
pub const PORT_METRICS: i32 = 2381;
/// Where the operator asks and tells.
pub const PORT_ADMIN: i32 = 2382;
/// Where the pod's own hook does, inside the pod.
const PORT_HOOK: i32 = 2383;
/// Who runs the process: nobody in particular, as in images without a base.
const USER: i64 = 65532;
/// How long the hook may take to hand leadership over.
const HAND_OVER_SECONDS: u32 = 5;
/// The hook, what a stop in good order takes, and as much again.
const GRACE_SECONDS: i64 = 15;
/// Half an hour: a member waits for the others to form a cluster, and a new one for what it lacks.
const STARTUP_TRIES: i32 = 1800;
/// Owner and group may read: 0440.
pub(super) const SECRET_MODE: i32 = 0o440;
const DATA: &str = "/var/lib/quorate";
const SERVER_TLS: &str = "/etc/quorate/server";
const PEER_TLS: &str = "/etc/quorate/peer";

pub(super) fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

pub(super) fn pod_template(cluster: &RaftCluster, template: &Template) -> PodTemplateSpec {
    let names = Names::of(cluster);
    let extra = &cluster.spec.pod_metadata;
    // Ours last: a label that selects may not be lost.
    let labels = extra.labels.clone().into_iter().chain(selector(&names.cluster)).collect();
    let scrape = [
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), PORT_METRICS.to_string()),
    ];
    let annotations = scrape.into_iter().chain(extra.annotations.clone()).collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(pod(cluster, &names, template)),
    }
}

fn pod(cluster: &RaftCluster, names: &Names, template: &Template) -> PodSpec {
    let scheduling = &cluster.spec.scheduling;
    let pull_secrets: Vec<LocalObjectReference> =
        cluster.spec.image.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        service_account_name: Some(names.cluster.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        affinity: affinity(scheduling.anti_affinity, names, &scheduling.topology_key),
        topology_spread_constraints: Some(spread(cluster, names)),
        node_selector: (!scheduling.node_selector.is_empty()).then(|| scheduling.node_selector.clone()),
        tolerations: (!scheduling.tolerations.is_empty()).then(|| scheduling.tolerations.clone()),
        priority_class_name: scheduling.priority_class_name.clone(),
        containers: vec![container(cluster, names, template)],
        volumes: Some(volumes(template).into_iter().chain(object_store::volumes(cluster)).collect::<Vec<_>>())
            .filter(|volumes| !volumes.is_empty()),
        ..PodSpec::default()
    }
}

fn affinity(anti: AntiAffinity, names: &Names, topology_key: &str) -> Option<Affinity> {
    let term = PodAffinityTerm {
        label_selector: Some(label_selector(&names.cluster)),
        topology_key: topology_key.to_owned(),
        ..PodAffinityTerm::default()
    };
    let anti = match anti {
        AntiAffinity::None => return None,
        AntiAffinity::Required => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        AntiAffinity::Preferred => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: term,
            }]),
            ..PodAntiAffinity::default()
        },
    };
    Some(Affinity { pod_anti_affinity: Some(anti), ..Affinity::default() })
}

fn spread(cluster: &RaftCluster, names: &Names) -> Vec<TopologySpreadConstraint> {
    cluster.spec.scheduling.topology_spread_constraints.clone().unwrap_or_else(|| {
        vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "topology.kubernetes.io/zone".into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(label_selector(&names.cluster)),
            ..TopologySpreadConstraint::default()
        }]
    })
}

fn container(cluster: &RaftCluster, names: &Names, template: &Template) -> Container {
    Container {
        name: "quorate".into(),
        image: Some(image(cluster, template)),
        image_pull_policy: Some(cluster.spec.image.pull_policy.name().into()),
        args: Some(arguments(cluster, names)),
        env: Some(environment(cluster, names)),
        ports: Some(vec![
            port("client", PORT_CLIENT),
            port("peer", PORT_PEER),
            port("metrics", PORT_METRICS),
            port("admin", PORT_ADMIN),
        ]),
        startup_probe: Some(probe("/livez", 1, STARTUP_TRIES)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        // The process and its store only: what its cluster suffers is no reason to restart a member.
        liveness_probe: Some(probe("/livez", 5, 6)),
        lifecycle: Some(Lifecycle { pre_stop: Some(hand_over()), ..Lifecycle::default() }),
        resources: cluster.spec.resources.clone(),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(template).into_iter().chain(object_store::mounts(cluster)).collect()),
        ..Container::default()
    }
}

fn image(cluster: &RaftCluster, template: &Template) -> String {
    let image = &cluster.spec.image;
    let repository = image.repository.as_ref().unwrap_or(&template.repository);
    match &image.digest {
        Some(digest) => format!("{repository}@{digest}"),
        None => format!("{repository}:{}", cluster.spec.version),
    }
}

fn arguments(cluster: &RaftCluster, names: &Names) -> Vec<String> {
    let scheme = scheme(cluster.spec.tls.is_some());
    let host = format!("$(POD_NAME).{}.{}.svc", names.peer_service(), names.namespace);
    let own = [
        "serve".to_owned(),
        "--name=$(POD_NAME)".to_owned(),
        format!("--data-dir={DATA}/data"),
        format!("--listen-client-urls={scheme}://0.0.0.0:{PORT_CLIENT}"),
        format!("--advertise-client-urls={scheme}://{host}:{PORT_CLIENT}"),
        format!("--listen-peer-urls={scheme}://0.0.0.0:{PORT_PEER}"),
        format!("--initial-advertise-peer-urls={scheme}://{host}:{PORT_PEER}"),
        format!("--initial-cluster-token={}-{}", names.namespace, names.cluster),
        // The kubelet and Prometheus show no certificate.
        format!("--listen-metrics-urls=http://0.0.0.0:{PORT_METRICS}"),
        format!("--listen-admin-urls={scheme}://0.0.0.0:{PORT_ADMIN},http://127.0.0.1:{PORT_HOOK}"),
    ];
    let extra = cluster.spec.config.passed_on().map(|(key, value)| format!("--{key}={value}"));
    own.into_iter().chain(object_store::arguments(cluster)).chain(extra).collect()
}

fn environment(cluster: &RaftCluster, names: &Names) -> Vec<EnvVar> {
    let config = &cluster.spec.config;
    // What does not read keeps the daemon's default; the status says so.
    let millis = |text: &crate::crd::DurationText| text.get().ok().map(|time| time.as_millis().to_string());
    let settings = [
        ("ETCD_HEARTBEAT_INTERVAL", millis(&config.heartbeat_interval)),
        ("ETCD_ELECTION_TIMEOUT", millis(&config.election_timeout)),
        ("ETCD_QUOTA_BACKEND_BYTES", config.quota.bytes().ok().map(|bytes| bytes.to_string())),
    ];
    let mut variables = vec![
        EnvVar {
            name: "POD_NAME".into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".into(),
                    api_version: Some("v1".into()),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        from_config_map("ETCD_INITIAL_CLUSTER", KEY_MEMBERS, names),
        from_config_map("ETCD_INITIAL_CLUSTER_STATE", KEY_STATE, names),
    ];
    variables.extend(settings.into_iter().filter_map(|(name, value)| Some(literal(name, &value?))));
    if cluster.spec.tls.is_some() {
        let files = [("", SERVER_TLS, "CLIENT_CERT_AUTH"), ("PEER_", PEER_TLS, "PEER_CLIENT_CERT_AUTH")];
        for (side, folder, asks) in files {
            variables.push(literal(&format!("ETCD_{side}CERT_FILE"), &format!("{folder}/tls.crt")));
            variables.push(literal(&format!("ETCD_{side}KEY_FILE"), &format!("{folder}/tls.key")));
            variables.push(literal(&format!("ETCD_{side}TRUSTED_CA_FILE"), &format!("{folder}/ca.crt")));
            variables.push(literal(&format!("ETCD_{asks}"), "true"));
        }
    }
    variables
}

fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), ..EnvVar::default() }
}

fn from_config_map(name: &str, key: &str, names: &Names) -> EnvVar {
    let reference = ConfigMapKeySelector { name: names.config_map(), key: key.into(), optional: None };
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource { config_map_key_ref: Some(reference), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(PORT_METRICS),
            scheme: Some("HTTP".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// Bounded by itself: a pod that cannot hand over goes all the same.
fn hand_over() -> LifecycleHandler {
    let command = vec![
        "/quorate".to_owned(),
        "hand-over".to_owned(),
        format!("--endpoints=http://127.0.0.1:{PORT_HOOK}"),
        format!("--within-seconds={HAND_OVER_SECONDS}"),
    ];
    LifecycleHandler { exec: Some(ExecAction { command: Some(command) }), ..LifecycleHandler::default() }
}

fn mounts(template: &Template) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: Option<bool>| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(VOLUME, DATA, None)];
    if template.server_secret.is_some() {
        mounts.push(mount("server-tls", SERVER_TLS, Some(true)));
    }
    if template.peer_secret.is_some() {
        mounts.push(mount("peer-tls", PEER_TLS, Some(true)));
    }
    mounts
}

fn volumes(template: &Template) -> Vec<Volume> {
    let secrets = [("server-tls", &template.server_secret), ("peer-tls", &template.peer_secret)];
    let volume = |(name, secret): (&str, &Option<String>)| {
        let source = SecretVolumeSource {
            secret_name: Some(secret.clone()?),
            default_mode: Some(SECRET_MODE),
            ..SecretVolumeSource::default()
        };
        Some(Volume { name: name.into(), secret: Some(source), ..Volume::default() })
    };
    secrets.into_iter().filter_map(volume).collect()
}
