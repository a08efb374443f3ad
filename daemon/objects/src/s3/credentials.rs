//! Credentials from files that somebody may replace while we run: a mounted Secret, a rotated key.

use crate::Error;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::SharedHttpClient;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The files are read again this often. A replaced key is in use before anybody doubts that it will be.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// Longer is no key. Tokens of a session are the longest, with a kilobyte or two.
const PART_BYTES_MAX: u64 = 16 << 10;

/// Parts that belong together are read until they are the same twice; a folder that changes faster is in trouble.
const READINGS_MAX: usize = 4;

/// A file in the format of `~/.aws/credentials`, read when credentials are asked for.
#[derive(Debug)]
pub(super) struct FileCredentials {
    file: PathBuf,
    profile: Option<String>,
    /// A profile may send the reader to a service for its credentials; the reader wants a client even if it does not.
    http: SharedHttpClient,
}

impl FileCredentials {
    /// Checks that the file can be read.
    pub(super) fn open(file: &Path, profile: Option<&str>, http: SharedHttpClient) -> Result<Self, Error> {
        match std::fs::metadata(file) {
            Ok(_) => Ok(Self { file: file.to_owned(), profile: profile.map(str::to_owned), http }),
            Err(error) => {
                Err(Error::Config { field: "credentials-file", problem: format!("{}: {error}", file.display()) })
            }
        }
    }

    async fn read(&self) -> Result<Credentials, CredentialsError> {
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, &self.file).build();
        let provider = ProfileFileCredentialsProvider::builder()
            .configure(&ProviderConfig::without_region().with_http_client(self.http.clone()))
            .profile_files(files)
            .profile_name(self.profile.as_deref().unwrap_or("default"))
            .build();
        let found = provider.provide_credentials().await?;
        Ok(Credentials::new(
            found.access_key_id(),
            found.secret_access_key(),
            found.session_token().map(str::to_owned),
            Some(SystemTime::now() + READ_AGAIN),
            "file",
        ))
    }
}

impl ProvideCredentials for FileCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.read())
    }
}

/// A folder with a file for each part of a key, read when credentials are asked for. It may be empty: a Secret may come
/// later than those who mount it.
#[derive(Debug)]
pub(super) struct FolderCredentials(PathBuf);

/// The parts of a key, as the files have them. Never printed.
#[derive(PartialEq, Eq)]
struct Parts {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl FolderCredentials {
    /// Checks that there is such a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let bad = |problem: String| Error::Config {
            field: "credentials-dir",
            problem: format!("{}: {problem}", folder.display()),
        };
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => Ok(Self(folder.to_owned())),
            Ok(_) => Err(bad("it is no folder".to_owned())),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    fn read(&self) -> Result<Credentials, CredentialsError> {
        let mut parts = self.parts()?;
        // The files may be swapped between one and the next: half of an old key and half of a new one open nothing.
        for _ in 1..READINGS_MAX {
            let again = self.parts()?;
            if again == parts {
                let until = Some(SystemTime::now() + READ_AGAIN);
                let Parts { access_key_id, secret_access_key, session_token } = parts;
                return Ok(Credentials::new(access_key_id, secret_access_key, session_token, until, "folder"));
            }
            parts = again;
        }
        Err(CredentialsError::not_loaded(format!("{}: it changes all the time", self.0.display())))
    }

    fn parts(&self) -> Result<Parts, CredentialsError> {
        let required = |name: &str| {
            let missing = || format!("{}: it is not there, or empty", self.0.join(name).display());
            self.part(name)?.ok_or_else(|| CredentialsError::not_loaded(missing()))
        };
        Ok(Parts {
            access_key_id: required("access-key-id")?,
            secret_access_key: required("secret-access-key")?,
            session_token: self.part("session-token")?,
        })
    }

    /// One file, without the line's end that editors put there.
    fn part(&self, name: &str) -> Result<Option<String>, CredentialsError> {
        let file = self.0.join(name);
        let bad =
            |problem: &dyn std::fmt::Display| CredentialsError::not_loaded(format!("{}: {problem}", file.display()));
        let opened = match fs::File::open(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| bad(&error))?,
        };
        let mut text = String::new();
        opened.take(PART_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| bad(&error))?;
        if text.len() as u64 > PART_BYTES_MAX {
            return Err(bad(&format!("it is longer than {PART_BYTES_MAX} bytes")));
        }
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}

impl ProvideCredentials for FolderCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        // A few hundred bytes, from memory where a Secret is mounted.
        future::ProvideCredentials::ready(self.read())
    }
}
