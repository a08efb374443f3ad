//! What goes back: one message and its trailers, a refusal, a page of plain HTTP, or whatever tonic streams.
//!
//! The HTTP library takes as much of a body as it may buffer, and drops the body before the client has taken anything.
//! So what an answer stands on, its place among the calls and its share of the memory, goes with each piece of it, and is
//! given back when the last one has left for the socket.

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
    stands_on: StandsOn,
    /// Hears whether the client takes what there is, where somebody listens.
    pace: Option<Arc<Pace>>,
    /// There while the client is to take something.
    waiting: Option<Waiting>,
}

/// What is given back once the answer is gone.
#[derive(Clone, Debug, Default)]
struct StandsOn {
    /// Its share of the memory for responses.
    share: Option<Arc<Share>>,
    /// Its place among the calls under way.
    place: Option<Arc<Place>>,
}

/// A piece of an answer on its way to the socket.
struct Piece {
    bytes: Bytes,
    _stands_on: StandsOn,
    _waiting: Option<Waiting>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What of a message is handed on at once. Two pieces may be on their way, and a client has half of the time to stall for
/// both at the least: one that takes 9 kB/s is none that stalls.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    /// Plain HTTP.
    Page(Bytes),
    /// All of it is on its way.
    Sent,
    /// A framed message, and the trailers after it.
    Message(Bytes),
    /// The message is on its way.
    Trailers,
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
    fn of(content: Content) -> Self {
        Self { content, ..Self::default() }
    }

    /// A page of plain HTTP.
    #[must_use]
    pub fn page(page: Bytes) -> Self {
        Self::of(Content::Page(page))
    }

    /// Whatever tonic answers, uncounted.
    pub(crate) fn tonic(body: tonic::body::Body) -> Self {
        Self::of(Content::Tonic(body, None))
    }

    /// How long a page is; 0 for anything else.
    pub(in crate::etcd) fn page_bytes(&self) -> usize {
        if let Content::Page(page) = &self.content { page.len() } else { 0 }
    }

    /// It stands on this share until it is gone.
    pub(in crate::etcd) fn within(mut self, share: Share) -> Self {
        self.stands_on.share = Some(Arc::new(share));
        self
    }

    /// Answers a call with a place among those under way. `pace` hears whether its client takes the answer.
    pub(in crate::etcd) fn of_call(mut self, place: Place, pace: &Arc<Pace>) -> Self {
        self.stands_on.place = Some(Arc::new(place));
        (self.pace, self.waiting) = (Some(Arc::clone(pace)), Some(pace.wait()));
        self
    }

    /// The client has taken what there was: now it waits for more, or has more to take.
    fn note(&mut self, has_more: bool) {
        match (&mut self.waiting, &self.pace) {
            (Some(waiting), _) if has_more => waiting.goes_on(),
            (None, Some(pace)) if has_more => self.waiting = Some(pace.wait()),
            _ => self.waiting = None,
        }
    }

    /// Makes what the answer stands on stay for as long as these bytes do.
    fn piece(&self, bytes: Bytes) -> Bytes {
        let waiting = self.pace.as_ref().map(Pace::wait);
        Bytes::from_owner(Piece { bytes, _stands_on: self.stands_on.clone(), _waiting: waiting })
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
    grpc(Content::Message(frame)).map(|body| body.within(share))
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
    response.map(|body| Body::of(Content::Tonic(body, Some(ending))))
}

fn grpc(content: Content) -> Response<Body> {
    let mut response = Response::new(Body::of(content));
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
            Self::Page(page) => (Frame::data(page), Self::Sent),
            Self::Message(mut message) if message.len() > PIECE_BYTES => {
                (Frame::data(message.split_to(PIECE_BYTES)), Self::Message(message))
            }
            Self::Message(message) => (Frame::data(message), Self::Trailers),
            Self::Trailers => (Frame::trailers(ok()), Self::Empty),
            Self::Empty | Self::Sent | Self::Tonic(..) => return Poll::Ready(None),
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
        self.note(matches!(frame, Poll::Ready(Some(_))));
        frame.map_ok(|frame| frame.map_data(|bytes| self.piece(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Page(page) => page.is_empty(),
            // Where bytes are copied, as for HTTP/1, the body has to stay until they have left.
            Content::Sent | Content::Message(_) | Content::Trailers => false,
            Content::Tonic(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Page(page) => SizeHint::with_exact(page.len() as u64),
            Content::Sent => SizeHint::with_exact(0),
            Content::Message(_) | Content::Trailers => SizeHint::default(),
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

    /// All pieces of an answer, of which the library has taken everything.
    async fn taken(mut body: Body) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.extend(frame.expect("no failure").into_data());
        }
        pieces
    }

    #[tokio::test]
    async fn a_large_message_goes_in_pieces_and_keeps_its_share_until_all_have_gone() {
        let bytes: Bytes = (0..150 * 1024_u32).map(|at| (at % 251) as u8).collect();
        let budget = Budget::new(bytes.len(), Refusal::ResponsesTooMany);
        let mut pieces = taken(message(bytes.clone(), share(&budget, bytes.len())).into_body()).await;
        assert_eq!((pieces.len(), pieces.concat()), (3, bytes.to_vec()));
        while !pieces.is_empty() {
            assert!(budget.share().grow(bytes.len()).is_err(), "it holds its share");
            pieces.remove(0);
        }
        share(&budget, bytes.len());
    }

    #[tokio::test]
    async fn a_page_keeps_its_share_until_it_has_gone() {
        let budget = Budget::new(1 << 20, Refusal::ResponsesTooMany);
        let body = Body::page(vec![7; 1 << 20].into());
        assert_eq!(body.page_bytes(), 1 << 20);
        let pieces = taken(body.within(share(&budget, 1 << 20))).await;
        assert_eq!(pieces.concat().len(), 1 << 20);
        assert!(budget.share().grow(1 << 20).is_err(), "it is on its way");
        drop(pieces);
        share(&budget, 1 << 20);
    }

    #[tokio::test]
    async fn a_call_has_its_place_and_its_pace_until_its_answer_has_gone() {
        let (calls, pace) = (Calls::new(1), Arc::new(Pace::default()));
        let place = calls.enter(&Arc::default()).expect("there is one");
        let frames = tokio_stream::once(Ok::<_, Status>(Frame::data(Bytes::from_static(b"part"))));
        let tonic = tonic::body::Body::new(http_body_util::StreamBody::new(frames));
        let pieces = taken(Body::tonic(tonic).of_call(place, &pace)).await;
        assert!(calls.enter(&Arc::default()).is_err(), "the client has taken nothing yet");
        pace.stalled(STALL_MAX).await;
        drop(pieces);
        calls.enter(&Arc::default()).expect("it has");
        assert!(tokio::time::timeout(3 * STALL_MAX, pace.stalled(STALL_MAX)).await.is_err(), "nothing waits");
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
