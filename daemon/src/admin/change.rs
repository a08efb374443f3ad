//! Changes of membership, from the words of the endpoint to the engine's.

use super::problem::Refusal;
use crate::bootstrap::NodeInfo;
use crate::config::Address;
use crate::node::MembersView;
use admin_api::Change as Asked;
use raft::{Change, MemberId};

/// What is asked, as one step of the engine. A learner that is there already, just so, is not added again: the call
/// may be repeated.
///
/// # Errors
/// [`Refusal`] if nothing is asked for, or something that cannot be.
pub fn changes(asked: Vec<Asked>, members: &MembersView) -> Result<Vec<Change>, Refusal> {
    if asked.is_empty() {
        return Err(Refusal::not_understood("no change is asked for"));
    }
    asked.into_iter().map(|change| one(change, members)).collect()
}

fn one(change: Asked, members: &MembersView) -> Result<Change, Refusal> {
    match change {
        Asked::AddLearner { id, name, peer_urls } => {
            if id.0 == 0 {
                return Err(Refusal::not_understood("0 names nobody"));
            }
            if peer_urls.is_empty() {
                return Err(Refusal::not_understood("a member needs a peer URL"));
            }
            for url in &peer_urls {
                url.parse::<Address>().map_err(|error| Refusal::not_understood(format!("{url} {error}")))?;
            }
            if let Some(taken) = members.members.iter().find(|member| member.info.is_at(&peer_urls)) {
                let message = format!("member {} has these peer URLs", admin_api::Id(taken.id.0));
                return Err(Refusal::not_understood(message));
            }
            let info = NodeInfo { name, peer_urls, ..NodeInfo::default() };
            if !info.fits() {
                return Err(Refusal::not_understood("the name and the peer URLs are longer than a description may be"));
            }
            Ok(Change::AddLearner(MemberId(id.0), info.encode()))
        }
        Asked::Promote { id } => Ok(Change::Promote(MemberId(id.0))),
        Asked::Remove { id } => Ok(Change::Remove(MemberId(id.0))),
    }
}
