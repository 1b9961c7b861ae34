//! An upstream's body on its way to the client. When it ends, its connection is free for the next request; when it
//! breaks off, so does the answer: never a shortened success.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use super::failure::UpstreamFailure;
use super::pool::Pool;
use super::stall::StallTimer;

/// An answer's body, with the connection that it comes from.
#[derive(Debug)]
pub struct AnswerBody {
    inner: Incoming,
    stall: StallTimer,
    lease: Option<(Connection, Rc<Pool>)>,
}

impl AnswerBody {
    pub(super) fn new(inner: Incoming, idle: Duration, connection: Connection, pool: &Rc<Pool>) -> Self {
        let mut body =
            Self { inner, stall: StallTimer::new(idle), lease: Some((connection, Rc::clone(pool))) };
        if body.inner.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some((connection, pool)) = self.lease.take() {
            pool.put_back(connection);
        }
    }

    /// The connection is of no more use.
    fn fail(&mut self, failure: UpstreamFailure) -> UpstreamFailure {
        if let Some((_, pool)) = self.lease.take() {
            pool.broke_off(failure.reason());
        }
        failure
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = UpstreamFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamFailure>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            ready!(self.stall.poll_stalled(context));
            return Poll::Ready(Some(Err(self.fail(UpstreamFailure::Stalled))));
        };
        self.stall.moved();
        match frame {
            Some(Ok(frame)) if frame.is_data() => {
                if self.inner.is_end_stream() {
                    self.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // Trailers end the body: they are not forwarded.
            Some(Ok(_)) | None => {
                self.release();
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.fail(UpstreamFailure::Broken(error))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
