//! What goes back: one message and its trailers, a refusal, a page of plain HTTP, or whatever tonic streams.

use super::methods::Method;
use super::request::FRAME_HEADER_BYTES;
use crate::etcd::budget::Share;
use crate::etcd::calls::Place;
use crate::listener::pace::{Pace, Waiting};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::{Code, Status};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");

/// The body of every answer of the client port.
#[derive(Debug, Default)]
pub struct Body {
    content: Content,
    call: Option<Call>,
}

/// A call that is being answered.
#[derive(Debug)]
struct Call {
    /// Its place among those under way, given back with the body.
    _place: Place,
    pace: Arc<Pace>,
    /// There while the client is to take something.
    waiting: Option<Waiting>,
}

/// What of a message is handed on at once. Each piece shows that the client has taken the one before.
const PIECE_BYTES: usize = 256 * 1024;

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    /// Plain HTTP, and its share of the memory for responses where it has one.
    Page(Bytes, Option<Share>),
    /// All of it is on its way; its share is given back with the body.
    Sent { _share: Option<Share> },
    /// A framed message, the trailers after it, and its share of the memory for responses.
    Message(Bytes, Share),
    /// The message is on its way; its share is given back with the body.
    Trailers(Share),
    /// Anything tonic answers, counted when it ends.
    Tonic(tonic::body::Body, Option<Ending>),
}

/// Counts how a call ended: as cancelled if it is dropped before anything else was said.
#[derive(Debug)]
pub(in crate::etcd) struct Ending {
    method: Arc<Method>,
    code: Code,
}

impl Ending {
    /// For a call that has begun.
    pub(in crate::etcd) fn new(method: Arc<Method>) -> Self {
        Self { method, code: Code::Cancelled }
    }

    /// It ended like this.
    pub(in crate::etcd) fn ended(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.method.end(self.code);
    }
}

impl Body {
    /// A page of plain HTTP.
    #[must_use]
    pub fn page(page: Bytes) -> Self {
        Self { content: Content::Page(page, None), call: None }
    }

    /// Whatever tonic answers, uncounted.
    pub(crate) fn tonic(body: tonic::body::Body) -> Self {
        Self { content: Content::Tonic(body, None), call: None }
    }

    /// How long a page is; 0 for anything else.
    pub(in crate::etcd) fn page_bytes(&self) -> usize {
        if let Content::Page(page, _) = &self.content { page.len() } else { 0 }
    }

    /// A page stands on this share until it is sent.
    pub(in crate::etcd) fn within(self, share: Share) -> Self {
        match self.content {
            Content::Page(page, _) => Self { content: Content::Page(page, Some(share)), ..self },
            content => Self { content, ..self },
        }
    }

    /// Answers a call with a place among those under way. `pace` hears whether its client takes the answer.
    pub(in crate::etcd) fn of_call(self, place: Place, pace: &Arc<Pace>) -> Self {
        let call = Call { _place: place, pace: Arc::clone(pace), waiting: Some(pace.wait()) };
        Self { call: Some(call), ..self }
    }
}

impl Call {
    /// The client has taken what there was: now it waits for more, or has more to take.
    fn note(&mut self, has_more: bool) {
        match &mut self.waiting {
            Some(waiting) if has_more => waiting.goes_on(),
            None if has_more => self.waiting = Some(self.pace.wait()),
            _ => self.waiting = None,
        }
    }
}

/// A message of `length` bytes in its frame.
pub(in crate::etcd) fn encode(reply: &impl Message, length: usize) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("responses are bounded far below 4 GiB"));
    reply.encode_raw(&mut frame);
    frame.freeze()
}

/// A response that carries `frame`; `share` is given back once it has been sent.
pub(in crate::etcd) fn message(frame: Bytes, share: Share) -> Response<Body> {
    grpc(Content::Message(frame, share))
}

/// A response of headers alone.
pub(in crate::etcd) fn refuse(status: &Status) -> Response<Body> {
    let mut response = grpc(Content::Empty);
    if status.add_header(response.headers_mut()).is_err() {
        // A text that is no header value; the code still says what matters.
        response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(status.code() as i32));
    }
    response
}

/// Passes on what tonic answers, and counts its end.
pub(in crate::etcd) fn pass(response: Response<tonic::body::Body>, method: Arc<Method>) -> Response<Body> {
    let refused = Status::from_header_map(response.headers()).map(|status| status.code());
    let mut ending = Ending::new(method);
    refused.into_iter().for_each(|code| ending.ended(code));
    response.map(|body| Body { content: Content::Tonic(body, Some(ending)), call: None })
}

fn grpc(content: Content) -> Response<Body> {
    let mut response = Response::new(Body { content, call: None });
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, OK);
    trailers
}

impl Content {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Self::Tonic(body, ending) = self {
            let frame = ready!(Pin::new(body).poll_frame(cx));
            if let (Some(ending), Some(code)) = (ending, code_of(frame.as_ref())) {
                ending.ended(code);
            }
            return Poll::Ready(frame);
        }
        let (frame, rest) = match std::mem::take(self) {
            Self::Page(page, share) => (Frame::data(page), Self::Sent { _share: share }),
            Self::Message(mut message, share) if message.len() > PIECE_BYTES => {
                (Frame::data(message.split_to(PIECE_BYTES)), Self::Message(message, share))
            }
            Self::Message(message, share) => (Frame::data(message), Self::Trailers(share)),
            Self::Trailers(_share) => (Frame::trailers(ok()), Self::Empty),
            Self::Empty | Self::Sent { .. } | Self::Tonic(..) => return Poll::Ready(None),
        };
        *self = rest;
        Poll::Ready(Some(Ok(frame)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = self.content.poll(cx);
        if let Some(call) = &mut self.call {
            call.note(matches!(frame, Poll::Ready(Some(_))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Page(page, _) => page.is_empty(),
            // A body that is at its end is dropped, and with it its share: not before its bytes have left.
            Content::Sent { .. } => false,
            Content::Message(..) | Content::Trailers(_) => false,
            Content::Tonic(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Page(page, _) => SizeHint::with_exact(page.len() as u64),
            Content::Sent { .. } => SizeHint::with_exact(0),
            Content::Message(..) | Content::Trailers(_) => SizeHint::default(),
            Content::Tonic(body, _) => body.size_hint(),
        }
    }
}

/// What a frame of a response says about its end.
fn code_of(frame: Option<&Result<Frame<Bytes>, Status>>) -> Option<Code> {
    match frame? {
        Ok(frame) => Some(Status::from_header_map(frame.trailers_ref()?)?.code()),
        Err(status) => Some(status.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::budget::Budget;
    use crate::etcd::calls::Calls;
    use crate::etcd::status::Refusal;
    use http_body_util::BodyExt;
    use std::time::Duration;

    /// Short: the tests wait for it.
    const STALL_MAX: Duration = Duration::from_millis(60);

    fn place() -> Place {
        Calls::new(1).enter(&Arc::default()).expect("there is one")
    }

    fn share(budget: &Budget, bytes: usize) -> Share {
        let mut share = budget.share();
        share.grow(bytes).expect("there is room");
        share
    }

    #[tokio::test]
    async fn a_large_message_goes_in_pieces_and_keeps_its_share_until_all_have_gone() {
        let bytes: Bytes = (0..600 * 1024_u32).map(|at| (at % 251) as u8).collect();
        let budget = Budget::new(bytes.len(), Refusal::ResponsesTooMany);
        let mut body = message(bytes.clone(), share(&budget, bytes.len())).into_body();
        let mut pieces = Vec::new();
        while let Some(piece) = body.frame().await.and_then(|frame| frame.expect("no failure").into_data().ok()) {
            assert!(budget.share().grow(bytes.len()).is_err(), "it holds its share");
            pieces.push(piece);
        }
        assert_eq!((pieces.len(), pieces.concat()), (3, bytes.to_vec()));
        drop(body);
        share(&budget, bytes.len());
    }

    #[tokio::test]
    async fn a_page_keeps_its_share_until_it_has_gone() {
        let budget = Budget::new(1 << 20, Refusal::ResponsesTooMany);
        let body = Body::page(vec![7; 1 << 20].into());
        assert_eq!(body.page_bytes(), 1 << 20);
        let mut body = body.within(share(&budget, 1 << 20));
        assert_eq!(body.frame().await.expect("a page").expect("no failure").into_data().expect("it").len(), 1 << 20);
        assert!(budget.share().grow(1 << 20).is_err(), "it is on its way");
        assert!(body.frame().await.is_none());
        drop(body);
        share(&budget, 1 << 20);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_stalls_its_connection() {
        let pace = Arc::new(Pace::default());
        let _answer = Body::page("page".into()).of_call(place(), &pace);
        pace.stalled(STALL_MAX).await;
    }

    #[tokio::test]
    async fn an_answer_that_the_member_has_yet_to_give_stalls_nobody() {
        let pace = Arc::new(Pace::default());
        let never = tonic::body::Body::new(http_body_util::StreamBody::new(futures::stream::pending::<
            Result<Frame<Bytes>, Status>,
        >()));
        let mut answer = Body::tonic(never).of_call(place(), &pace);
        let asked = tokio::time::timeout(Duration::from_millis(1), answer.frame()).await;
        assert!(asked.is_err(), "there is nothing yet");
        assert!(tokio::time::timeout(3 * STALL_MAX, pace.stalled(STALL_MAX)).await.is_err(), "the client waits");
    }
}
