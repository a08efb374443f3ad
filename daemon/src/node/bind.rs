//! A process that wants to be the member that was added with its peer URLs: what it hears, or what the cluster decides.
//!
//! This member's configuration may be older than the leader's. It may not know yet that another disk has become that
//! member, and two disks under one id would vote twice. So the change holds for the configuration it was judged by, and
//! the leader refuses it in any other.

use super::shared::Configured;
use crate::bootstrap::NodeInfo;
use crate::transport::Call;
use crate::transport::hello::BindReply;
use admin_api::Id;
use raft::planted::{Bug, is_planted};
use raft::{Change, MemberId};

/// What follows from the wish.
#[derive(Debug)]
pub(super) enum Binding {
    /// This, about this member, or about none.
    Said(MemberId, BindReply),
    /// The cluster decides whether it becomes this member.
    Asked(MemberId, Call),
}

/// Judges by this configuration what `info` may be.
pub(super) fn bind(configured: &Configured, info: &NodeInfo) -> Binding {
    let place = configured.members.iter().find(|(_, (there, _))| there.is_at(&info.peer_urls));
    match place {
        None => {
            let why = "no member with these peer URLs has been added".into();
            Binding::Said(MemberId::NONE, BindReply::Later { why })
        }
        Some((id, (there, _))) if there.storage.is_none() => {
            let info = NodeInfo { becomes_voter: there.becomes_voter, ..info.clone() };
            let changes = vec![Change::Update(*id, info.encode())];
            let expected = (!is_planted(Bug::BindUnexpected)).then_some(configured.at);
            Binding::Asked(*id, Call::ChangeMembership { expected, changes })
        }
        // It may be taken back, and the member be bound to another disk then.
        Some((id, _)) if !configured.committed && !is_planted(Bug::BoundUncommitted) => {
            let why = format!("what becomes of member {id} is not committed");
            Binding::Said(*id, BindReply::Later { why })
        }
        Some((id, (there, _))) if info.storage.is_some_and(|disk| there.takes(disk)) => {
            Binding::Said(*id, BindReply::Bound { member: Id(id.0) })
        }
        Some((id, _)) => Binding::Said(*id, BindReply::Never { why: format!("member {id} is bound to another disk") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::StorageId;
    use raft::Index;
    use std::collections::BTreeMap;

    const URL: &str = "http://127.0.0.1:2380";
    const MEMBER: MemberId = MemberId(4);
    const AT: Index = Index(100);

    fn disk(byte: u8) -> StorageId {
        StorageId::from_bytes([byte; 16])
    }

    fn info(storage: Option<StorageId>) -> NodeInfo {
        NodeInfo { name: "m4".into(), peer_urls: vec![URL.into()], storage, ..NodeInfo::default() }
    }

    /// What a process with the first disk hears where the member is bound to this one.
    fn bound_to(storage: Option<StorageId>) -> Binding {
        let members = BTreeMap::from([(MEMBER, (info(storage), true))]);
        bind(&Configured { at: AT, committed: true, members, ..Configured::default() }, &info(Some(disk(1))))
    }

    #[test]
    fn a_disk_becomes_a_member_only_in_the_configuration_that_has_none_for_it() {
        let Binding::Asked(member, Call::ChangeMembership { expected, changes }) = bound_to(None) else {
            panic!("the cluster decides")
        };
        assert_eq!((member, expected), (MEMBER, Some(AT)), "a leader whose configuration is another one refuses");
        assert_eq!(changes, [Change::Update(MEMBER, info(Some(disk(1))).encode())]);
    }

    #[test]
    fn the_disk_of_a_member_is_told_so_and_another_one_never_becomes_it() {
        let said = |storage| match bound_to(storage) {
            Binding::Said(member, reply) => (member, reply),
            Binding::Asked(..) => panic!("this member knows"),
        };
        assert_eq!(said(Some(disk(1))), (MEMBER, BindReply::Bound { member: Id(MEMBER.0) }));
        let (member, reply) = said(Some(disk(2)));
        assert_eq!(member, MEMBER);
        assert!(matches!(reply, BindReply::Never { .. }), "{reply:?}");
    }

    #[test]
    fn nobody_is_told_of_a_binding_that_may_be_taken_back() {
        let members = BTreeMap::from([(MEMBER, (info(Some(disk(1))), true))]);
        let configured = Configured { at: AT, committed: false, members, ..Configured::default() };
        for asks in [disk(1), disk(2)] {
            let said = bind(&configured, &info(Some(asks)));
            assert!(matches!(said, Binding::Said(MEMBER, BindReply::Later { .. })), "{said:?}");
        }
    }

    #[test]
    fn a_process_that_nobody_has_added_yet_may_ask_again() {
        let Binding::Said(MemberId::NONE, BindReply::Later { .. }) = bind(&Configured::default(), &info(None)) else {
            panic!("there is no such member")
        };
    }
}
