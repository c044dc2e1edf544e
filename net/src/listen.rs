//! The TCP listener.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted; the kernel lowers it to its own `somaxconn`.
const BACKLOG: i32 = 4096;
/// The kernel's share of what waits for a slow reader. Left alone, the kernel grows it to 4 MiB a
/// socket, and the write queue's own limit would be reached only after that.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Out of descriptors or memory: wait for somebody to leave, without spinning.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be bound, with what to change.
#[derive(Debug, thiserror::Error)]
#[error("{setting}={addr}: cannot listen there ({source}); {}", advice(.source))]
pub struct BindError {
    /// The environment variable that names the address.
    pub setting: &'static str,
    pub addr: SocketAddr,
    pub source: io::Error,
}

/// What an operator can do about an address that cannot be bound.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has it: stop that one or set another port in this setting"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address: set one that it has, or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges: set a higher one in this setting"
        }
        _ => "set another address in this setting",
    }
}

/// A bound listener, not yet tied to a runtime: each shard takes a clone of the one socket, so that
/// a second gateway on the same port is refused (which SO_REUSEPORT would allow in silence).
#[derive(Debug)]
pub struct Bound(std::net::TcpListener);

impl Bound {
    /// Binds and listens. `setting` is the environment variable that the error should name.
    ///
    /// # Errors
    ///
    /// What the operator should change.
    pub fn bind(addr: SocketAddr, setting: &'static str) -> Result<Self, BindError> {
        bind(addr).map(Self).map_err(|source| BindError { setting, addr, source })
    }

    /// The address that was really bound: with port 0 the kernel chose one.
    ///
    /// # Errors
    ///
    /// Where the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The plain socket, non-blocking, for a server that accepts by itself.
    #[must_use]
    pub fn into_std(self) -> std::net::TcpListener {
        self.0
    }

    /// The listener for the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// No descriptor left.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn listener(&self) -> io::Result<Listener> {
        TcpListener::from_std(self.0.try_clone()?).map(Listener)
    }
}

fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old process's connections to leave TIME_WAIT. On Linux this
    // still refuses a second listener.
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listener in one runtime.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// The next connection, with Nagle's delay off. Never fails: what goes wrong with one connection
    /// does not end the listener, and a lack of descriptors is waited out. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => {
                    // Only a connection that is gone already refuses it, and its first read tells.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if is_exhausted(&error) => {
                    metrics::counter!("sautikit_tcp_accept_errors_total", "reason" => "exhausted")
                        .increment(1);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                Err(_) => {
                    metrics::counter!("sautikit_tcp_accept_errors_total", "reason" => "connection")
                        .increment(1);
                    // A connection that died in the queue is gone from it; yield all the same, in
                    // case an error of another kind stays.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the queue, so trying again at once
/// would spin.
fn is_exhausted(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ANY: &str = "127.0.0.1:0";

    #[tokio::test]
    async fn a_clone_per_shard_accepts_from_the_one_socket() {
        let bound = Bound::bind(ANY.parse().unwrap(), "SAUTIKIT_WS_ADDR").unwrap();
        let (one, two) = (bound.listener().unwrap(), bound.listener().unwrap());
        for _ in 0..2 {
            let mut client = TcpStream::connect(bound.local_addr().unwrap()).await.unwrap();
            let (mut stream, peer) =
                tokio::select! { got = one.accept() => got, got = two.accept() => got };
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
            client.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
    }

    #[test]
    fn a_taken_port_is_refused_and_the_error_names_the_setting() {
        let bound = Bound::bind(ANY.parse().unwrap(), "SAUTIKIT_WS_ADDR").unwrap();
        let taken = bound.local_addr().unwrap();
        let text = Bound::bind(taken, "SAUTIKIT_WS_ADDR").unwrap_err().to_string();
        assert!(text.contains(&format!("SAUTIKIT_WS_ADDR={taken}")), "{text}");
        assert!(text.contains("another process has it"), "{text}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_its_own_advice() {
        let text = Bound::bind("192.0.2.1:0".parse().unwrap(), "SAUTIKIT_WS_ADDR")
            .unwrap_err()
            .to_string();
        assert!(text.contains("no interface of this machine"), "{text}");
    }
}
