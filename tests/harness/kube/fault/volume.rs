//! What is done to the volume of a pod, which lies in a folder of its node.

use super::Node;
use crate::kube::Space;
use crate::kube::quorate::is_ready;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use std::time::Duration;

/// A pod that may not be placed again is gone within its grace period.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// Where data lie while their folder gets another file system.
const ASIDE: &str = "/quorate-aside";
/// Where the first batch of a segment begins, behind the segment's header.
const FIRST_BATCH: u32 = 4096;
/// What takes up the room.
const BALLAST: &str = "ballast";

/// A volume with an end: a file system in memory, laid over the folder.
#[derive(Debug)]
pub struct SmallVolume {
    node: Node,
    folder: String,
}

impl SmallVolume {
    /// Gives the claim of a pod a volume of so many mebibytes with what was on the old one. The pod restarts: nothing
    /// may be written while the data move.
    ///
    /// # Errors
    /// When the pod does not go, or the node refuses.
    pub fn under(space: &Space, pod: &str, claim: &str, mebibytes: u32) -> Result<Self> {
        let kube = space.kube();
        let node = Node::of(&kube.call("get a pod", space.api::<Pod>().get(pod))?)?;
        let volume = Self { node, folder: folder(space, claim)? };
        volume.node.cordon()?;
        let moved = volume.take_over(space, pod, mebibytes);
        volume.node.uncordon()?;
        moved?;
        space.wait(&format!("{pod} ready on its small volume"), GONE_WITHIN, || {
            Ok(is_ready(&kube.call("get a pod", space.api::<Pod>().get(pod))?).then_some(()))
        })?;
        Ok(volume)
    }

    /// Its node takes no pods, and the volume lets it go nowhere else, so its pod waits.
    fn take_over(&self, space: &Space, pod: &str, mebibytes: u32) -> Result<()> {
        space.kubectl(&["delete", "pod", pod, "--wait=true", "--timeout=60s"])?;
        let folder = &self.folder;
        let script = format!(
            "set -e; mkdir {ASIDE}; cp -a {folder}/. {ASIDE}/; mount -t tmpfs -o size={mebibytes}m,mode=0777 tmpfs {folder}; \
             cp -a {ASIDE}/. {folder}/; rm -r {ASIDE}"
        );
        self.node.run(&["sh", "-c", &script]).map(drop)
    }

    /// Takes up all the room there is.
    ///
    /// # Errors
    /// When the node cannot be reached, or there is room still.
    pub fn fill(&self) -> Result<()> {
        let (folder, ballast) = (&self.folder, format!("{}/{BALLAST}", self.folder));
        // dd ends with an error, which is what is wanted: no space left on device. Large blocks first, then the rest.
        let script = format!(
            "dd if=/dev/zero of={ballast} bs=1M 2>/dev/null; dd if=/dev/zero bs=1k 2>/dev/null >> {ballast}; \
             test $(stat -f -c %a {folder}) -eq 0"
        );
        self.node.run(&["sh", "-c", &script]).map(drop)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub fn free(&self) -> Result<()> {
        self.node.run(&["rm", &format!("{}/{BALLAST}", self.folder)]).map(drop)
    }

    /// Blocks that are free.
    ///
    /// # Errors
    /// When the node does not tell.
    pub fn free_blocks(&self) -> Result<u64> {
        Ok(self.node.run(&["stat", "-f", "-c", "%a", &self.folder])?.trim().parse()?)
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        // Lazily: its pod may run still.
        if let Err(error) = self.node.run(&["umount", "--lazy", &self.folder]) {
            eprintln!("a small volume is left on {}: {error:#}", self.node.name());
        }
    }
}

/// Lets the first batch of the oldest segment on a claim's volume rot. The member comes upon it when it starts again.
///
/// # Errors
/// When there is no segment, or the node refuses.
pub fn rot(space: &Space, pod: &str, claim: &str) -> Result<()> {
    let node = Node::of(&space.kube().call("get a pod", space.api::<Pod>().get(pod))?)?;
    let folder = folder(space, claim)?;
    let script = format!(
        "set -e; segment=$(find {folder} -name '*.wal' | sort | head -n 1); test -n \"$segment\"; \
         printf rotten | dd of=\"$segment\" bs=1 seek={FIRST_BATCH} conv=notrunc; sync \"$segment\""
    );
    node.run(&["sh", "-c", &script]).map(drop)
}

/// The folder of a claim's volume on its node.
fn folder(space: &Space, claim: &str) -> Result<String> {
    let kube = space.kube();
    let claim = kube.call("get a claim", space.api::<PersistentVolumeClaim>().get(claim))?;
    let name = claim.spec.and_then(|spec| spec.volume_name).context("a bound claim")?;
    let spec = kube.call("get a volume", kube.cluster::<PersistentVolume>().get(&name))?.spec.context("a volume")?;
    let host = spec.host_path.map(|source| source.path);
    host.or_else(|| spec.local.map(|source| source.path)).context("a volume in a folder of its node")
}
