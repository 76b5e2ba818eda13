//! Remembers for what reason TLS refused a connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use oag_cluster::DialError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::secure::refused;

/// A stream whose final refusal is kept.
pub(crate) struct Witness<S> {
    stream: S,
    seen: Seen,
}

/// What was seen on a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<OnceLock<DialError>>);

impl Seen {
    /// The refusal, when there was one.
    pub(crate) fn refusal(&self) -> Option<DialError> {
        self.0.get().cloned()
    }

    fn look<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Some(refusal) = done.as_ref().err().and_then(|error| refused(error)) {
            // What was said first counts.
            let _ = self.0.set(refusal);
        }
        done
    }
}

impl<S> Witness<S> {
    pub(crate) fn new(stream: S) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { stream, seen: seen.clone() }, seen)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Witness<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        Poll::Ready(self.seen.look(done))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.seen.look(done))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.seen.look(done))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
