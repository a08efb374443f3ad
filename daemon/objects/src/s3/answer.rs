//! What the SDK reports, as what the caller can do. The order of the table is: what was said, then the status alone.

use crate::{Error, ObjectName};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;
use std::time::Duration;

/// What is being done, for the words of an error.
#[derive(Debug)]
pub(super) struct Doing {
    text: String,
    object: Option<ObjectName>,
}

/// Why a put failed.
#[derive(Debug)]
pub(super) enum PutProblem {
    /// The store does not know conditional writes.
    NotImplemented(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for PutProblem {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<PutProblem> for Error {
    fn from(problem: PutProblem) -> Self {
        let (PutProblem::NotImplemented(error) | PutProblem::Other(error)) = problem;
        error
    }
}

/// What the store said.
struct Said<'a> {
    status: u16,
    code: &'a str,
    /// Both, and the store's own words.
    text: String,
    retry_after: Option<Duration>,
}

impl Doing {
    pub(super) fn new(verb: &str, object: &ObjectName) -> Self {
        Self { text: format!("{verb} {object}"), object: Some(object.clone()) }
    }

    pub(super) fn listing(folder: &str) -> Self {
        Self { text: format!("listing {folder}"), object: None }
    }

    pub(super) fn opening(bucket: &str) -> Self {
        Self { text: format!("opening bucket {bucket}"), object: None }
    }

    pub(super) fn protocol(&self, problem: impl Into<String>) -> Error {
        Error::Protocol { doing: self.text.clone(), problem: problem.into() }
    }

    pub(super) fn unavailable(&self, problem: impl Into<String>) -> Error {
        Error::Unavailable { doing: self.text.clone(), problem: problem.into(), pause: None }
    }

    pub(super) fn corrupt(&self, problem: impl Into<String>) -> Error {
        match &self.object {
            Some(object) => Error::Corrupt { object: object.clone(), problem: problem.into() },
            None => self.protocol(problem),
        }
    }

    fn denied(&self, problem: String) -> Error {
        Error::Denied { doing: self.text.clone(), problem }
    }

    fn full(&self, problem: String) -> Error {
        Error::Full { doing: self.text.clone(), problem }
    }

    /// The error of a put, told apart where conditional writes are unknown.
    pub(super) fn put_problem<E>(&self, error: &SdkError<E, HttpResponse>) -> PutProblem
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let unknown = error.code() == Some("NotImplemented") || status(error) == Some(501);
        let error = self.problem(error);
        if unknown { PutProblem::NotImplemented(error) } else { PutProblem::Other(error) }
    }

    /// The error of any request.
    pub(super) fn problem<E>(&self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => self.refusal(&Said {
                status: answer.raw().status().as_u16(),
                code: answer.err().code().unwrap_or_default(),
                text: words(answer.raw().status().as_u16(), answer.err()),
                retry_after: retry_after(answer.raw()),
            }),
            // An answer came and cannot be read: cut off, or not what S3 says.
            SdkError::ResponseError(answer) if answer.raw().status().is_success() && !broke_off(error) => {
                self.protocol(chain(error))
            }
            SdkError::ResponseError(_) | SdkError::TimeoutError(_) => self.unavailable(chain(error)),
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) if lacks_credentials(error) => {
                self.denied(chain(error))
            }
            SdkError::ConstructionFailure(_) => Error::Config { field: "endpoint", problem: chain(error) },
            _ => self.unavailable(chain(error)),
        }
    }

    fn refusal(&self, said: &Said<'_>) -> Error {
        let text = said.text.clone();
        match (said.code, said.status) {
            ("NoSuchBucket", _) => Error::Config { field: "bucket", problem: text },
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
            | (_, 301) => Error::Config { field: "region", problem: text },
            // The store's own quota words, then the general ones.
            ("QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage", _)
            | (_, 507) => self.full(text),
            // A body damaged or cut on the way in: nothing was written.
            ("BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "RequestTimeout", _) => {
                self.unavailable(text)
            }
            ("SlowDown" | "SlowDownWrite" | "SlowDownRead" | "Throttling" | "RequestLimitExceeded", _)
            | (_, 408 | 429 | 500 | 502 | 503 | 504) => {
                Error::Unavailable { doing: self.text.clone(), problem: text, pause: said.retry_after }
            }
            // Two conditional writes met: the other may win or fail.
            ("ConditionalRequestConflict" | "OperationAborted", _) | (_, 409) => self.unavailable(text),
            (
                "AccessDenied"
                | "ExpiredToken"
                | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "RequestTimeTooSkewed",
                _,
            )
            | (_, 401 | 403) => self.denied(text),
            (_, 404) => self.about_object(text, |object| Error::NotFound { object }),
            (_, 412) => self.about_object(text, |object| Error::Exists { object }),
            (_, 416) => self.corrupt(format!("it ends before the part that was asked for: {text}")),
            _ => self.protocol(text),
        }
    }

    fn about_object(&self, text: String, error: impl FnOnce(ObjectName) -> Error) -> Error {
        match &self.object {
            Some(object) => error(object.clone()),
            None => self.protocol(text),
        }
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

fn words(status: u16, error: &impl ProvideErrorMetadata) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{status} {code}: {message}"),
        (Some(code), None) => format!("{status} {code}"),
        _ => format!("status {status}"),
    }
}

/// Whole seconds; a date would need the store's clock.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    answer.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// All causes on one line: the SDK's outermost words say little.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

/// Whether the connection ended before the answer did.
fn broke_off(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<hyper::Error>() || cause.is::<std::io::Error>())
}
