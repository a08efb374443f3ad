//! The bytes of a connection on their way to and from HTTP: what was read ahead comes first, all are counted, and a
//! client that floods with pings is cut off.

use super::Traffic;
use super::ping::PingGuard;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that was read ahead of.
pub(super) struct Stream<S> {
    inner: S,
    ahead: Bytes,
    traffic: Traffic,
    guard: Option<PingGuard>,
}

impl<S> Stream<S> {
    /// Gives `ahead` back before anything else; `guard` sees what the client sends, on HTTP/2.
    pub(super) fn new(inner: S, ahead: Bytes, traffic: Traffic, guard: Option<PingGuard>) -> Self {
        Self { inner, ahead, traffic, guard }
    }

    fn take_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.traffic.received.inc_by(bytes.len() as u64);
        match &mut self.guard {
            Some(guard) => guard.see(bytes),
            None => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.ahead.has_remaining() {
            let part = this.ahead.split_to(this.ahead.len().min(buf.remaining()));
            buf.put_slice(&part);
        } else {
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        }
        Poll::Ready(this.take_in(&buf.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.traffic.sent.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.traffic.sent.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
