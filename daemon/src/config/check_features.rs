//! `--feature-gates=Name=true,Name=false`.

use super::problem::Problem;
use super::raw::Raw;

const NAME: &str = "feature-gates";

/// The gates that change something here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) initial_corrupt_check: bool,
    pub(super) compact_hash_check: bool,
}

/// etcd's gates without a switch here, because they are always so: a lease's remaining time is replicated, nothing
/// stops for a defragmentation, and so on.
const WITHOUT_MEANING: &[&str] = &[
    "AllAlpha",
    "AllBeta",
    "FastLeaseKeepAlive",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "PriorityRequest",
    "SetMemberLocalAddr",
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
];

/// # Errors
/// An unknown gate, or a value that is neither true nor false.
pub(super) fn features(raw: &Raw) -> Result<Features, Problem> {
    let mut features = Features::default();
    for gate in raw.list(NAME) {
        let (name, value) = gate.split_once('=').unwrap_or((&gate, ""));
        let on = match value {
            "true" => true,
            "false" => false,
            _ => return Err(raw.refuse(NAME, format!("must be Name=true or Name=false; {gate:?} is neither"))),
        };
        match name {
            "InitialCorruptCheck" => features.initial_corrupt_check = on,
            "CompactHashCheck" => features.compact_hash_check = on,
            known if WITHOUT_MEANING.contains(&known) => {}
            unknown => {
                let known = format!("CompactHashCheck, InitialCorruptCheck, {}", WITHOUT_MEANING.join(", "));
                return Err(
                    raw.refuse(NAME, format!("holds the unrecognized feature gate {unknown:?}; known are {known}"))
                );
            }
        }
    }
    Ok(features)
}
