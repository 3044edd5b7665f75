//! Ports: opened here, or taken over.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait for the accept loop.
const BACKLOG: u32 = 1_024;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}{}", hint(.cause))]
pub(crate) struct ServerError {
    address: SocketAddr,
    #[source]
    cause: io::Error,
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: choose one with --web.listen-address or web.listen_address"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have the address",
        _ => "",
    }
}

/// Listeners that are open but not served yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) listeners: Vec<TcpListener>,
}

impl Bound {
    /// Where they listen; with port 0 this says which port it became.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }
}

/// Opens all listeners, or none. Must be called in the runtime that will serve them.
///
/// # Errors
/// The first address that cannot be listened on.
pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Bound, ServerError> {
    let listen = |address: SocketAddr| -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let open = |address: &SocketAddr| {
        listen(*address).map_err(|cause| ServerError {
            address: *address,
            cause,
        })
    };
    Ok(Bound {
        listeners: addresses.iter().map(open).collect::<Result<_, _>>()?,
    })
}

/// Takes listeners that are open already. Must be called in the runtime that will serve them.
///
/// # Errors
/// The first that cannot be taken.
pub(crate) fn take(listeners: &[Arc<std::net::TcpListener>]) -> Result<Bound, ServerError> {
    let take = |listener: &Arc<std::net::TcpListener>| {
        let taken = listener.try_clone().and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        taken.map_err(|cause| ServerError {
            address: listener.local_addr().unwrap_or(([0, 0, 0, 0], 0).into()),
            cause,
        })
    };
    Ok(Bound {
        listeners: listeners.iter().map(take).collect::<Result<_, _>>()?,
    })
}
