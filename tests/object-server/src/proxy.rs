//! The faults, carried out around the server.

use crate::fault::{Effect, Faults};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::Service;
use s3s::service::S3Service;
use std::io;

/// What the server answers with.
type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// The server behind its faults.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    server: S3Service,
    faults: Faults,
}

impl Proxy {
    pub(crate) fn new(server: S3Service, faults: Faults) -> Self {
        Self { server, faults }
    }

    /// Answers, and counts what the body brings.
    async fn count(self, request: Request<Incoming>) -> io::Result<Answer> {
        let faults = self.faults.clone();
        let answer = self.answer(request).await?;
        Ok(answer.map(|body| {
            let counted = body.map_frame(move |frame| {
                faults.count_sent(frame.data_ref().map_or(0, |data| data.len() as u64));
                frame
            });
            counted.boxed_unsync()
        }))
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Answer> {
        let effect = self.faults.strike(request.method(), request.uri().path());
        match effect {
            None => self.pass(request, false).await,
            Some(Effect::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                self.pass(request, false).await
            }
            Some(Effect::Refuse(status, code)) => refuse(request, status, code).await,
            Some(Effect::SlowDown(seconds)) => {
                let mut answer = refuse(request, 503, "SlowDown").await?;
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                Ok(answer)
            }
            Some(Effect::FalseSuccess(code)) => refuse(request, 200, code).await,
            Some(Effect::Hang) => std::future::pending().await,
            // An error from the service closes the connection without an answer.
            Some(Effect::Drop) => Err(io::Error::other("dropped by the script")),
            Some(Effect::LoseAnswer) => {
                self.pass(request, false).await?;
                Err(io::Error::other("answer lost by the script"))
            }
            Some(Effect::CutAnswer) => cut(self.pass(request, false).await?).await,
            Some(Effect::FlipAnswer) => flip_answer(self.pass(request, false).await?).await,
            Some(Effect::FlipRequest) => self.pass(request, true).await,
        }
    }

    /// Hands a request to the server.
    async fn pass(&self, request: Request<Incoming>, flipped: bool) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let mut body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if flipped {
            body = flip(&body);
        }
        let request = Request::from_parts(head, s3s::Body::from(body));
        let answer = self.server.call(request).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }
}

impl Service<Request<Incoming>> for Proxy {
    type Response = Answer;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Answer>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().count(request))
    }
}

/// An S3 error, after the request was read so that the client is not cut off while it writes.
async fn refuse(request: Request<Incoming>, status: u16, code: &str) -> io::Result<Answer> {
    let head_only = request.method() == http::Method::HEAD;
    request.into_body().collect().await.map_err(io::Error::other)?;
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>by the script</Message></Error>"
    );
    let body = if head_only { Bytes::new() } else { Bytes::from(text) };
    let mut answer = Response::new(full(body));
    *answer.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
    Ok(answer)
}

/// Half of the body, then the end of the connection.
async fn cut(answer: Answer) -> io::Result<Answer> {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let half = body.slice(..body.len() / 2);
    let frames: [io::Result<_>; 2] = [Ok(Frame::data(half)), Err(io::Error::other("cut by the script"))];
    Ok(Response::from_parts(head, StreamBody::new(futures::stream::iter(frames)).boxed_unsync()))
}

async fn flip_answer(answer: Answer) -> io::Result<Answer> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, full(flip(&body))))
}

/// The same bytes but for one bit in the middle.
fn flip(bytes: &[u8]) -> Bytes {
    let mut flipped = BytesMut::from(bytes);
    if let Some(byte) = flipped.get_mut(bytes.len() / 2) {
        *byte ^= 0x10;
    }
    flipped.freeze()
}

fn full(bytes: Bytes) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
