//! Credentials from a file that somebody may replace while we run: a mounted secret, a rotated key.

use crate::Error;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::SharedHttpClient;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file is read again this often. A replaced key is in use before anybody doubts that it will be.
const READ_AGAIN: Duration = Duration::from_secs(60);

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
