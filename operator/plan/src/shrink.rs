//! The highest place is given up: its member is removed, then its volume goes, then its pod.
//!
//! The volume is deleted before the pod (it waits for the pod to go), and the next operation waits for both: a claim
//! that is still going would be taken up again by the next pod of that place.

use crate::{Action, Decision, Membership, Memory, Observed, Ordinal, Reason, ScaleIn, Wanted, join};

/// The next step. `None` when nothing of the place is left.
pub(crate) fn step(
    ordinal: Ordinal,
    wanted: &Wanted,
    memory: &mut Memory,
    seen: &Observed,
    membership: &Membership,
) -> Option<Decision> {
    if let Some((member, _)) = membership.at(ordinal) {
        return Some(join::remove(member, wanted, seen, membership));
    }
    let volume = seen.volumes.get(&ordinal).filter(|_| wanted.scale_in == ScaleIn::Delete);
    if let Some(volume) = volume.filter(|volume| !volume.terminating) {
        let config_index = Some(membership.config_index);
        return Some(Action::DeleteVolume { ordinal, uid: volume.uid.clone(), config_index }.into());
    }
    memory.places = memory.places.min(ordinal);
    let set = seen.set.as_ref()?;
    if set.replicas > ordinal {
        return Some(Action::SetReplicas { set: set.uid.clone(), from: set.replicas, to: ordinal }.into());
    }
    if seen.pods.contains_key(&ordinal) {
        return Some(Reason::Pod(ordinal).into());
    }
    volume.map(|_| Reason::Volume(ordinal).into())
}
