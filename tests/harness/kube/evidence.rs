//! What a failed scenario leaves for people: one folder under the target folder.
//!
//! ```text
//!   kubernetes/SPACE-SECONDS/
//!     what.txt            what was waited for
//!     events.yaml         of the namespace, oldest first
//!     objects.yaml        workloads, pods, claims, services, budgets
//!     nodes.yaml          the nodes
//!     POD.CONTAINER.log   and POD.CONTAINER.previous.log
//!     NAME.txt            what the scenario's own witnesses say: members' status, lag
//! ```

use super::{Space, run};
use crate::tree;
use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of a log that are worth reading after a failure.
const LOG_LINES: i64 = 5_000;

/// Saves what there is to see. What cannot be had is saved as the error it gave.
///
/// # Errors
/// When the folder cannot be written.
pub fn save(space: &Space, what: &str, told: Vec<(String, String)>) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let folder = tree::target().join("kubernetes").join(format!("{}-{now}", space.name()));
    fs::create_dir_all(&folder)?;
    let write = |name: &str, text: &str| fs::write(folder.join(name), text);
    write("what.txt", what)?;
    let kubectl = |arguments: &[&str]| space.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}\n"));
    write("events.yaml", &kubectl(&["get", "events", "--sort-by=.lastTimestamp", "--output=yaml"]))?;
    let objects = "statefulsets,pods,persistentvolumeclaims,services,endpointslices,poddisruptionbudgets";
    write("objects.yaml", &kubectl(&["get", objects, "--output=yaml"]))?;
    write(
        "nodes.yaml",
        &run("kubectl", &["get", "nodes", "--output=yaml"]).unwrap_or_else(|error| format!("{error:#}")),
    )?;
    for (name, text) in told {
        write(&format!("{name}.txt"), &text)?;
    }
    for pod in space.pods().unwrap_or_default() {
        save_logs(space, &pod, &folder)?;
    }
    Ok(folder)
}

fn save_logs(space: &Space, pod: &Pod, folder: &Path) -> Result<()> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    for container in containers {
        for (previous, kind) in [(false, ""), (true, ".previous")] {
            let wanted = LogParams {
                container: Some(container.name.clone()),
                previous,
                tail_lines: Some(LOG_LINES),
                timestamps: true,
                ..LogParams::default()
            };
            let log = space.kube().call("read a log", space.api::<Pod>().logs(name, &wanted));
            // A container that has not restarted has no previous log.
            let log =
                if previous { log.unwrap_or_default() } else { log.unwrap_or_else(|error| format!("{error:#}\n")) };
            if !log.is_empty() {
                fs::write(folder.join(format!("{name}.{}{kind}.log", container.name)), log)?;
            }
        }
    }
    Ok(())
}
