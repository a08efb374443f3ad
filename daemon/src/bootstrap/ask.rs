//! Asking the peers that the settings name: who are you, and may I be one of you?

use super::NodeInfo;
use crate::config::Address;
use crate::config::settings::BootstrapMember;
use crate::tls::ClientTls;
use crate::transport::frame::FrameKind;
use crate::transport::hello::{BindReply, Introduction};
use crate::transport::{ConnectError, Connection, FIRST_WORDS_TIMEOUT};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::debug;

/// How long a binding may take: the peer passes it to the leader, which changes the membership.
const BIND_TIMEOUT: Duration = Duration::from_secs(12);

/// Asks every one of `members` who it is; those that do not answer are left out.
pub(super) async fn introductions(
    members: &[BootstrapMember],
    mine: &Introduction,
    tls: Option<&ClientTls>,
) -> BTreeMap<String, Introduction> {
    let others = members.iter().filter(|member| member.name != mine.info.name);
    let asked = others.map(|member| async move { (member.name.clone(), introduction(member, mine, tls).await) });
    join_all(asked).await.into_iter().filter_map(|(name, answer)| Some((name, answer?))).collect()
}

async fn introduction(member: &BootstrapMember, mine: &Introduction, tls: Option<&ClientTls>) -> Option<Introduction> {
    for address in &member.peer_urls {
        match ask(address, mine, tls).await {
            Ok(answer) => return Some(answer),
            Err(error) => debug!(peer = member.name, %address, %error, "no introduction"),
        }
    }
    None
}

async fn ask(address: &Address, mine: &Introduction, tls: Option<&ClientTls>) -> Result<Introduction, ConnectError> {
    let mut connection = Connection::dial(address, tls).await?;
    connection.ask((FrameKind::Introduce, mine), FrameKind::Introduction, FIRST_WORDS_TIMEOUT).await
}

/// Asks the cluster, through the member at one of these addresses, to bind this disk.
pub(super) async fn bind(addresses: &[Address], info: &NodeInfo, tls: Option<&ClientTls>) -> BindReply {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        let asked = async {
            let mut connection = Connection::dial(address, tls).await?;
            connection.ask((FrameKind::Bind, info), FrameKind::BindReply, BIND_TIMEOUT).await
        };
        match asked.await {
            Ok(reply) => return reply,
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    BindReply::Later { why }
}
