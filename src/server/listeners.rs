//! The sockets that clients connect to: one for each worker and address, so that the kernel spreads connections.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait for a worker.
const BACKLOG: i32 = 4096;

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {}; {key} in {file} changes it", explain(source))]
pub struct BindError {
    address: SocketAddr,
    key: String,
    file: String,
    #[source]
    source: io::Error,
}

impl BindError {
    pub(super) fn new(address: SocketAddr, key: String, file: &std::path::Path, source: io::Error) -> Self {
        Self { address, key, file: file.display().to_string(), source }
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "the port is taken by another program".into(),
        ErrorKind::PermissionDenied => "no permission for this port".into(),
        ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

/// Opens as many sockets on one address as there are workers. Port 0 lets the system choose one port for all.
///
/// # Errors
/// The system's, `AddrInUse` also where another process of this user shares its port.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Sockets that share a port would share it with another Tollgate too: a bind without sharing finds that one.
        drop(listen(address, false)?);
    }
    let first = listen(address, true)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        sockets.push(listen(bound, true)?);
    }
    Ok(sockets)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_share_one_port() {
        let sockets = bind("127.0.0.1:0".parse().expect("an address"), 3).expect("bound");
        let ports: Vec<u16> =
            sockets.iter().map(|socket| socket.local_addr().expect("bound").port()).collect();
        assert!(ports.len() == 3 && ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn a_port_that_another_gateway_shares_is_taken() {
        let held = bind("127.0.0.1:0".parse().expect("an address"), 2).expect("bound");
        let address = held[0].local_addr().expect("bound");
        assert_eq!(bind(address, 1).expect_err("taken").kind(), ErrorKind::AddrInUse);
    }
}
