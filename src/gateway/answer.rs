//! The body of every answer, from wherever it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::journey::Journey;
use crate::upstream::{AnswerBody, UpstreamFailure};

/// Where an answer's bytes come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The gateway itself.
    Own(Bytes),
    /// An upstream, piece by piece.
    Upstream(AnswerBody),
}

impl Source {
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.size_hint(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }
}

/// An answer's body, with the journey that ends when it does.
#[derive(Debug)]
pub struct GatewayBody {
    source: Source,
    journey: Box<Journey>,
    ended: bool,
}

impl GatewayBody {
    pub(super) fn new(source: Source, mut journey: Box<Journey>) -> Self {
        let ended = source.is_end_stream();
        journey.waits_for_client();
        Self { source, journey, ended }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = UpstreamFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamFailure>>> {
        let body = &mut *self;
        let frame = match &mut body.source {
            Source::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::Upstream(upstream) => Pin::new(upstream).poll_frame(context),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                body.journey.sent(frame.data_ref().map_or(0, Bytes::len));
                body.journey.waits_for_client();
                body.ended = body.is_end_stream();
            }
            Poll::Ready(Some(Err(failure))) => {
                // The answer breaks off for the client too: hyper closes the connection or resets the stream.
                body.journey.failed(failure);
                body.ended = true;
            }
            Poll::Ready(None) => body.ended = true,
            Poll::Pending => body.journey.waits_for_upstream(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for GatewayBody {
    fn drop(&mut self) {
        if !self.ended {
            self.journey.client_left();
        }
    }
}
