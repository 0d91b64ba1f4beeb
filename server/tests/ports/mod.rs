//! Addresses for the processes of tests.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// What was given away already: it is free until its process listens, and while that is dead.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// An address that is free, below the ports that the system gives to outgoing connections: it has to stay free until its process listens,
/// and while that is dead. None is given twice.
pub fn free_address() -> SocketAddr {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let address = (0..200)
        .map(|_| 20_000 + rand::random::<u16>() % 10_000)
        .filter(|port| !given.contains(port))
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port");
    given.insert(address.port());
    address
}
