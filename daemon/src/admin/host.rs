//! Whether a request that comes from this machine means this machine.
//!
//! A name that somebody else owns can be made to lead here while a page of theirs is open ("DNS rebinding"): to the
//! browser all of this member is then theirs to read. Such a request names their host. Whoever really means a member on
//! the machine itself calls it by an address, or by a name without a dot, as `localhost` is and the machine's own mostly
//! is: nobody owns one of these. Requests from elsewhere have come by a name of the
//! cluster's network, which is for its operators to guard.

use http::Request;
use http::header::HOST;
use http::uri::Authority;
use std::net::IpAddr;

/// Whether a request from there may be answered, for all its host says.
pub(super) fn means_this_member<B>(request: &Request<B>, from: IpAddr) -> bool {
    !from.to_canonical().is_loopback() || named(request).is_none_or(|host| is_of_this_machine(&host))
}

/// The host that a request names; none in the oldest HTTP, which no browser speaks. One that cannot be read is empty.
fn named<B>(request: &Request<B>) -> Option<String> {
    if let Some(host) = request.uri().host() {
        return Some(host.to_owned());
    }
    let host = request.headers().get(HOST)?;
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    Some(authority.map(|authority| authority.host().to_owned()).unwrap_or_default())
}

fn is_of_this_machine(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_owned_by_nobody = !host.is_empty() && !host.contains(['.', ':']);
    is_owned_by_nobody || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn of(host: Option<&str>) -> Request<()> {
        let request = Request::get("/v1/snapshot");
        host.map_or(request, |host| Request::get("/v1/snapshot").header(HOST, host)).body(()).expect("a request")
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_request_from_this_machine_names_it_by_address_or_by_a_name_that_nobody_owns() {
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for from in [HERE, IpAddr::V6(Ipv6Addr::LOCALHOST), mapped] {
            for host in ["localhost:2381", "LocalHost", "my-machine:2381", "127.0.0.1:2381", "10.1.2.3", "[::1]:2381"] {
                assert!(means_this_member(&of(Some(host)), from), "{host} from {from}");
            }
            for host in
                ["evil.example:2381", "evil.example", "localhost.evil.example", "", "a b", "127.0.0.1.evil.example"]
            {
                assert!(!means_this_member(&of(Some(host)), from), "{host} from {from}");
            }
            assert!(means_this_member(&of(None), from));
        }
    }

    #[test]
    fn over_http2_the_target_names_the_host() {
        let request = |url: &str| Request::get(url).body(()).expect("a request");
        assert!(means_this_member(&request("http://127.0.0.1:2381/v1/snapshot"), HERE));
        assert!(!means_this_member(&request("http://evil.example:2381/v1/snapshot"), HERE));
    }

    #[test]
    fn a_request_from_elsewhere_may_name_a_member_as_the_network_does() {
        assert!(means_this_member(&of(Some("example-0.example.svc:2381")), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))));
    }
}
