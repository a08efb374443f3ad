//! The SDK's client, with one TLS stack, no retries of its own, and settings that compatible stores take.
//!
//! Certificates to trust that come from a file are those that are in it now: a changed file makes another client.

use super::credentials::{FileCredentials, FolderCredentials};
use super::limits::Limits;
use crate::{Addressing, Bucket, Checksums, Error};
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;

/// Signed for when nobody names a region: compatible stores do not care, AWS says which one it wants.
const REGION_DEFAULT: &str = "us-east-1";

/// Idle connections are closed before common front ends do it: a put into a closed one fails for nothing.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The way to the store, as the files have it that may change.
#[derive(Debug)]
pub(super) struct Connection {
    made: Mutex<(Option<Stamp>, Client)>,
}

/// Tells one content of a file from another: the file behind links, its size, its time. A mounted Secret is swapped by
/// moving a link.
type Stamp = (u64, u64, i64, i64);

impl Connection {
    pub(super) async fn new(bucket: &Bucket, limits: &Limits) -> Result<Self, Error> {
        // Before the file is read: what changes meanwhile is seen the next time.
        let stamp = stamp(bucket);
        Ok(Self { made: Mutex::new((stamp, client(bucket, limits).await?)) })
    }

    /// What the next request goes through.
    pub(super) async fn client(&self, bucket: &Bucket, limits: &Limits) -> Result<Client, Error> {
        let stamp = stamp(bucket);
        let mut made = self.made.lock().await;
        if made.0 != stamp {
            *made = (stamp, client(bucket, limits).await?);
        }
        Ok(made.1.clone())
    }
}

fn stamp(bucket: &Bucket) -> Option<Stamp> {
    let found = std::fs::metadata(bucket.ca_file.as_ref()?).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

async fn client(bucket: &Bucket, limits: &Limits) -> Result<Client, Error> {
    let timeouts = TimeoutConfig::builder().connect_timeout(limits.connect).build();
    let http = http_client(bucket)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .region(region(bucket));
    if let Some(folder) = &bucket.credentials_dir {
        loader = loader.credentials_provider(FolderCredentials::open(folder)?);
    } else if let Some(file) = &bucket.credentials_file {
        loader = loader.credentials_provider(FileCredentials::open(file, bucket.profile.as_deref(), http)?);
    } else if let Some(profile) = &bucket.profile {
        loader = loader.profile_name(profile);
    }
    let shared = Box::pin(loader.load()).await;
    let (request, response) = checksums(bucket.checksums);
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(bucket.addressing == Addressing::Path)
        .request_checksum_calculation(request)
        .response_checksum_validation(response);
    let config = match &bucket.endpoint {
        Some(endpoint) => config.endpoint_url(endpoint),
        None => config,
    };
    Ok(Client::from_conf(config.build()))
}

/// The region, without asking the metadata service of a cloud for the region of a store outside of it.
fn region(bucket: &Bucket) -> RegionProviderChain {
    match (&bucket.region, &bucket.endpoint) {
        (Some(region), _) => RegionProviderChain::first_try(Region::new(region.clone())),
        (None, Some(_)) => {
            RegionProviderChain::first_try(aws_config::environment::EnvironmentVariableRegionProvider::new())
                .or_else(Region::from_static(REGION_DEFAULT))
        }
        (None, None) => RegionProviderChain::default_provider().or_else(Region::from_static(REGION_DEFAULT)),
    }
}

fn checksums(checksums: Checksums) -> (RequestChecksumCalculation, ResponseChecksumValidation) {
    match checksums {
        Checksums::WhenRequired => (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired),
        Checksums::WhenSupported => {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        }
    }
}

fn http_client(bucket: &Bucket) -> Result<SharedHttpClient, Error> {
    let plain = bucket.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    // Without TLS nothing is trusted, and a machine without certificates is no trouble.
    let mut trusted = TrustStore::empty().with_native_roots(!plain);
    if let Some(file) = &bucket.ca_file {
        trusted = trusted.with_pem_certificate(checked_certificates(file)?);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|error| Error::Config { field: "ca-file", problem: error.to_string() })?;
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .pool_idle_timeout(IDLE_MAX)
        .build_https())
}

/// The file's bytes, after looking at every certificate: the SDK's connector takes them unseen and panics on a bad one.
fn checked_certificates(file: &Path) -> Result<Vec<u8>, Error> {
    let bad = |problem: String| Error::Config { field: "ca-file", problem: format!("{}: {problem}", file.display()) };
    let pem = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("no certificate in it".to_owned())) } else { Ok(pem) }
}
