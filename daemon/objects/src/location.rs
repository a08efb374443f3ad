//! Where objects are kept, as one line of configuration:
//!
//! ```text
//!   dir:/var/lib/backups          file:///var/lib/backups
//!   s3://BUCKET/PREFIX?endpoint=https://minio:9000&region=us-east-1&path-style=true
//! ```
//!
//! | key of `s3:` | meaning | default |
//! | --- | --- | --- |
//! | `endpoint` | `http://` or `https://`, host and port | AWS |
//! | `region` | region to sign for | `AWS_REGION`, the profile, else `us-east-1` |
//! | `path-style` | `true`: the bucket is in the path, not in the host name | `true` with an endpoint, else `false` |
//! | `credentials-file` | a file in the format of `~/.aws/credentials` | environment, profile, web identity, pod identity, IMDS |
//! | `profile` | profile in that file | `default` |
//! | `credentials-dir` | a folder with the files `access-key-id`, `secret-access-key` and, if need be, `session-token` | the same |
//! | `ca-file` | PEM certificates to trust besides the system's | none |
//! | `sse` | `AES256` or `aws:kms`: ask the store to encrypt | the bucket's setting |
//! | `sse-key` | key id for `aws:kms` | the store's key |
//! | `checksums` | `when-required` (MinIO, Ceph and R2 take it), `when-supported` (the SDK's own default) | `when-required` |
//! | `create` | `if-none-match`, or `check-first` for a store that ignores that header | `if-none-match` |
//!
//! Secrets are never part of a location: it is logged and shown.

use crate::Error;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a directory of this machine, or of a file system that several mount.
    Directory(PathBuf),
    /// In a bucket.
    S3(Bucket),
}

/// A part of a bucket, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub bucket: String,
    /// Folder that all our names are in; empty for none, else without slashes at its ends.
    pub prefix: String,
    /// Scheme, host and port; none for AWS.
    pub endpoint: Option<String>,
    /// Region to sign for; none to take it from the environment.
    pub region: Option<String>,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// File with credentials; none for the usual chain.
    pub credentials_file: Option<PathBuf>,
    /// Profile in the file.
    pub profile: Option<String>,
    /// Folder with a file for each part of a key, as a mounted Secret is one; none for the usual chain.
    pub credentials_dir: Option<PathBuf>,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What encryption to ask the store for.
    pub encryption: Option<Encryption>,
    /// When the SDK adds and checks checksums of its own.
    pub checksums: Checksums,
    /// How an object is written that must not exist.
    pub creation: Creation,
}

/// Where the bucket's name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In front of the host name.
    Host,
    /// At the beginning of the path.
    Path,
}

/// Encryption by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of the store.
    Aes256,
    /// With a key of a key service; none for its default.
    Kms(Option<String>),
}

/// When the SDK adds and checks checksums of its own. Bodies are signed with their SHA-256 either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Only where S3 insists.
    WhenRequired,
    /// Wherever S3 could take them: trailers that several compatible stores refuse.
    WhenSupported,
}

/// How an object is written that must not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The store decides, by `If-None-Match: *`. A store that says it does not implement that is asked first instead.
    IfNoneMatch,
    /// Look, then put. Two writers in the same moment may both believe to be first.
    CheckFirst,
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("dir", path)) => directory(path),
            Some(("file", rest)) => {
                directory(rest.strip_prefix("//").ok_or_else(|| bad("location", "file: needs file:///path"))?)
            }
            Some(("s3", rest)) => {
                bucket(rest.strip_prefix("//").ok_or_else(|| bad("location", "s3: needs s3://bucket/prefix"))?)
            }
            _ => Err(bad("location", "it begins with dir:/path, file:///path or s3://bucket")),
        }
    }
}

fn bad(field: &'static str, problem: impl Into<String>) -> Error {
    Error::Config { field, problem: problem.into() }
}

fn directory(path: &str) -> Result<Location, Error> {
    let path = decoded("path", path)?;
    if !path.starts_with('/') {
        return Err(bad("path", format!("{path:?} is not absolute: dir:/path or file:///path")));
    }
    Ok(Location::Directory(PathBuf::from(path)))
}

fn bucket(rest: &str) -> Result<Location, Error> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let mut bucket = Bucket {
        bucket: bucket_name(name)?,
        prefix: folder(prefix)?,
        endpoint: None,
        region: None,
        addressing: Addressing::Host,
        credentials_file: None,
        profile: None,
        credentials_dir: None,
        ca_file: None,
        encryption: None,
        checksums: Checksums::WhenRequired,
        creation: Creation::IfNoneMatch,
    };
    let mut words = Words::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        take(&mut bucket, &mut words, key, decoded("location", value)?)?;
    }
    if bucket.credentials_dir.is_some() && (bucket.credentials_file.is_some() || bucket.profile.is_some()) {
        return Err(bad("credentials-dir", "it goes without credentials-file and profile"));
    }
    bucket.addressing = words.addressing(bucket.endpoint.is_some())?;
    bucket.encryption = words.encryption()?;
    Ok(Location::S3(bucket))
}

/// Words whose meaning depends on another.
#[derive(Default)]
struct Words {
    path_style: Option<String>,
    sse: Option<String>,
    sse_key: Option<String>,
}

impl Words {
    fn addressing(&self, endpoint: bool) -> Result<Addressing, Error> {
        match (self.path_style.as_deref(), endpoint) {
            (Some("true"), _) | (None, true) => Ok(Addressing::Path),
            (Some("false"), _) | (None, false) => Ok(Addressing::Host),
            (Some(other), _) => Err(bad("path-style", format!("{other:?} is neither true nor false"))),
        }
    }

    fn encryption(self) -> Result<Option<Encryption>, Error> {
        match (self.sse.as_deref(), self.sse_key) {
            (None, None) => Ok(None),
            (Some("AES256"), None) => Ok(Some(Encryption::Aes256)),
            (Some("aws:kms"), key) => Ok(Some(Encryption::Kms(key))),
            (_, Some(_)) => Err(bad("sse-key", "it goes with sse=aws:kms")),
            (Some(other), None) => Err(bad("sse", format!("{other:?} is neither AES256 nor aws:kms"))),
        }
    }
}

/// Takes one pair of the query.
fn take(bucket: &mut Bucket, words: &mut Words, key: &str, value: String) -> Result<(), Error> {
    match key {
        "endpoint" => bucket.endpoint = Some(endpoint(&value)?),
        "region" => bucket.region = Some(nonempty("region", value)?),
        "path-style" => words.path_style = Some(value),
        "credentials-file" => bucket.credentials_file = Some(nonempty("credentials-file", value)?.into()),
        "profile" => bucket.profile = Some(nonempty("profile", value)?),
        "credentials-dir" => bucket.credentials_dir = Some(nonempty("credentials-dir", value)?.into()),
        "ca-file" => bucket.ca_file = Some(nonempty("ca-file", value)?.into()),
        "sse" => words.sse = Some(value),
        "sse-key" => words.sse_key = Some(nonempty("sse-key", value)?),
        "checksums" => bucket.checksums = checksums(&value)?,
        "create" => bucket.creation = creation(&value)?,
        secret if secret.contains("secret") || secret.contains("access-key") => {
            return Err(bad(
                "location",
                "credentials do not belong in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, credentials-file=PATH \
                 or credentials-dir=PATH",
            ));
        }
        other => {
            return Err(bad(
                "location",
                format!(
                    "unknown key {other:?}; there are endpoint, region, path-style, credentials-file, profile, \
                     credentials-dir, ca-file, sse, sse-key, checksums, create"
                ),
            ));
        }
    }
    Ok(())
}

fn bucket_name(name: &str) -> Result<String, Error> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if name.contains('@') {
        return Err(bad("bucket", "credentials do not belong in the location"));
    }
    if !(3..=63).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(bad("bucket", format!("{name:?} is no bucket: 3 to 63 of a-z 0-9 - .")));
    }
    Ok(name.to_owned())
}

/// A folder within the bucket: the same alphabet as names of objects.
fn folder(prefix: &str) -> Result<String, Error> {
    let prefix = decoded("prefix", prefix)?;
    let trimmed = prefix.trim_matches('/');
    if !trimmed.is_empty() {
        crate::ObjectName::new(trimmed).map_err(|problem| bad("prefix", problem.to_string()))?;
    }
    Ok(trimmed.to_owned())
}

fn endpoint(value: &str) -> Result<String, Error> {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match host.map(|host| host.trim_end_matches('/')) {
        None => Err(bad("endpoint", format!("{value:?} begins with neither http:// nor https://"))),
        Some(host) if host.contains('@') => Err(bad("endpoint", "credentials do not belong in the location")),
        Some(host) if host.is_empty() || host.contains(['?', '#', ' ']) => {
            Err(bad("endpoint", format!("{value:?} has no host")))
        }
        Some(_) => Ok(value.trim_end_matches('/').to_owned()),
    }
}

fn checksums(value: &str) -> Result<Checksums, Error> {
    match value {
        "when-required" => Ok(Checksums::WhenRequired),
        "when-supported" => Ok(Checksums::WhenSupported),
        other => Err(bad("checksums", format!("{other:?} is neither when-required nor when-supported"))),
    }
}

fn creation(value: &str) -> Result<Creation, Error> {
    match value {
        "if-none-match" => Ok(Creation::IfNoneMatch),
        "check-first" => Ok(Creation::CheckFirst),
        other => Err(bad("create", format!("{other:?} is neither if-none-match nor check-first"))),
    }
}

fn nonempty(field: &'static str, value: String) -> Result<String, Error> {
    if value.is_empty() { Err(bad(field, "it is empty")) } else { Ok(value) }
}

fn decoded(field: &'static str, value: &str) -> Result<String, Error> {
    let text = percent_decode_str(value).decode_utf8().map_err(|_| bad(field, "it is not UTF-8"))?;
    Ok(text.into_owned())
}

/// The place, without how to talk to it: for log lines.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::S3(Bucket { bucket, prefix, endpoint: None, .. }) => write!(f, "s3://{bucket}/{prefix}"),
            Self::S3(Bucket { bucket, prefix, endpoint: Some(endpoint), .. }) => {
                write!(f, "s3://{bucket}/{prefix} at {endpoint}")
            }
        }
    }
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
