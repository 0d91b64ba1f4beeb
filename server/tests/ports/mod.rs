//! Addresses for the processes of tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address that is free, below the ports that the system gives to outgoing connections: it has to stay free until its process listens,
/// and while that is dead.
pub fn free_address() -> SocketAddr {
    (0..200)
        .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 20_000 + rand::random::<u16>() % 10_000)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}
