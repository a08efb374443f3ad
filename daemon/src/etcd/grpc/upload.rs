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
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// How long a message may take from one piece of it to the next.
pub(in crate::etcd) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long all of a message may take: the largest one over a link of 300 kbit/s. Whoever sends a byte now and then would
/// hold its part for hours otherwise.
const TIME_MAX: Duration = Duration::from_secs(60);

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
    /// How long a message may take.
    time_max: Duration,
    /// Since when it must go on.
    since: Option<Instant>,
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
    /// Whether a message ends in these bytes.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        let mut ends = false;
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
                ends = true;
            }
        }
        ends
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
        let (silence_max, time_max, place) = (SILENCE_MAX, TIME_MAX, Place::default());
        Self { body, expected, silence_max, time_max, since: None, place, share: budget.share(), silence: None }
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.silence = None;
        if self.place.see(bytes) && self.expected == Expected::Any {
            self.since = None;
        }
        match self.place.unfinished_bytes(self.expected) {
            0 => {
                self.share.release();
                Ok(())
            }
            unfinished => self.share.grow(unfinished).map_err(Status::from),
        }
    }

    /// Whether it has been silent for too long, or takes too long, where it must go on.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.expected == Expected::Any && self.place.unfinished_bytes(Expected::Any) == 0 {
            return false;
        }
        let now = Instant::now();
        let end = *self.since.get_or_insert(now) + self.time_max;
        let silence = self.silence.get_or_insert_with(|| {
            let until = end.min(now + self.silence_max);
            Box::pin(tokio::time::sleep_until(until))
        });
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
            Poll::Pending if this.poll_late(cx) => {
                let (silence_max, time_max) = (this.silence_max, this.time_max);
                let said = format!(
                    "grpc: the request has not gone on for {silence_max:?}, or is not whole after {time_max:?}"
                );
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
            for piece in bytes.chunks(size) {
                place.see(piece);
            }
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

    /// Reads what comes a byte at a time, and says how it ends.
    async fn drop_by_drop(message: Vec<u8>, expected: Expected) -> Option<Code> {
        const TIME: Duration = Duration::from_millis(300);
        let (sender, body) = body(expected, &budget(1 << 20));
        let mut body = Upload { silence_max: Duration::from_secs(3600), time_max: TIME, ..body };
        tokio::spawn(async move {
            for byte in message {
                sender.send(data(&[byte])).await.ok();
                tokio::time::sleep(TIME / 100).await;
            }
        });
        let begun = std::time::Instant::now();
        while let Some(frame) = body.frame().await {
            if let Err(gone) = frame {
                assert!(begun.elapsed() >= TIME);
                return Some(gone.code());
            }
        }
        None
    }

    #[tokio::test]
    async fn a_message_that_comes_drop_by_drop_is_given_up_and_one_after_another_is_not() {
        assert_eq!(drop_by_drop(message(200, 200), Expected::One).await, Some(Code::DeadlineExceeded));
        assert_eq!(drop_by_drop(message(200, 200), Expected::Any).await, Some(Code::DeadlineExceeded));
        assert_eq!(drop_by_drop(message(1, 1).repeat(40), Expected::Any).await, None);
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
