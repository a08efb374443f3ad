//! What a status says of snapshots in object storage.

use crate::children::pod_name;
use crate::crd::{RaftClusterStatus, SnapshotStatus, SnapshotsStatus};
use crate::look::Look;
use admin_api::{Backup, Backups};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What the leader says; what was said before as long as none does.
pub(super) fn snapshots(look: &Look) -> Option<SnapshotsStatus> {
    look.cluster.spec.object_store.as_ref()?;
    let before = look.cluster.status.as_ref().and_then(|status: &RaftClusterStatus| status.snapshots.clone());
    let Some(backups) = &look.backups else { return before };
    let place = |id: admin_api::Id| {
        let all = look.said.statuses.iter();
        let found = all.into_iter().find(|(_, status)| status.identity.member_id == id)?;
        Some(pod_name(&look.names.cluster, *found.0))
    };
    let stager = backups.stager.and_then(place);
    Some(said(backups, stager, before.as_ref(), Timestamp::now()))
}

fn said(
    backups: &Backups,
    stager: Option<String>,
    before: Option<&SnapshotsStatus>,
    now: Timestamp,
) -> SnapshotsStatus {
    let kept: Vec<&Backup> = backups.backups.iter().filter(|backup| !backup.retired).collect();
    let before = before.and_then(|before| before.newest.as_ref());
    let newest = kept.last().map(|backup| match before {
        // Its time is reckoned once: the next reckoning would differ by a moment, and the status would never rest.
        Some(before) if before.id == backup.id => before.clone(),
        _ => SnapshotStatus {
            id: backup.id.clone(),
            index: backup.index,
            revision: backup.revision,
            bytes: backup.bytes,
            staged_at: staged_at(backup.age_seconds, now).map(Time),
        },
    });
    SnapshotsStatus { stager, kept: super::count(kept.len()), newest }
}

/// To the second: a status prints no more.
fn staged_at(age_seconds: f64, now: Timestamp) -> Option<Timestamp> {
    let age = SignedDuration::try_from_secs_f64(age_seconds).ok()?;
    Timestamp::from_second(now.checked_sub(age).ok()?.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(id: &str, age_seconds: f64, retired: bool) -> Backup {
        Backup { id: id.into(), index: 7, revision: 5, bytes: 9, age_seconds, retired }
    }

    #[test]
    fn the_newest_that_is_kept_is_told_and_its_time_stands() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().expect("a time");
        let mut backups =
            Backups { backups: vec![backup("a", 90.0, true), backup("b", 60.4, false)], ..Backups::default() };
        let first = said(&backups, Some("m-1".into()), None, now);
        assert_eq!((first.kept, first.stager.as_deref()), (1, Some("m-1")));
        let newest = first.newest.clone().expect("one is kept");
        assert_eq!((newest.id.as_str(), newest.index, newest.revision, newest.bytes), ("b", 7, 5, 9));
        assert_eq!(newest.staged_at, Some(Time("2026-01-01T00:58:59Z".parse().expect("a time"))));

        backups.backups[1].age_seconds = 91.7;
        let later = now + SignedDuration::from_secs(30);
        assert_eq!(said(&backups, Some("m-1".into()), Some(&first), later), first, "it rests");
        backups.backups.push(backup("c", 1.0, false));
        let next = said(&backups, None, Some(&first), later);
        assert_eq!((next.kept, next.newest.map(|newest| newest.id).as_deref()), (2, Some("c")));
        assert_eq!(said(&Backups::default(), None, Some(&first), later), SnapshotsStatus::default());
    }
}
