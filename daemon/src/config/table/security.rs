//! Certificates, and users.

use super::{U32_FROM_1, flag, number};
use crate::config::flag::{Flag, Group, Kind};
use Group::{Auth, Security};
use Kind::{Bool, Choice, List, Text};

const TLS_VERSIONS: Kind = Choice(&["TLS1.2", "TLS1.3"]);
const NO_AUTH: &str = "there are no users: access is controlled by client certificates";

pub(super) const FLAGS: &[Flag] = &[
    flag(Security, "cert-file", Text, "", "Path to the client server TLS cert file."),
    flag(Security, "key-file", Text, "", "Path to the client server TLS key file."),
    flag(
        Security,
        "client-cert-auth",
        Bool,
        "false",
        "Enable client cert authentication. A trusted CA file alone enables it too.",
    ),
    flag(Security, "client-cert-file", Text, "", "Path to a TLS cert file for our own client calls.")
        .accepted("there are none to our own client port"),
    flag(Security, "client-key-file", Text, "", "Path to a TLS key file for our own client calls.")
        .accepted("there are none to our own client port"),
    flag(Security, "client-crl-file", Text, "", "Path to the client certificate revocation list file."),
    flag(Security, "client-cert-allowed-cn", List, "", "Comma-separated list of CNs for client cert authentication."),
    flag(
        Security,
        "client-cert-allowed-hostname",
        List,
        "",
        "Comma-separated list of SAN hostnames for client cert authentication.",
    ),
    flag(Security, "trusted-ca-file", Text, "", "Path to the client server TLS trusted CA cert file."),
    flag(Security, "auto-tls", Bool, "false", "Client TLS using generated certificates."),
    flag(Security, "peer-cert-file", Text, "", "Path to the peer server TLS cert file."),
    flag(Security, "peer-key-file", Text, "", "Path to the peer server TLS key file."),
    flag(
        Security,
        "peer-client-cert-auth",
        Bool,
        "false",
        "Enable peer client cert authentication. A trusted CA file alone enables it too.",
    ),
    flag(
        Security,
        "peer-client-cert-file",
        Text,
        "",
        "Path to the TLS cert file for calls to peers; otherwise the peer cert file.",
    ),
    flag(
        Security,
        "peer-client-key-file",
        Text,
        "",
        "Path to the TLS key file for calls to peers; otherwise the peer key file.",
    ),
    flag(Security, "peer-trusted-ca-file", Text, "", "Path to the peer server TLS trusted CA file."),
    flag(
        Security,
        "peer-cert-allowed-cn",
        List,
        "",
        "Comma-separated list of allowed CNs for inter-peer TLS authentication.",
    ),
    flag(
        Security,
        "peer-cert-allowed-hostname",
        List,
        "",
        "Comma-separated list of allowed SAN hostnames for inter-peer TLS authentication.",
    ),
    flag(
        Security,
        "peer-auto-tls",
        Bool,
        "false",
        "Peer TLS using self-generated certificates: encrypted, and nobody is verified.",
    ),
    flag(Security, "peer-crl-file", Text, "", "Path to the peer certificate revocation list file."),
    flag(Security, "peer-skip-client-san-verification", Bool, "false", "Skip comparing a peer's SAN with its address.")
        .accepted("they are never compared: authority, CN and host name decide"),
    flag(
        Security,
        "self-signed-cert-validity",
        number(1, 100),
        "1",
        "The validity of generated certificates, in years.",
    ),
    flag(
        Security,
        "cipher-suites",
        List,
        "",
        "Comma-separated list of supported TLS 1.2 cipher suites (empty is every safe one).",
    ),
    flag(Security, "tls-min-version", TLS_VERSIONS, "TLS1.2", "Minimum TLS version supported: TLS1.2, TLS1.3."),
    flag(
        Security,
        "tls-max-version",
        Choice(&["", "TLS1.2", "TLS1.3"]),
        "",
        "Maximum TLS version supported: TLS1.2, TLS1.3 (empty is the newest).",
    ),
    flag(Security, "cors", List, "*", "Comma-separated white list of origins for CORS (empty or * means allow all).")
        .accepted("no page of another origin is allowed to read an answer"),
    flag(
        Security,
        "host-whitelist",
        List,
        "*",
        "Acceptable hostnames from HTTP client requests, if server is not secure (empty or * means allow all).",
    ),
    flag(Auth, "auth-token", Text, "simple", "Type of auth tokens: simple.").accepted(NO_AUTH),
    flag(Auth, "auth-token-ttl", U32_FROM_1, "300", "Time (in seconds) an auth token lives after its last use.")
        .accepted(NO_AUTH),
    flag(Auth, "bcrypt-cost", number(4, 31), "10", "Cost of the bcrypt hash of passwords, 4 to 31.").accepted(NO_AUTH),
];
