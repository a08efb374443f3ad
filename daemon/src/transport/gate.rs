//! Who may call: the one decision about strangers, as a function of what this member knows of its cluster.

use super::hello::{Hello, HelloReply, Introduction, KnownCluster, PROTOCOL_VERSION, Refusal};
use admin_api::Id;
use std::sync::{RwLock, RwLockReadGuard};

/// What this member tells and asks of whoever connects. Follows the membership as it changes.
#[derive(Debug)]
pub struct Gate {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    introduction: Introduction,
    boot: u64,
    /// The engine runs: lanes may be opened.
    open: bool,
}

impl Gate {
    /// A closed gate: it introduces this member and opens no lane yet.
    #[must_use]
    pub fn new(introduction: Introduction, boot: u64) -> Self {
        Self { state: RwLock::new(State { introduction, boot, open: false }) }
    }

    /// From now on lanes may be opened by members of this cluster.
    pub fn open(&self, member: Id, known: KnownCluster) {
        let mut state = self.state.write().expect("nothing panics while it holds the gate");
        state.introduction.member = Some(member);
        state.introduction.cluster = Some(known);
        state.open = true;
    }

    /// The membership has changed.
    pub fn follow(&self, known: KnownCluster) {
        self.state.write().expect("nothing panics while it holds the gate").introduction.cluster = Some(known);
    }

    /// Who this member is, for whoever asks.
    #[must_use]
    pub fn introduction(&self) -> Introduction {
        self.read().introduction.clone()
    }

    /// Whether the caller may open its lane.
    #[must_use]
    pub fn judge(&self, hello: &Hello) -> HelloReply {
        let state = self.read();
        match refusal(&state, hello) {
            Some(refusal) => HelloReply::Refused { refusal },
            None => HelloReply::Welcome { storage: state.introduction.storage, boot: state.boot },
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nothing panics while it holds the gate")
    }
}

fn refusal(state: &State, hello: &Hello) -> Option<Refusal> {
    if hello.version != PROTOCOL_VERSION {
        return Some(Refusal::Version);
    }
    let Some(known) = state.introduction.cluster.as_ref().filter(|_| state.open) else {
        return Some(Refusal::NotReady);
    };
    if hello.cluster != known.id {
        return Some(Refusal::OtherCluster);
    }
    if state.introduction.member != Some(hello.to) {
        return Some(Refusal::NotMe);
    }
    if known.removed.contains(&hello.from) {
        return Some(Refusal::Removed);
    }
    match known.members.get(&hello.from) {
        Some(info) if !info.takes(hello.storage) => Some(Refusal::DiskReplaced),
        Some(_) => None,
        // A member that was added while this one was away can only be heard of from itself. Its cluster id vouches
        // for it, and consensus decides what its messages are worth.
        None if hello.membership_at > known.membership_at => None,
        None => Some(Refusal::UnknownMember),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::{ClusterId, NodeInfo, StorageId};
    use crate::transport::hello::Lane;

    const MINE: StorageId = StorageId::from_bytes([1; 16]);
    const THEIRS: StorageId = StorageId::from_bytes([2; 16]);

    fn hello() -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster: ClusterId(9),
            from: Id(2),
            to: Id(1),
            storage: THEIRS,
            boot: 1,
            membership_at: 5,
            lane: Lane::Control,
            info: NodeInfo::default(),
        }
    }

    fn gate() -> Gate {
        let introduction = Introduction {
            version: PROTOCOL_VERSION,
            member: None,
            storage: MINE,
            info: NodeInfo::default(),
            token: "t".into(),
            cluster: None,
        };
        let bound = NodeInfo { storage: Some(THEIRS), ..NodeInfo::default() };
        let gate = Gate::new(introduction, 1);
        assert_eq!(refused(&gate, &hello()), Some(Refusal::NotReady));
        gate.open(
            Id(1),
            KnownCluster {
                id: ClusterId(9),
                membership_at: 5,
                members: [(Id(1), NodeInfo::default()), (Id(2), bound)].into(),
                removed: [Id(7)].into(),
            },
        );
        gate
    }

    fn refused(gate: &Gate, hello: &Hello) -> Option<Refusal> {
        match gate.judge(hello) {
            HelloReply::Welcome { .. } => None,
            HelloReply::Refused { refusal } => Some(refusal),
        }
    }

    #[test]
    fn a_member_with_the_disk_that_is_bound_to_it_is_welcome() {
        assert_eq!(gate().judge(&hello()), HelloReply::Welcome { storage: MINE, boot: 1 });
    }

    #[test]
    fn everybody_else_is_told_why_not() {
        let gate = gate();
        let cases = [
            (Hello { version: PROTOCOL_VERSION - 1, ..hello() }, Refusal::Version),
            (Hello { version: PROTOCOL_VERSION + 1, ..hello() }, Refusal::Version),
            (Hello { cluster: ClusterId(8), ..hello() }, Refusal::OtherCluster),
            (Hello { to: Id(3), ..hello() }, Refusal::NotMe),
            (Hello { from: Id(7), ..hello() }, Refusal::Removed),
            (Hello { storage: MINE, ..hello() }, Refusal::DiskReplaced),
            (Hello { from: Id(4), ..hello() }, Refusal::UnknownMember),
        ];
        for (hello, expected) in cases {
            assert_eq!(refused(&gate, &hello), Some(expected));
        }
    }

    #[test]
    fn a_member_that_knows_a_newer_configuration_is_heard() {
        assert_eq!(refused(&gate(), &Hello { from: Id(4), membership_at: 6, ..hello() }), None);
    }
}
