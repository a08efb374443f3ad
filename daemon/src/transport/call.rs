//! Requests about the cluster, on their way to the leader, and its answers.
//!
//! ```text
//!   call:    id u64 │ tag u8 │ change: expected flag, u64 │ repeated { tag u8 │ member u64 │ len u32 │ info [len] }
//!                            │ transfer: to u64, 0 for the leader's choice
//!   reply:   id u64 │ tag u8 │ two numbers u64, whose meaning the tag gives
//! ```

use super::wire::{Fields, WireError};
use bytes::{BufMut, Bytes, BytesMut};
use raft::{Change, Index, MemberId, MembershipError, TransferError};

/// What the leader is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Change who is a member.
    ChangeMembership {
        /// The configuration the caller has seen.
        expected: Option<Index>,
        /// All in one step.
        changes: Vec<Change>,
    },
    /// Hand leadership over.
    TransferLeader {
        /// To whom; the leader chooses when nobody is named.
        to: Option<MemberId>,
    },
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallReply {
    /// The index of the committed configuration, or why there is none.
    Membership(Result<Index, MembershipError>),
    /// The member that leads now, or why leadership was not handed over.
    Transfer(Result<MemberId, TransferError>),
}

/// Appends a call under its number.
pub fn put_call(out: &mut BytesMut, id: u64, call: &Call) {
    out.put_u64_le(id);
    match call {
        Call::ChangeMembership { expected, changes } => {
            out.put_u8(1);
            out.put_u8(expected.is_some().into());
            out.put_u64_le(expected.unwrap_or_default().0);
            changes.iter().for_each(|change| put_change(out, change));
        }
        Call::TransferLeader { to } => {
            out.put_u8(2);
            out.put_u64_le(to.unwrap_or_default().0);
        }
    }
}

/// Reads a call and its number.
///
/// # Errors
/// [`WireError`] when the head does not hold exactly one call.
pub fn take_call(head: Bytes) -> Result<(u64, Call), WireError> {
    let mut fields = Fields(head);
    let id = fields.u64()?;
    let call = match fields.u8()? {
        1 => {
            let (some, expected) = (fields.flag()?, fields.index()?);
            let mut changes = Vec::new();
            while !fields.0.is_empty() {
                changes.push(take_change(&mut fields)?);
            }
            Call::ChangeMembership { expected: some.then_some(expected), changes }
        }
        2 => Call::TransferLeader { to: member(fields.u64()?) },
        unknown => return Err(WireError::Unknown(unknown)),
    };
    fields.end()?;
    Ok((id, call))
}

/// Appends the answer to the call of this number.
pub fn put_reply(out: &mut BytesMut, id: u64, reply: &CallReply) {
    let (tag, a, b) = match reply {
        CallReply::Membership(Ok(at)) => (1, at.0, 0),
        CallReply::Membership(Err(error)) => membership_numbers(error),
        CallReply::Transfer(Ok(leader)) => (32, leader.0, 0),
        CallReply::Transfer(Err(error)) => transfer_numbers(*error),
    };
    out.put_u64_le(id);
    out.put_u8(tag);
    out.put_u64_le(a);
    out.put_u64_le(b);
}

/// Reads an answer and the number of its call.
///
/// # Errors
/// [`WireError`] when the head does not hold exactly one answer.
pub fn take_reply(head: Bytes) -> Result<(u64, CallReply), WireError> {
    let mut fields = Fields(head);
    let (id, tag, a, b) = (fields.u64()?, fields.u8()?, fields.u64()?, fields.u64()?);
    fields.end()?;
    let reply = match tag {
        1 => CallReply::Membership(Ok(Index(a))),
        32 => CallReply::Transfer(Ok(MemberId(a))),
        2..32 => CallReply::Membership(Err(membership_error(tag, a, b)?)),
        _ => CallReply::Transfer(Err(transfer_error(tag, a)?)),
    };
    Ok((id, reply))
}

fn put_change(out: &mut BytesMut, change: &Change) {
    let nothing = Bytes::new();
    let (tag, id, info) = match change {
        Change::AddLearner(id, info) => (1, id, info),
        Change::AddVoter(id, info) => (2, id, info),
        Change::Promote(id) => (3, id, &nothing),
        Change::Remove(id) => (4, id, &nothing),
        Change::Update(id, info) => (5, id, info),
    };
    out.put_u8(tag);
    out.put_u64_le(id.0);
    out.put_u32_le(u32::try_from(info.len()).expect("a member's description is a few hundred bytes"));
    out.put_slice(info);
}

fn take_change(fields: &mut Fields) -> Result<Change, WireError> {
    let (tag, id, len) = (fields.u8()?, MemberId(fields.u64()?), fields.u32()? as usize);
    if fields.0.len() < len {
        return Err(WireError::Short);
    }
    // A copy: descriptions are kept for good, and must not keep the frame they came in.
    let info = Bytes::copy_from_slice(&fields.0.split_to(len));
    match tag {
        1 => Ok(Change::AddLearner(id, info)),
        2 => Ok(Change::AddVoter(id, info)),
        3 => Ok(Change::Promote(id)),
        4 => Ok(Change::Remove(id)),
        5 => Ok(Change::Update(id, info)),
        unknown => Err(WireError::Unknown(unknown)),
    }
}

fn member(id: u64) -> Option<MemberId> {
    Some(MemberId(id)).filter(|id| *id != MemberId::NONE)
}

fn membership_numbers(error: &MembershipError) -> (u8, u64, u64) {
    match error {
        MembershipError::NotLeader { leader } => (2, leader.unwrap_or_default().0, 0),
        MembershipError::InProgress { at } => (3, at.0, 0),
        MembershipError::Outdated { expected, actual } => (4, expected.0, actual.0),
        MembershipError::Transferring => (5, 0, 0),
        MembershipError::TooEarly => (6, 0, 0),
        MembershipError::Unknown(id) => (7, id.0, 0),
        MembershipError::Exists(id) => (8, id.0, 0),
        MembershipError::Tombstoned(id) => (9, id.0, 0),
        MembershipError::NotLearner(id) => (10, id.0, 0),
        MembershipError::Lagging { member, lag_entries } => (11, member.0, *lag_entries),
        MembershipError::NoVoters => (12, 0, 0),
        MembershipError::Lost => (13, 0, 0),
    }
}

fn membership_error(tag: u8, a: u64, b: u64) -> Result<MembershipError, WireError> {
    Ok(match tag {
        2 => MembershipError::NotLeader { leader: member(a) },
        3 => MembershipError::InProgress { at: Index(a) },
        4 => MembershipError::Outdated { expected: Index(a), actual: Index(b) },
        5 => MembershipError::Transferring,
        6 => MembershipError::TooEarly,
        7 => MembershipError::Unknown(MemberId(a)),
        8 => MembershipError::Exists(MemberId(a)),
        9 => MembershipError::Tombstoned(MemberId(a)),
        10 => MembershipError::NotLearner(MemberId(a)),
        11 => MembershipError::Lagging { member: MemberId(a), lag_entries: b },
        12 => MembershipError::NoVoters,
        13 => MembershipError::Lost,
        unknown => return Err(WireError::Unknown(unknown)),
    })
}

fn transfer_numbers(error: TransferError) -> (u8, u64, u64) {
    match error {
        TransferError::NotLeader { leader } => (33, leader.unwrap_or_default().0, 0),
        TransferError::NotVoter(id) => (34, id.0, 0),
        TransferError::NoTarget => (35, 0, 0),
        TransferError::InProgress => (36, 0, 0),
        TransferError::TimedOut => (37, 0, 0),
    }
}

fn transfer_error(tag: u8, a: u64) -> Result<TransferError, WireError> {
    Ok(match tag {
        33 => TransferError::NotLeader { leader: member(a) },
        34 => TransferError::NotVoter(MemberId(a)),
        35 => TransferError::NoTarget,
        36 => TransferError::InProgress,
        37 => TransferError::TimedOut,
        unknown => return Err(WireError::Unknown(unknown)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_survive_the_wire() {
        let info = Bytes::from_static(b"info");
        let changes = vec![
            Change::AddLearner(MemberId(1), info.clone()),
            Change::AddVoter(MemberId(2), info.clone()),
            Change::Promote(MemberId(3)),
            Change::Remove(MemberId(4)),
            Change::Update(MemberId(5), info),
        ];
        for call in [
            Call::ChangeMembership { expected: Some(Index(7)), changes },
            Call::ChangeMembership { expected: None, changes: Vec::new() },
            Call::TransferLeader { to: Some(MemberId(3)) },
            Call::TransferLeader { to: None },
        ] {
            let mut out = BytesMut::new();
            put_call(&mut out, 9, &call);
            assert_eq!(take_call(out.freeze()), Ok((9, call)));
        }
    }

    #[test]
    fn every_reply_that_can_be_read_writes_the_same_bytes() {
        let mut known = 0;
        for tag in 0..=u8::MAX {
            let mut bytes = BytesMut::new();
            bytes.put_u64_le(9);
            bytes.put_u8(tag);
            bytes.put_u64_le(5);
            bytes.put_u64_le(6);
            if let Ok((id, reply)) = take_reply(bytes.freeze()) {
                let mut out = BytesMut::new();
                put_reply(&mut out, id, &reply);
                assert_eq!(take_reply(out.freeze()), Ok((id, reply)));
                known += 1;
            }
        }
        assert_eq!(known, 19);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = take_call(bytes.clone());
            let _ = take_reply(bytes);
        }
    }
}
