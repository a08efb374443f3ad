//! Volumes grow before anything asks about health: a full disk is a reason to act, not to wait.

use crate::{Action, Decision, Observed, Wanted};

/// The next volume that is too small.
pub(crate) fn grow(wanted: &Wanted, seen: &Observed) -> Option<Decision> {
    if seen.growth_refused {
        return None;
    }
    let small =
        |volume: &crate::Volume| volume.requested_bytes < wanted.storage_bytes && !volume.terminating && !volume.lost;
    let (ordinal, volume) = seen.volumes.iter().find(|(_, volume)| small(volume))?;
    Some(Action::GrowVolume { ordinal: *ordinal, uid: volume.uid.clone(), bytes: wanted.storage_bytes }.into())
}

/// The set's volume template cannot be changed in place. Its pods stay while it is made anew.
pub(crate) fn template(wanted: &Wanted, seen: &Observed) -> Option<Decision> {
    let set = seen.set.as_ref()?;
    (set.storage_bytes < wanted.storage_bytes && !set.terminating && !seen.growth_refused)
        .then(|| Action::OrphanSet { uid: set.uid.clone() }.into())
}
