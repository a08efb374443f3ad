//! Forming: the only time when empty disks may make a cluster. It ends for good when a leader has been seen.

use crate::{Decision, Memory, Observed, Reason, Wanted};

/// What the set's size is before anything is known: the wish, or what is there already.
pub(crate) fn first_size(wanted: &Wanted, memory: &mut Memory, seen: &Observed) {
    if memory.replicas.is_none() {
        memory.replicas = Some(wanted.replicas);
        memory.places = seen.set.as_ref().map_or(wanted.replicas, |set| set.replicas.max(wanted.replicas));
    }
}

/// Waits for the first leader. What it leads is the cluster, even if it is an older one whose volumes were kept.
pub(crate) fn step(memory: &mut Memory, seen: &Observed) -> Decision {
    if let Some(membership) = &seen.membership {
        memory.cluster = Some(membership.cluster);
    }
    Reason::Forming.into()
}
