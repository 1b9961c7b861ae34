//! The client's body on its way to an upstream: counted, timed, never collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::stall::StallTimer;

/// A request body within its limits. Trailers end it: they are not forwarded.
#[derive(Debug)]
pub struct ClientBody {
    inner: Incoming,
    remaining: u64,
    stall: StallTimer,
    progress: Rc<BodyProgress>,
}

/// How far a body has come; shared with the code that waits for the answer.
#[derive(Debug)]
pub struct BodyProgress {
    fault: Cell<Option<BodyFault>>,
    last_piece: Cell<Option<Instant>>,
    ended: Cell<bool>,
}

/// What can be wrong with a client's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// More bytes than allowed.
    #[error("over the limit")]
    TooLarge,
    /// It stopped coming.
    #[error("stalled")]
    Stalled,
    /// Broken framing, or the client went away.
    #[error("unreadable")]
    Unreadable,
}

impl BodyProgress {
    /// What went wrong, if something did.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    /// When the last piece passed; `None` for a body that ended or never began: the answer's time then counts
    /// from the request.
    pub(super) fn last_piece(&self) -> Option<Instant> {
        self.last_piece.get()
    }

    /// Whether the client still has to send something.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended.get()
    }
}

impl ClientBody {
    /// A body of at most `limit` bytes that may stand still for `stall`.
    #[must_use]
    pub fn new(inner: Incoming, limit: u64, stall: Duration) -> Self {
        let progress = Rc::new(BodyProgress {
            fault: Cell::new(None),
            last_piece: Cell::new(None),
            ended: Cell::new(inner.is_end_stream()),
        });
        Self { inner, remaining: limit, stall: StallTimer::new(stall), progress }
    }

    /// How far it has come, also after the body itself was sent away.
    #[must_use]
    pub fn progress(&self) -> Rc<BodyProgress> {
        Rc::clone(&self.progress)
    }

    /// Reads a small body whole, as the token endpoints need it.
    ///
    /// # Errors
    /// [`BodyFault::TooLarge`] beyond `limit` bytes; the others as they come.
    pub async fn collect(mut self, limit: u64) -> Result<Bytes, BodyFault> {
        self.remaining = self.remaining.min(limit);
        if self.size_hint().lower() > limit {
            return Err(BodyFault::TooLarge);
        }
        let mut collected = BytesMut::new();
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame?.into_data() {
                collected.extend_from_slice(&data);
            }
        }
        Ok(collected.freeze())
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn end(&self) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.ended.set(true);
        Poll::Ready(None)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            ready!(self.stall.poll_stalled(context));
            return self.fail(BodyFault::Stalled);
        };
        self.stall.moved();
        let frame = match frame {
            None => return self.end(),
            Some(Err(_)) => return self.fail(BodyFault::Unreadable),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { return self.end() };
        let Some(remaining) = self.remaining.checked_sub(data.len() as u64) else {
            return self.fail(BodyFault::TooLarge);
        };
        self.remaining = remaining;
        self.progress.last_piece.set(Some(Instant::now()));
        if self.inner.is_end_stream() {
            self.progress.ended.set(true);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
