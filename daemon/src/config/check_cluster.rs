//! Who forms the cluster.

use super::address::Address;
use super::problem::Problem;
use super::raw::Raw;
use super::settings::{Advertise, Bootstrap, BootstrapMember, ClusterState};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

const NAME: &str = "initial-cluster";

/// # Errors
/// The list does not read, or names a URL twice.
pub(super) fn bootstrap(raw: &Raw, name: &str, advertise: &Advertise) -> Result<Bootstrap, Problem> {
    let state = if raw.text("initial-cluster-state") == "new" { ClusterState::New } else { ClusterState::Existing };
    let members = if raw.has(NAME) {
        parse(raw)?
    } else {
        vec![BootstrapMember { name: name.to_owned(), peer_urls: advertise.peer.clone() }]
    };
    Ok(Bootstrap {
        members,
        state,
        token: raw.text("initial-cluster-token"),
        force_new_cluster: raw.bool("force-new-cluster"),
    })
}

/// `name=url,name=url`; a name again adds a URL to its member.
fn parse(raw: &Raw) -> Result<Vec<BootstrapMember>, Problem> {
    let mut members: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for part in raw.text(NAME).split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, url) = part
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| raw.refuse(NAME, format!("must be name=url,name=url; {part:?} is not name=url")))?;
        let url: Address = url.parse().map_err(|error| raw.refuse(NAME, format!("holds {url:?}, which {error}")))?;
        if !seen.insert(url.clone()) {
            return Err(raw.refuse(NAME, format!("has duplicated url {url}: every member needs its own")));
        }
        members.entry(name.to_owned()).or_default().push(url);
    }
    Ok(members.into_iter().map(|(name, peer_urls)| BootstrapMember { name, peer_urls }).collect())
}

/// # Errors
/// This member is not among them as it advertises itself, or schemes are mixed.
pub(super) fn can_be_formed(
    raw: &Raw,
    bootstrap: &Bootstrap,
    name: &str,
    advertise: &Advertise,
    tls: bool,
) -> Result<(), Problem> {
    holds_this_member(raw, bootstrap, name, advertise)?;
    one_peer_scheme(raw, bootstrap, tls)
}

fn holds_this_member(raw: &Raw, bootstrap: &Bootstrap, name: &str, advertise: &Advertise) -> Result<(), Problem> {
    let Bootstrap { members, state, .. } = bootstrap;
    let Some(own) = members.iter().find(|member| member.name == name) else {
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(raw.refuse(NAME, format!("must hold this member, --name {name:?}; it holds {}", names.join(", "))));
    };
    // Who joins has been announced by whoever added it; the cluster knows its URLs already.
    if *state == ClusterState::New && places(&own.peer_urls) != places(&advertise.peer) {
        return Err(Problem::Together(format!(
            "--initial-cluster has {name}={} but --initial-advertise-peer-urls is {}: they must be the same",
            joined(&own.peer_urls),
            joined(&advertise.peer)
        )));
    }
    Ok(())
}

/// URLs as places: `localhost` and 127.0.0.1 are one.
fn places(urls: &[Address]) -> BTreeSet<Address> {
    let local = Ipv4Addr::LOCALHOST.to_string();
    let place = |url: &Address| match url {
        Address::Tcp { tls, host, port } if host == "localhost" => {
            Address::Tcp { tls: *tls, host: local.clone(), port: *port }
        }
        other => other.clone(),
    };
    urls.iter().map(place).collect()
}

fn joined(urls: &[Address]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Members either all speak TLS to each other or none does.
fn one_peer_scheme(raw: &Raw, bootstrap: &Bootstrap, tls: bool) -> Result<(), Problem> {
    let urls = || bootstrap.members.iter().flat_map(|member| &member.peer_urls);
    let Some(odd) = urls().find(|url| url.tls() != tls) else { return Ok(()) };
    if urls().any(|url| url.tls() == tls) {
        return Err(raw.refuse(NAME, "mixes http and https: members all speak TLS to each other, or none does"));
    }
    Err(Problem::Together(format!(
        "--initial-cluster names {odd}, but --listen-peer-urls is {} TLS: members all speak TLS to each other, or none does",
        if tls { "with" } else { "without" }
    )))
}
