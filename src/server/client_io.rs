//! The deadlines of a client connection, kept where its bytes pass.
//!
//! hyper's own timer for heads also runs on idle kept-alive connections, so a head is timed here, from its first
//! byte. One timer serves all deadlines and is set only when something really waits; it stays where it is while
//! requests come and go.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gateway::{Activity, Deadlines, Phase};

/// What a client hears whose head came too slowly; closing without a word would look like a fault of the network.
const HEAD_TIMEOUT_ANSWER: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    content-type: application/json\r\n\
    content-length: 78\r\n\
    connection: close\r\n\r\n\
    {\"detail\":\"The request head did not arrive in time.\",\"code\":\"request_timeout\"}";

/// How long the bytes of a client are read and forgotten after its last answer, where it was answered early.
const LINGER: Duration = Duration::from_secs(2);

/// A client's stream with its deadlines.
#[derive(Debug)]
pub(super) struct ClientIo<T> {
    stream: T,
    activity: Rc<Activity>,
    deadlines: Deadlines,
    timer: Option<Pin<Box<Sleep>>>,
    blocked_since: Option<Instant>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Set while a connection lingers.
    last_moment: Option<Pin<Box<Sleep>>>,
    timeouts: IntCounterVec,
}

impl<T: AsyncRead + AsyncWrite + Unpin> ClientIo<T> {
    pub(super) fn new(
        stream: T,
        activity: Rc<Activity>,
        deadlines: Deadlines,
        timeouts: &IntCounterVec,
    ) -> Self {
        Self {
            stream,
            activity,
            deadlines,
            timer: None,
            blocked_since: None,
            write_timer: None,
            last_moment: None,
            timeouts: timeouts.clone(),
        }
    }

    /// Nothing came: ready when that has lasted too long.
    fn poll_read_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let running = self.timer.as_ref().filter(|timer| !timer.is_elapsed());
        let deadline = match (self.activity.deadline(self.deadlines), running) {
            (Some(deadline), _) => deadline,
            // hyper looks for bytes while it serves a request, and not again when that ends: a timer must stand by
            // then. When it fires, the connection has been idle for less than its time.
            (None, Some(_)) => return Poll::Pending,
            (None, None) => Instant::now() + self.deadlines.idle,
        };
        // A timer that fires early is set anew then; so it need not move with each request.
        let stands = running.is_some_and(|timer| timer.deadline() <= deadline);
        if stands {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        match self.activity.phase() {
            // The windows of an HTTP/2 client that takes nothing are closed, not its socket.
            Phase::Requests if self.activity.client_stalls() => {
                self.timeouts.with_label_values(&["stalled"]).inc();
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            Phase::Requests => return Poll::Pending,
            Phase::Idle => {
                self.timeouts.with_label_values(&["idle"]).inc();
                // As if the client had closed: hyper then ends the connection in good order.
                return Poll::Ready(Ok(()));
            }
            Phase::Head => {}
        }
        self.timeouts.with_label_values(&["head"]).inc();
        tracing::debug!("closed a connection whose request head did not arrive in time");
        // The last word of a connection: if the socket does not take it at once, the client misses it.
        let _ = Pin::new(&mut self.stream).poll_write(context, HEAD_TIMEOUT_ANSWER);
        let _ = Pin::new(&mut self.stream).poll_flush(context);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// The client takes nothing: an error when that has lasted too long.
    fn poll_write_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = *self.blocked_since.get_or_insert_with(Instant::now) + self.deadlines.idle;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timeouts.with_label_values(&["stalled"]).inc();
        Poll::Ready(ErrorKind::TimedOut.into())
    }

    /// Reads and forgets what the client still sends, until it ends or the moment is over.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let last_moment =
            self.last_moment.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + LINGER)));
        if last_moment.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut forgotten = [0; 8 * 1024];
        // A client that never stops must not keep the worker here: it gets its next turn like any other.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut forgotten);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn watch_write<R>(
        &mut self,
        outcome: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.blocked_since = None;
            return outcome;
        }
        self.poll_write_deadline(context).map(Err)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                if buffer.filled().len() > before {
                    self.activity.bytes_came();
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => self.poll_read_deadline(context),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_write(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.last_moment.is_none() {
            let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.watch_write(outcome, context))?;
        }
        if self.activity.lingers() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Multiplexing;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn connection(activity: &Rc<Activity>) -> (ClientIo<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(256);
        let deadlines = Deadlines { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
        let metrics = crate::telemetry::Metrics::new();
        (ClientIo::new(server, Rc::clone(activity), deadlines, &metrics.connection_timeouts), client)
    }

    #[test]
    fn the_length_of_the_last_word_is_right() {
        let text = std::str::from_utf8(HEAD_TIMEOUT_ANSWER).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_quietly_after_its_idle_time() {
        let (mut io, _client) = connection(&Activity::new(Multiplexing::OneRequest));
        let start = Instant::now();
        assert_eq!(io.read(&mut [0; 8]).await.expect("an end, no error"), 0);
        assert_eq!(start.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_from_its_first_byte_and_answered_408() {
        let (mut io, mut client) = connection(&Activity::new(Multiplexing::OneRequest));
        tokio::time::advance(Duration::from_secs(60)).await;
        client.write_all(b"GET / HT").await.expect("written");
        assert_eq!(io.read(&mut [0; 64]).await.expect("bytes"), 8);
        let start = Instant::now();
        let error = io.read(&mut [0; 64]).await.expect_err("a timeout");
        assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::TimedOut, 10));
        let mut answer = vec![0; 12];
        client.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, b"HTTP/1.1 408");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_request_has_no_read_deadline_and_idle_time_counts_from_its_end() {
        let activity = Activity::new(Multiplexing::OneRequest);
        let (mut io, _client) = connection(&activity);
        let request = activity.begin_request();
        let read = tokio::time::timeout(Duration::from_secs(1000), io.read(&mut [0; 8])).await;
        assert!(read.is_err(), "still waiting");
        drop(request);
        let start = Instant::now();
        assert_eq!(io.read(&mut [0; 8]).await.expect("an end"), 0);
        assert_eq!(start.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go() {
        let (mut io, _client) = connection(&Activity::new(Multiplexing::OneRequest));
        let start = Instant::now();
        let error = io.write_all(&[0; 1000]).await.expect_err("a timeout");
        assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::TimedOut, 75));
    }
}
