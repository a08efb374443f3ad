//! The body of a request on its way here. Whoever sends a part of a request and stops makes a member keep that part: it
//! counts against what all such parts may take, and it must go on arriving. A unary request is whole when its body ends,
//! not when its message is: until then nobody carries it out.

use super::request::FRAME_HEADER_BYTES;
use crate::etcd::budget::{Budget, Share};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use tonic::Status;

/// How long a message may take from one piece of it to the next.
pub(in crate::etcd) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// When a body must go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::etcd) enum Expected {
    /// Until it ends, with its one message.
    One,
    /// From the beginning of each message to its end; between two of them it may rest.
    Any,
}

/// A body that is being received.
pub(in crate::etcd) struct Upload<B> {
    body: B,
    expected: Expected,
    /// How long it may be silent where it must go on.
    silence_max: Duration,
    place: Place,
    share: Share,
    /// Runs while nothing comes that must.
    silence: Option<Pin<Box<Sleep>>>,
}

/// A place among the messages of a body.
#[derive(Debug, Default)]
struct Place {
    /// The part of a message's header that is here.
    header: [u8; FRAME_HEADER_BYTES],
    header_bytes: usize,
    /// Of the message: what is here of it, and what is still to come.
    arrived: usize,
    left: usize,
    /// Of the whole body.
    all: usize,
}

impl Place {
    fn see(&mut self, mut bytes: &[u8]) {
        self.all = self.all.saturating_add(bytes.len());
        while !bytes.is_empty() {
            if self.header_bytes < FRAME_HEADER_BYTES {
                let taken = (FRAME_HEADER_BYTES - self.header_bytes).min(bytes.len());
                self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(&bytes[..taken]);
                self.header_bytes += taken;
                bytes = &bytes[taken..];
                let [_, length @ ..] = self.header;
                self.left = u32::from_be_bytes(length) as usize;
            } else {
                let taken = self.left.min(bytes.len());
                (self.arrived, self.left) = (self.arrived + taken, self.left - taken);
                bytes = &bytes[taken..];
            }
            if self.header_bytes == FRAME_HEADER_BYTES && self.left == 0 {
                *self = Self { all: self.all, ..Self::default() };
            }
        }
    }

    /// What is here and cannot be carried out yet.
    fn unfinished_bytes(&self, expected: Expected) -> usize {
        match expected {
            Expected::One => self.all,
            Expected::Any => self.header_bytes + self.arrived,
        }
    }
}

impl<B> Upload<B> {
    /// Receives `body`, within `budget`.
    pub(in crate::etcd) fn new(body: B, expected: Expected, budget: &Budget) -> Self {
        let (silence_max, place) = (SILENCE_MAX, Place::default());
        Self { body, expected, silence_max, place, share: budget.share(), silence: None }
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.silence = None;
        self.place.see(bytes);
        match self.place.unfinished_bytes(self.expected) {
            0 => {
                self.share.release();
                Ok(())
            }
            unfinished => self.share.grow(unfinished).map_err(Status::from),
        }
    }

    /// Whether it has been silent for too long, where it must go on.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.expected == Expected::Any && self.place.unfinished_bytes(Expected::Any) == 0 {
            return false;
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.silence_max)));
        silence.as_mut().poll(cx).is_ready()
    }
}

impl<B> HttpBody for Upload<B>
where
    B: HttpBody<Data = Bytes, Error: Error> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |bytes| this.count(bytes));
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Status::cancelled(format!("grpc: {error}"))))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if this.poll_silent(cx) => {
                let said = format!("grpc: nothing of the request has come for {:?}", this.silence_max);
                Poll::Ready(Some(Err(Status::deadline_exceeded(said))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::budget::UNCOUNTED_BYTES_MAX;
    use crate::etcd::status::Refusal;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::Code;

    /// Short: the tests wait for it.
    const SILENCE: Duration = Duration::from_millis(30);

    type Sent = Result<Frame<Bytes>, Infallible>;

    /// A body that the test sends.
    fn body(expected: Expected, budget: &Budget) -> (mpsc::Sender<Sent>, Upload<StreamBody<ReceiverStream<Sent>>>) {
        let (sender, receiver) = mpsc::channel(8);
        let body = Upload::new(StreamBody::new(ReceiverStream::new(receiver)), expected, budget);
        (sender, Upload { silence_max: SILENCE, ..body })
    }

    fn budget(bytes_max: usize) -> Budget {
        Budget::new(bytes_max, Refusal::RequestsTooMany)
    }

    fn data(bytes: &[u8]) -> Sent {
        Ok(Frame::data(Bytes::copy_from_slice(bytes)))
    }

    fn message(length: u32, arrived: usize) -> Vec<u8> {
        [&[0][..], &length.to_be_bytes(), &vec![7; arrived]].concat()
    }

    #[test]
    fn a_place_is_the_same_however_the_bytes_are_sliced() {
        let bytes = [message(3, 3), message(0, 0), message(300, 300), message(9, 4)].concat();
        for size in 1..bytes.len() {
            let mut place = Place::default();
            bytes.chunks(size).for_each(|piece| place.see(piece));
            let unfinished = [Expected::One, Expected::Any].map(|expected| place.unfinished_bytes(expected));
            assert_eq!((unfinished, place.left), ([bytes.len(), 9], 5), "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn what_is_not_carried_out_yet_counts_until_it_is() {
        let budget = budget(4 * UNCOUNTED_BYTES_MAX);
        let size = u32::try_from(3 * UNCOUNTED_BYTES_MAX).expect("small");
        let (first, mut one) = body(Expected::Any, &budget);
        let (second, mut another) = body(Expected::One, &budget);
        first.try_send(data(&message(size, 2 * UNCOUNTED_BYTES_MAX))).expect("it listens");
        second.try_send(data(&message(size, 2 * UNCOUNTED_BYTES_MAX + 4096))).expect("it listens");
        one.frame().await.expect("data").expect("there is room");
        let refused = another.frame().await.expect("an end").expect_err("both do not fit");
        assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, Refusal::RequestsTooMany.text()));
        // Once the message of the stream is whole it counts no more.
        first.try_send(data(&vec![7; UNCOUNTED_BYTES_MAX])).expect("it listens");
        one.frame().await.expect("data").expect("there is room");
        let (third, mut last) = body(Expected::One, &budget);
        third.try_send(data(&message(size, 2 * UNCOUNTED_BYTES_MAX + 4096))).expect("it listens");
        last.frame().await.expect("data").expect("there is room again");
        // That of a unary request counts as long as its body does not end.
        third.try_send(data(&vec![7; UNCOUNTED_BYTES_MAX - 4096])).expect("it listens");
        last.frame().await.expect("data").expect("there is room");
        let (fourth, mut late) = body(Expected::One, &budget);
        fourth.try_send(data(&message(size, 2 * UNCOUNTED_BYTES_MAX))).expect("it listens");
        late.frame().await.expect("an end").expect_err("the one before it is whole, and is not carried out");
        drop(last);
        let (fifth, mut last) = body(Expected::One, &budget);
        fifth.try_send(data(&message(size, 2 * UNCOUNTED_BYTES_MAX))).expect("it listens");
        last.frame().await.expect("data").expect("there is room again");
    }

    #[tokio::test]
    async fn a_message_that_does_not_go_on_is_given_up() {
        let budget = budget(1 << 20);
        let begun = std::time::Instant::now();
        for sent in [&[][..], b"\0\0", &message(9, 0), &message(9, 8), &message(9, 9)] {
            let (sender, mut body) = body(Expected::One, &budget);
            if !sent.is_empty() {
                sender.try_send(data(sent)).expect("it listens");
                body.frame().await.expect("data").expect("there is room");
            }
            let gone = body.frame().await.expect("an end").expect_err("it is silent");
            assert_eq!(gone.code(), Code::DeadlineExceeded, "{gone}");
        }
        assert!(begun.elapsed() >= 5 * SILENCE);
    }

    #[tokio::test]
    async fn a_stream_may_rest_between_messages_and_not_within_one() {
        let (sender, mut body) = body(Expected::Any, &budget(1 << 20));
        let rests = tokio::time::timeout(5 * SILENCE, body.frame()).await;
        assert!(rests.is_err(), "nothing has come, and nothing must");
        sender.try_send(data(&[message(3, 3), message(3, 1)].concat())).expect("it listens");
        body.frame().await.expect("data").expect("there is room");
        assert_eq!(body.frame().await.expect("an end").expect_err("it is silent").code(), Code::DeadlineExceeded);
    }
}
