//! Bodies of answers: no longer than they may be, no shorter than they claim.

use super::answer::Doing;
use crate::Error;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};

/// What is reserved on the word of the store; a longer body grows as it comes.
const RESERVED_MAX: u64 = 8 * 1024 * 1024;

/// A whole object of at most `bytes_max`.
pub(super) async fn whole(doing: &Doing, answered: GetObjectOutput, bytes_max: u64) -> Result<Bytes, Error> {
    let claimed = claimed(doing, &answered)?;
    if claimed > bytes_max {
        return Err(doing.corrupt(format!("it has {claimed} bytes, at most {bytes_max} were expected")));
    }
    collect(doing, answered, claimed).await
}

/// A part of exactly `bytes`.
pub(super) async fn part(doing: &Doing, answered: GetObjectOutput, bytes: u64) -> Result<Bytes, Error> {
    let claimed = claimed(doing, &answered)?;
    if answered.content_range().is_none() {
        return Err(doing.protocol("the whole object where a part was asked for"));
    }
    if claimed != bytes {
        return Err(doing.corrupt(format!("the part has {claimed} bytes, {bytes} were expected")));
    }
    collect(doing, answered, bytes).await
}

/// The length that the answer claims. An answer that is no object has no `ETag`.
fn claimed(doing: &Doing, answered: &GetObjectOutput) -> Result<u64, Error> {
    if answered.e_tag().is_none() {
        return Err(doing.protocol("a body without an ETag"));
    }
    let length = answered.content_length().and_then(|length| u64::try_from(length).ok());
    length.ok_or_else(|| doing.protocol("a body without a length"))
}

async fn collect(doing: &Doing, answered: GetObjectOutput, bytes: u64) -> Result<Bytes, Error> {
    let mut body = answered.body;
    let mut buffer = BytesMut::with_capacity(usize::try_from(bytes.min(RESERVED_MAX)).expect("eight MiB fit"));
    while let Some(piece) = body.next().await {
        let piece = piece
            .map_err(|error| doing.unavailable(format!("the body broke off: {}", super::answer::chain(&error))))?;
        buffer.extend_from_slice(&piece);
        if buffer.len() as u64 > bytes {
            return Err(doing.protocol("a body longer than its length"));
        }
    }
    if (buffer.len() as u64) < bytes {
        return Err(doing.unavailable(format!("the body ended after {} of {bytes} bytes", buffer.len())));
    }
    Ok(buffer.freeze())
}
