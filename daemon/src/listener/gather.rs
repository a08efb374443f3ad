//! Fewer, larger writes: what a connection wants to send is gathered, and leaves when its task has been given one more
//! turn. In that turn the handlers that were started by the same read have answered, so a request costs one write
//! instead of one for the answer to a ping, one for the headers and the value, and one for the trailers.
//!
//! * A flush is put off once, by one turn of the scheduler, never by time.
//! * The buffer is bounded; what does not fit is written at once.

use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The largest frame of HTTP/2 with its head: larger answers gain nothing from another copy.
const GATHERED_BYTES_MAX: usize = (16 << 10) + 512;

/// A stream whose writes are gathered.
pub(super) struct Gather<S> {
    inner: S,
    gathered: BytesMut,
    put_off: bool,
}

impl<S> Gather<S> {
    /// Gathers what is written to `inner`.
    pub(super) fn new(inner: S) -> Self {
        Self { inner, gathered: BytesMut::new(), put_off: false }
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gathered.has_remaining() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() + buf.len() > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        if buf.len() > GATHERED_BYTES_MAX {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        self.gathered.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    /// The writer above copies small values beside their frame heads instead of handing them over in pieces.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.has_remaining() && !std::mem::replace(&mut self.put_off, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(cx))?;
        self.put_off = false;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker_ref;

    /// Remembers each write by itself.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(buf.to_vec());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(gather: &mut Gather<Writes>, bytes: &[u8]) {
        let cx = &mut Context::from_waker(noop_waker_ref());
        assert!(matches!(Pin::new(gather).poll_write(cx, bytes), Poll::Ready(Ok(n)) if n == bytes.len()));
    }

    fn flush(gather: &mut Gather<Writes>) -> bool {
        let cx = &mut Context::from_waker(noop_waker_ref());
        Pin::new(gather).poll_flush(cx).is_ready()
    }

    #[test]
    fn what_is_written_in_two_turns_leaves_in_one_write() {
        let mut gather = Gather::new(Writes::default());
        write(&mut gather, b"pong");
        assert!(!flush(&mut gather), "put off by one turn");
        write(&mut gather, b"answer");
        assert!(flush(&mut gather));
        assert_eq!(gather.inner.0, [b"ponganswer".to_vec()]);
        assert!(flush(&mut gather), "nothing is left to put off");
    }

    #[test]
    fn each_flush_is_put_off_once() {
        let mut gather = Gather::new(Writes::default());
        for _ in 0..3 {
            write(&mut gather, b"x");
            assert!(!flush(&mut gather));
            assert!(flush(&mut gather));
        }
        assert_eq!(gather.inner.0.len(), 3);
    }

    #[test]
    fn what_does_not_fit_keeps_its_order() {
        let mut gather = Gather::new(Writes::default());
        let large = vec![7; GATHERED_BYTES_MAX + 1];
        write(&mut gather, b"first");
        write(&mut gather, &large);
        write(&mut gather, b"last");
        assert!(!flush(&mut gather) && flush(&mut gather));
        assert_eq!(gather.inner.0, [b"first".to_vec(), large, b"last".to_vec()]);
    }
}
