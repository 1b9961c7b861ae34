//! One connection to an upstream.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client_body::ClientBody;

/// A connection that is free, or serves one request.
pub(super) struct Connection {
    pub(super) sender: SendRequest<ClientBody>,
    socket: SharedSocket,
    pub(super) idle_since: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}

/// How large the head of an upstream's answer may be.
const ANSWER_HEAD: usize = 256 * 1024;

impl Connection {
    /// Speaks HTTP/1.1 over a fresh socket. Its work is done by a task of this worker.
    pub(super) async fn start(stream: TcpStream) -> hyper::Result<Self> {
        let socket = SharedSocket(Rc::new(RefCell::new(stream)));
        let (sender, connection) =
            Builder::new().max_buf_size(ANSWER_HEAD).handshake(TokioIo::new(socket.clone())).await?;
        // Its errors reach the request that it serves; without one nobody needs them.
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, socket, idle_since: Instant::now() })
    }

    /// Whether the upstream has closed it, or sent what nobody asked for. The kernel knows before the connection's
    /// task does: a request written to such a socket would be lost.
    pub(super) fn is_stale(&self) -> bool {
        if !self.sender.is_ready() {
            return true;
        }
        let stream = self.socket.0.borrow();
        let mut byte = [MaybeUninit::uninit()];
        let peeked = socket2::SockRef::from(&*stream).peek(&mut byte);
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// A socket of two owners on one thread: hyper's connection, and the pool that looks whether it is still open.
#[derive(Clone)]
struct SharedSocket(Rc<RefCell<TcpStream>>);

impl AsyncRead for SharedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(context)
    }
}
