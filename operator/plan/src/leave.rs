//! Going to sleep, and going for good.

use crate::{Action, Decision, Memory, Observed, Reason, Wanted};

/// A deleted cluster: its volumes go if that was asked for. Everything else is owned, and goes with it. Nothing waits
/// for a quorum or a pod.
pub(crate) fn delete(wanted: &Wanted, seen: &Observed) -> Decision {
    let mut volumes = seen.volumes.iter().filter(|(_, volume)| !volume.terminating);
    match volumes.next() {
        Some((ordinal, volume)) if wanted.delete_volumes => {
            Action::DeleteVolume { ordinal: *ordinal, uid: volume.uid.clone(), config_index: None }.into()
        }
        _ => Action::Release.into(),
    }
}

/// Takes the pods away or brings them back. `None` when there is neither to do.
pub(crate) fn hibernate(wanted: &Wanted, memory: &mut Memory, seen: &Observed) -> Option<Decision> {
    if !wanted.hibernated {
        memory.hibernated = false;
        return None;
    }
    // What was begun is finished first, as long as that is possible at all.
    if !memory.hibernated && memory.operation.is_some() && seen.membership.is_some() {
        return None;
    }
    memory.hibernated = true;
    let set = seen.set.as_ref()?;
    Some(match set.replicas {
        0 => Reason::Hibernated.into(),
        from => Action::SetReplicas { set: set.uid.clone(), from, to: 0 }.into(),
    })
}
