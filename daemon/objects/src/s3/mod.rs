//! Objects in a bucket, by the AWS SDK over rustls and ring.
//!
//! * One request per call, and one attempt per request: patience is [`Retrying`](crate::Retrying)'s. Objects are a few
//!   MiB (a chunk is about 8), far below the 5 GiB of a single put, so nothing is uploaded in parts: an upload that is
//!   cut leaves nothing behind, and there are no orphan parts to sweep.
//! * A put counts when the answer carries an `ETag`: a 200 with anything else in it, from a proxy or a front end in
//!   trouble, is not taken for success. Bodies are signed with their SHA-256, so what is damaged on the way is refused.
//! * Each call ends in time: a fixed part, and one that grows with the bytes.

mod answer;
mod body;
mod connect;
mod credentials;
mod limits;

pub use limits::Limits;

use crate::{Attributes, Bucket, Creation, Cursor, Encryption, Error, Listed, ObjectName, ObjectStore, Page, Prefix};
use crate::{LIST_PAGE_OBJECTS_MAX, s3::answer::Doing};
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Object, ServerSideEncryption};
use bytes::Bytes;
use connect::Connection;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// Objects in a bucket.
#[derive(Clone)]
pub struct S3 {
    connection: Arc<Connection>,
    bucket: Bucket,
    limits: Limits,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl S3 {
    /// Prepares the client. Nothing is asked of the bucket yet.
    ///
    /// # Errors
    /// [`Error::Config`] if a file cannot be read.
    pub async fn open(bucket: &Bucket, limits: Limits) -> Result<Self, Error> {
        let opening = Doing::opening(&bucket.bucket);
        let connection = Arc::new(limits.in_time(&opening, 0, Connection::new(bucket, &limits)).await?);
        Ok(Self { connection, bucket: bucket.clone(), limits })
    }

    async fn client(&self) -> Result<Client, Error> {
        self.connection.client(&self.bucket, &self.limits).await
    }

    /// The key of an object: its name below the location's prefix.
    fn key(&self, name: &str) -> String {
        if self.bucket.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.bucket.prefix) }
    }

    /// The name of a key, if it is one of ours.
    fn name(&self, key: &str) -> Option<ObjectName> {
        let name = match self.bucket.prefix.as_str() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        ObjectName::new(name).ok()
    }

    fn put_request(&self, client: &Client, name: &ObjectName, bytes: Bytes) -> PutObjectFluentBuilder {
        let put = client.put_object().bucket(&self.bucket.bucket).key(self.key(name.as_str()));
        let put = put.body(ByteStream::from(bytes));
        match &self.bucket.encryption {
            None => put,
            Some(Encryption::Aes256) => put.server_side_encryption(ServerSideEncryption::Aes256),
            Some(Encryption::Kms(key)) => {
                put.server_side_encryption(ServerSideEncryption::AwsKms).set_ssekms_key_id(key.clone())
            }
        }
    }

    /// Sends a put and believes the answer only if it is one.
    async fn send_put(&self, name: &ObjectName, bytes: Bytes, only_if_absent: bool) -> Result<(), answer::PutProblem> {
        let doing = Doing::new("writing", name);
        let length = bytes.len() as u64;
        let answered = self.limits.in_time(&doing, length, async {
            let put = self.put_request(&self.client().await?, name, bytes);
            let put = put.set_if_none_match(only_if_absent.then(|| "*".to_owned()));
            put.send().await.map_err(|error| doing.put_problem(&error))
        });
        match answered.await?.e_tag() {
            Some(_) => Ok(()),
            None => Err(doing.protocol("success without an ETag").into()),
        }
    }

    /// For stores without conditional writes.
    async fn check_then_put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        match self.head(name).await {
            Ok(_) => Err(Error::Exists { object: name.clone() }),
            Err(Error::NotFound { .. }) => self.put(name, bytes).await,
            Err(error) => Err(error),
        }
    }

    fn listed(&self, object: &Object) -> Option<Listed> {
        let name = self.name(object.key()?)?;
        let bytes = u64::try_from(object.size()?).ok()?;
        Some(Listed { name, attributes: Attributes { bytes, modified: system_time(object.last_modified()) } })
    }
}

#[async_trait]
impl ObjectStore for S3 {
    async fn put(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        Ok(self.send_put(name, bytes, false).await?)
    }

    async fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), Error> {
        if self.bucket.creation == Creation::CheckFirst {
            return self.check_then_put(name, bytes).await;
        }
        match self.send_put(name, bytes.clone(), true).await {
            Err(answer::PutProblem::NotImplemented(_)) => self.check_then_put(name, bytes).await,
            other => Ok(other?),
        }
    }

    async fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, Error> {
        let doing = Doing::new("reading", name);
        self.limits
            .in_time(&doing, bytes_max, async {
                let get = self.client().await?.get_object().bucket(&self.bucket.bucket).key(self.key(name.as_str()));
                let answered = get.send().await.map_err(|error| doing.problem(&error))?;
                body::whole(&doing, answered, bytes_max).await
            })
            .await
    }

    async fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, Error> {
        let doing = Doing::new("reading", name);
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            // An empty range cannot be written in HTTP; the object must still be there.
            return self.head(name).await.map(|_| Bytes::new());
        };
        let bytes = range.end - range.start;
        self.limits
            .in_time(&doing, bytes, async {
                let get = self.client().await?.get_object().bucket(&self.bucket.bucket).key(self.key(name.as_str()));
                let get = get.range(format!("bytes={}-{last}", range.start));
                let answered = get.send().await.map_err(|error| doing.problem(&error))?;
                body::part(&doing, answered, bytes).await
            })
            .await
    }

    async fn head(&self, name: &ObjectName) -> Result<Attributes, Error> {
        let doing = Doing::new("looking for", name);
        self.limits
            .in_time(&doing, 0, async {
                let head = self.client().await?.head_object().bucket(&self.bucket.bucket).key(self.key(name.as_str()));
                let answered = head.send().await.map_err(|error| doing.problem(&error))?;
                let bytes = answered.content_length().and_then(|length| u64::try_from(length).ok());
                match bytes {
                    Some(bytes) => Ok(Attributes { bytes, modified: system_time(answered.last_modified()) }),
                    None => Err(doing.protocol("an object without a length")),
                }
            })
            .await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&Cursor>) -> Result<Page, Error> {
        let folder = match prefix.folder() {
            Some(folder) => format!("{}/", self.key(folder.as_str())),
            None if self.bucket.prefix.is_empty() => String::new(),
            None => format!("{}/", self.bucket.prefix),
        };
        let doing = Doing::listing(&folder);
        self.limits
            .in_time(&doing, 0, async {
                let list = self.client().await?.list_objects_v2().bucket(&self.bucket.bucket).prefix(&folder);
                let list = list.max_keys(i32::try_from(LIST_PAGE_OBJECTS_MAX).expect("a thousand fits"));
                let list = list.set_start_after(after.map(|cursor| cursor.0.clone()));
                let answered = list.send().await.map_err(|error| doing.problem(&error))?;
                let last = answered.contents().last().and_then(Object::key).map(|key| Cursor(key.to_owned()));
                match (answered.is_truncated().unwrap_or(false), last) {
                    (true, None) => Err(doing.protocol("an empty page that is not the last")),
                    // A store that goes backwards would be listed for ever.
                    (true, Some(last)) if after.is_some_and(|after| last <= *after) => {
                        Err(doing.protocol("a page that was listed before"))
                    }
                    (more, last) => Ok(Page {
                        objects: answered.contents().iter().filter_map(|object| self.listed(object)).collect(),
                        next: last.filter(|_| more),
                    }),
                }
            })
            .await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let doing = Doing::new("deleting", name);
        let deleted = self.limits.in_time(&doing, 0, async {
            let delete = self.client().await?.delete_object();
            let delete = delete.bucket(&self.bucket.bucket).key(self.key(name.as_str()));
            delete.send().await.map_err(|error| doing.problem(&error))
        });
        match deleted.await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// When an object was written. A store that does not say is taken to mean now: nothing young may look old enough to go.
fn system_time(at: Option<&DateTime>) -> SystemTime {
    at.and_then(|at| SystemTime::try_from(*at).ok()).unwrap_or_else(SystemTime::now)
}
