//! Opens the port, before anything else of the service is touched.

use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// Why the port could not be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "cannot listen on {addr}: the address is in use by another process; stop it or choose another with --listen"
    )]
    InUse { addr: SocketAddr },
    #[error("cannot listen on {addr}: this host has no such address; choose one it has with --listen")]
    NoSuchAddress { addr: SocketAddr },
    #[error(
        "cannot listen on {addr}: ports below 1024 need a right this process lacks; choose another with --listen"
    )]
    Forbidden { addr: SocketAddr },
    #[error("cannot listen on {addr}: {error}")]
    Other { addr: SocketAddr, error: io::Error },
}

impl BindError {
    /// What the system's refusal means.
    #[must_use]
    pub fn new(addr: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { addr },
            io::ErrorKind::PermissionDenied => Self::Forbidden { addr },
            _ => Self::Other { addr, error },
        }
    }
}

/// Opens `addr`; port 0 takes any free one.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|error| BindError::new(addr, error))
}
