//! A stock client's view: the generated gRPC stubs, bound to one member so that a test knows whom it asks.

use anyhow::{Context, Result};
use pb::{cluster_client::ClusterClient, kv_client::KvClient, maintenance_client::MaintenanceClient};
use quorate::etcd::proto::etcdserverpb as pb;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// No request of a load waits longer: after this its outcome counts as unknown.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// The largest answer a test asks for.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection that is silent for this long is asked for a word, and made anew without one: the path may be gone. Members
/// take a shorter interval for an attack.
const PING: Duration = Duration::from_secs(6);

/// Where a member is, and how it is trusted.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `host:port`.
    pub address: String,
    /// None is plain HTTP/2.
    pub tls: Option<Trust>,
}

/// What a client shows, and whom it believes.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The authority of the members' certificates, in PEM.
    pub authority: String,
    /// The client's certificate, in PEM.
    pub certificate: String,
    /// Its key, in PEM.
    pub key: String,
    /// The name that the members' certificates are for, whatever the address is.
    pub name: String,
}

impl Dial {
    /// Plain HTTP/2.
    #[must_use]
    pub fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), tls: None }
    }

    fn endpoint(&self, give_up_after: Duration) -> Result<Endpoint> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address)).context("an address")?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(give_up_after);
        let Some(trust) = &self.tls else { return Ok(endpoint) };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&trust.authority))
            .identity(Identity::from_pem(&trust.certificate, &trust.key))
            .domain_name(&trust.name);
        Ok(endpoint.tls_config(tls)?.http2_keep_alive_interval(PING).keep_alive_timeout(GIVE_UP_AFTER))
    }
}

/// A client of one member.
#[derive(Clone, Debug)]
pub struct Client {
    /// Keys and values.
    pub kv: KvClient<Channel>,
    /// Status, hashes, leadership.
    pub maintenance: MaintenanceClient<Channel>,
    /// Members.
    pub cluster: ClusterClient<Channel>,
}

impl Client {
    /// A client of `address` (`host:port`, plain HTTP/2), which connects when first used.
    ///
    /// # Errors
    /// When the address is none.
    pub fn lazy(address: &str) -> Result<Self> {
        Self::dial(&Dial::plain(address))
    }

    /// A client of one member, which connects when first used.
    ///
    /// # Errors
    /// When the address is none, or the certificates cannot be read.
    pub fn dial(dial: &Dial) -> Result<Self> {
        Self::patient(dial, GIVE_UP_AFTER)
    }

    /// The same, but it waits for so long for an answer.
    ///
    /// # Errors
    /// As [`Self::dial`].
    pub fn patient(dial: &Dial, give_up_after: Duration) -> Result<Self> {
        let channel = dial.endpoint(give_up_after)?.connect_lazy();
        Ok(Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            maintenance: MaintenanceClient::new(channel.clone()),
            cluster: ClusterClient::new(channel),
        })
    }

    /// Writes; the revision it made.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn put(&mut self, key: &str, value: &str) -> Result<i64, Status> {
        let request = pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() };
        Ok(revision(self.kv.put(request).await?.into_inner().header))
    }

    /// Deletes; the revision and how many keys were there.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn delete(&mut self, key: &str) -> Result<(i64, i64), Status> {
        let request = pb::DeleteRangeRequest { key: bytes(key), ..Default::default() };
        let answer = self.kv.delete_range(request).await?.into_inner();
        Ok((revision(answer.header), answer.deleted))
    }

    /// Writes if the key was last changed at `expected` (0: is absent); the revision and whether it wrote.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn compare_and_put(&mut self, key: &str, expected: i64, value: &str) -> Result<(i64, bool), Status> {
        let compare = pb::Compare {
            result: pb::compare::CompareResult::Equal.into(),
            target: pb::compare::CompareTarget::Mod.into(),
            key: bytes(key),
            target_union: Some(pb::compare::TargetUnion::ModRevision(expected)),
            ..Default::default()
        };
        let put = pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() };
        let success = vec![pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }];
        let answer =
            self.kv.txn(pb::TxnRequest { compare: vec![compare], success, failure: Vec::new() }).await?.into_inner();
        Ok((revision(answer.header), answer.succeeded))
    }

    /// Reads; the revision, and the value with the revision that wrote it.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn get(&mut self, key: &str, serializable: bool) -> Result<(i64, Option<(String, i64)>), Status> {
        self.read(pb::RangeRequest { key: bytes(key), serializable, ..Default::default() }).await
    }

    /// Reads what was there at a revision; the revision of now, and the value with the revision that wrote it.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn get_at(
        &mut self,
        key: &str,
        at: i64,
        serializable: bool,
    ) -> Result<(i64, Option<(String, i64)>), Status> {
        self.read(pb::RangeRequest { key: bytes(key), revision: at, serializable, ..Default::default() }).await
    }

    async fn read(&mut self, range: pb::RangeRequest) -> Result<(i64, Option<(String, i64)>), Status> {
        let answer = self.kv.range(range).await?.into_inner();
        let found = answer.kvs.first().map(|kv| (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision));
        Ok((revision(answer.header), found))
    }

    /// Takes away every state before a revision, out of the files of the member as well if `physical`; the revision of now.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn compact(&mut self, before: i64, physical: bool) -> Result<i64, Status> {
        let request = pb::CompactionRequest { revision: before, physical };
        Ok(revision(self.kv.compact(request).await?.into_inner().header))
    }

    /// Every key at a revision (0: now).
    ///
    /// # Errors
    /// What the member answers.
    pub async fn everything(&mut self, at: i64, serializable: bool) -> Result<pb::RangeResponse, Status> {
        let request = pb::RangeRequest {
            key: bytes("\0"),
            range_end: bytes("\0"),
            revision: at,
            serializable,
            ..Default::default()
        };
        Ok(self.kv.range(request).await?.into_inner())
    }

    /// The hash of the store at a revision.
    ///
    /// # Errors
    /// What the member answers.
    pub async fn hash_kv(&mut self, at: i64) -> Result<u32, Status> {
        Ok(self.maintenance.hash_kv(pb::HashKvRequest { revision: at }).await?.into_inner().hash)
    }
}

/// The bytes of a text.
#[must_use]
pub fn bytes(text: &str) -> prost::bytes::Bytes {
    prost::bytes::Bytes::copy_from_slice(text.as_bytes())
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}
