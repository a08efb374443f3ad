//! Three members with much data, one of which is away; what is asked of them, and how much of the machine they take.

use super::writers::{block_on, fill, patient};
use anyhow::{Context, Result, ensure};
use quorate::etcd::proto::etcdserverpb as pb;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::cluster::{Cluster, Flavor, Member, eventually, get, post};

/// The size of the values that the members are filled with.
const VALUE_BYTES: usize = 16 << 10;

/// A snapshot of a gibibyte is staged within a minute at the usual limits; larger ones take longer, and so does a busy
/// machine.
const STAGED_WITHIN: Duration = Duration::from_secs(900);

/// What a member is flushed and cut within.
const CUT_WITHIN: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Of all values together.
    pub(crate) mib: u64,
}

impl Size {
    /// So many values.
    pub(crate) fn values(self) -> u64 {
        (self.mib << 20) / VALUE_BYTES as u64
    }

    /// All of them, in bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.mib << 20
    }

    /// Less data than the log keeps in any case needs a shorter log, or nobody would need a snapshot.
    fn flags(self) -> Vec<String> {
        let segment = ((self.mib << 20) / 16).clamp(1 << 20, 64 << 20);
        let mut flags = vec![format!("--log-segment-bytes={segment}"), "--log-anchor-time=1s".to_owned()];
        if self.mib < 512 {
            flags.extend(["--snapshot-catchup-entries=100", "--snapshot-count=100"].map(str::to_owned));
        }
        flags
    }
}

/// The members, one of them away.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) size: Size,
    /// Which is away.
    pub(crate) away: usize,
    /// Where each member of ours is asked for snapshots.
    admin: Vec<String>,
}

/// A snapshot that was staged.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    /// From the question to the entry in the log.
    pub(crate) took: Duration,
    /// What its chunks take.
    pub(crate) bytes: u64,
    /// What was uploaded for it.
    pub(crate) uploaded: u64,
    /// Its last log index.
    pub(crate) index: u64,
    /// Its newest revision.
    pub(crate) revision: i64,
}

impl Scene {
    /// Forms a cluster, takes one member away, and fills the others. Ours stage into `store`.
    pub(crate) fn start(flavor: Flavor, size: Size, store: Option<&str>, extra: &[&str]) -> Result<Self> {
        let quota = format!("--quota-backend-bytes={}", 8 * size.bytes().max(1 << 30));
        let mut cluster = Cluster::planned(flavor, 3, &[&[quota.as_str()][..], extra].concat())?;
        let mut admin = Vec::new();
        if flavor == Flavor::Quorate {
            // A member that is never started has ports to spare.
            let spare = cluster.joining("never-started", &[])?;
            let ports = &cluster.members[spare];
            admin = vec![ports.client.clone(), ports.peer.clone(), ports.metrics.clone()];
            cluster.members.truncate(spare);
            let folder = format!("dir:{}", cluster.folder().join("store").display());
            for (member, admin) in cluster.members.iter_mut().zip(&admin) {
                size.flags().into_iter().for_each(|flag| member.with_flag(flag));
                member.with_flag(format!("--listen-admin-urls=http://{admin}"));
                member.with_flag(format!("--backup-store={}", store.unwrap_or(&folder)));
                member.with_flag("--backup-interval=0");
            }
        }
        cluster.start_all()?;
        let away = (cluster.leader()? + 1) % 3;
        cluster.members[away].kill()?;
        let scene = Self { cluster, size, away, admin };
        fill(&scene.leader()?.client, 0..size.values(), VALUE_BYTES, 0)?;
        Ok(scene)
    }

    /// Writes one value in a hundred anew.
    pub(crate) fn change_one_percent(&self) -> Result<()> {
        fill(&self.leader()?.client, (0..self.size.values()).step_by(100), VALUE_BYTES, 1)
    }

    pub(crate) fn leader(&self) -> Result<&Member> {
        Ok(&self.cluster.members[self.cluster.leader()?])
    }

    /// Those that are there.
    pub(crate) fn there(&self) -> impl Iterator<Item = &Member> {
        self.cluster.members.iter().filter(|member| member.running())
    }

    /// Lets whoever stages take a snapshot now, and waits for it.
    pub(crate) fn stage(&self) -> Result<Staged> {
        let uploaded = |scene: &Self| -> Result<u64> {
            scene.there().map(|member| number(member, "quorate_backup_uploaded_bytes_total")).sum()
        };
        let (before, begun) = (uploaded(self)?, Instant::now());
        let at = &self.admin[self.cluster.leader()?];
        // Nobody stages before the leader has chosen who does.
        let wanted = eventually("member that stages", CUT_WITHIN, || post(at, "/v1/backups").ok())?;
        let wanted: admin_api::BackupWanted = serde_json::from_str(&wanted)?;
        let staged = eventually("staged snapshot", STAGED_WITHIN, || {
            let listed: admin_api::Backups = serde_json::from_str(&get(at, "/v1/backups").ok()?).ok()?;
            listed.backups.into_iter().find(|backup| backup.index >= wanted.index)
        })?;
        Ok(Staged {
            took: begun.elapsed(),
            bytes: staged.bytes,
            uploaded: uploaded(self)? - before,
            index: staged.index,
            revision: i64::try_from(staged.revision)?,
        })
    }

    /// Waits until the leader's log begins after what the member that is away has. Ours only: etcd does not say.
    pub(crate) fn wait_cut(&self) -> Result<()> {
        let leader = self.leader()?;
        let least = self.size.values() / 2;
        eventually(&format!("log that begins after entry {least}"), CUT_WITHIN, || {
            (number(leader, "quorate_first_index").ok()? > least).then_some(())
        })
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.cluster.folder().join("store")
    }
}

/// One number of a member's page; rows with labels are added up.
pub(crate) fn number(member: &Member, metric: &str) -> Result<u64> {
    let page = get(&member.metrics, "/metrics")?;
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        let fits = rest.starts_with(' ') || rest.starts_with('{') || metric.ends_with('}');
        rest.rsplit(' ').next().filter(|_| fits)?.parse::<f64>().ok()
    };
    Ok(page.lines().filter_map(value).sum::<f64>() as u64)
}

/// What a member has applied.
pub(crate) fn applied(member: &Member) -> Result<u64> {
    let status = block_on(async {
        Ok(patient(&member.client)?.maintenance.status(pb::StatusRequest::default()).await?.into_inner())
    });
    Ok(status?.raft_applied_index)
}

/// The id of a member as metrics print it.
pub(crate) fn id_of(asked: &Member, name: &str) -> Result<String> {
    let listed = block_on(async {
        Ok(patient(&asked.client)?.cluster.member_list(pb::MemberListRequest::default()).await?.into_inner())
    })?;
    let member = listed.members.iter().find(|member| member.name == name);
    Ok(format!("{:x}", member.with_context(|| format!("no member {name}"))?.id))
}

/// Refuses to begin what would not end for lack of room: three members with data and log, a store, a restored member.
pub(crate) fn ensure_room(size: Size) -> Result<()> {
    const TIMES: u64 = 12;
    let folder = std::env::temp_dir();
    let room = rustix::fs::statvfs(&folder).context("the room for temporary files")?;
    let (free, needed) = (room.f_bavail * room.f_frsize, TIMES * size.bytes() + (4 << 30));
    ensure!(free >= needed, "{} has {} MiB free, and this needs {}", folder.display(), free >> 20, needed >> 20);
    Ok(())
}
