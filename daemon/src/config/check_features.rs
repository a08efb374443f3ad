//! `--feature-gates=Name=true,Name=false`: etcd's gates are known by name, and none switches anything here.

use super::problem::Problem;
use super::raw::Raw;
use super::table::NOT_COMPARED;

const NAME: &str = "feature-gates";

const NO_GATES: &str = "no gate switches anything";
const NO_LEASES: &str = "leases are not served";

/// etcd's gates, each with the reason why it does no harm to accept it.
const GATES: &[(&str, &str)] = &[
    ("AllAlpha", NO_GATES),
    ("AllBeta", NO_GATES),
    ("CompactHashCheck", NOT_COMPARED),
    ("FastLeaseKeepAlive", NO_LEASES),
    ("InitialCorruptCheck", NOT_COMPARED),
    ("LeaseCheckpoint", NO_LEASES),
    ("LeaseCheckpointPersist", NO_LEASES),
    ("PriorityRequest", "requests of members wait in no queue of clients"),
    ("SetMemberLocalAddr", "calls to peers leave from the address that the system picks"),
    ("StopGRPCServiceOnDefrag", "nothing stops for a defragmentation"),
    ("TxnModeWriteWithSharedBuffer", "no transaction copies the store's buffer"),
];

/// The gates that were written, with their reasons.
///
/// # Errors
/// An unknown gate, or a value that is neither true nor false.
pub(super) fn gates(raw: &Raw) -> Result<Vec<String>, Problem> {
    raw.list(NAME).iter().map(|written| gate(raw, written)).collect()
}

fn gate(raw: &Raw, written: &str) -> Result<String, Problem> {
    let name = written
        .strip_suffix("=true")
        .or_else(|| written.strip_suffix("=false"))
        .ok_or_else(|| raw.refuse(NAME, format!("must be Name=true or Name=false; {written:?} is neither")))?;
    match GATES.iter().find(|(known, _)| *known == name) {
        Some((known, why)) => Ok(format!("{known} ({why})")),
        None => {
            let known: Vec<_> = GATES.iter().map(|(known, _)| *known).collect();
            let known = known.join(", ");
            Err(raw.refuse(NAME, format!("holds the unrecognized feature gate {name:?}; known are {known}")))
        }
    }
}
