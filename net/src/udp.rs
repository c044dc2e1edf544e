//! One UDP socket: one reader, on the runtime that opened it, and senders on every thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sautikit_core::limits::DATAGRAM_MAX_BYTES;
use socket2::{Domain, Protocol, Socket, Type};

pub use crate::listen::BindError;

/// Enough for a second of a busy trunk while the reader is held up; the kernel may grant less.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Datagrams taken in one go, so that a flood cannot keep the reader from everything else.
const BATCH_MAX: usize = 64;

/// A bound socket, not yet tied to a runtime.
#[derive(Debug)]
pub struct Bound(std::net::UdpSocket);

/// The one reader.
#[derive(Debug)]
pub struct Receiver {
    socket: tokio::net::UdpSocket,
    scratch: Box<[u8]>,
}

/// Sends without waiting, from any thread: a socket handle of its own, since tokio's knows that it
/// may write only after its own runtime's poll has said so.
#[derive(Clone, Debug)]
pub struct Sender(Arc<std::net::UdpSocket>);

/// A datagram that was not sent. SIP's timers send it again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The kernel's queue is full.
    #[error("the socket's send queue is full")]
    Full,
    #[error("the datagram is too large")]
    TooLarge,
    #[error("cannot send: {0}")]
    Io(#[source] io::Error),
}

impl SendError {
    /// The metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Io(_) => "io",
        }
    }
}

impl Bound {
    /// Binds. `setting` is the environment variable that the error should name.
    ///
    /// # Errors
    ///
    /// What the operator should change.
    pub fn bind(addr: SocketAddr, setting: &'static str) -> Result<Self, BindError> {
        bind(addr).map(Self).map_err(|source| BindError { setting, addr, source })
    }

    /// The address that was really bound.
    ///
    /// # Errors
    ///
    /// Where the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The reader, for the runtime that this is called in, and a sender for everybody.
    ///
    /// # Errors
    ///
    /// No descriptor left.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn split(self) -> io::Result<(Receiver, Sender)> {
        let sender = Sender(Arc::new(self.0.try_clone()?));
        let socket = tokio::net::UdpSocket::from_std(self.0)?;
        let scratch = vec![0; DATAGRAM_MAX_BYTES].into_boxed_slice();
        Ok((Receiver { socket, scratch }, sender))
    }
}

fn bind(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // Only a wish: the kernel caps it at `rmem_max`.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

impl Receiver {
    /// Waits for datagrams and appends all that are there, 64 at the most, to `into`. Each is a
    /// buffer of its own size, so that keeping one keeps nothing else alive. Cancel-safe.
    pub async fn recv_many(&mut self, into: &mut Vec<(Bytes, SocketAddr)>) {
        let before = into.len();
        while into.len() == before {
            if self.socket.readable().await.is_err() {
                count_receive_error();
                tokio::task::yield_now().await;
                continue;
            }
            self.take_ready(into);
        }
    }

    fn take_ready(&mut self, into: &mut Vec<(Bytes, SocketAddr)>) {
        for _ in 0..BATCH_MAX {
            match self.socket.try_recv_from(&mut self.scratch) {
                Ok((length, source)) => {
                    let datagram = self.scratch.get(..length).unwrap_or_default();
                    into.push((Bytes::copy_from_slice(datagram), source));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier send; the next datagram is not concerned.
                Err(_) => count_receive_error(),
            }
        }
    }

    /// The address that is bound.
    ///
    /// # Errors
    ///
    /// Where the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

fn count_receive_error() {
    metrics::counter!("sautikit_udp_receive_errors_total").increment(1);
}

impl Sender {
    /// Sends one datagram, or says at once that it cannot; each failure is counted.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> Result<(), SendError> {
        let failed = if datagram.len() > DATAGRAM_MAX_BYTES {
            SendError::TooLarge
        } else {
            match self.0.send_to(datagram, to) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => SendError::Full,
                Err(error) => SendError::Io(error),
            }
        };
        metrics::counter!("sautikit_udp_send_errors_total", "reason" => failed.label())
            .increment(1);
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Bound {
        Bound::bind("127.0.0.1:0".parse().unwrap(), "SAUTIKIT_SIP_UDP_ADDR").unwrap()
    }

    #[tokio::test]
    async fn what_waits_comes_in_one_go_with_its_source() {
        let (receiving, sending) = (any(), any());
        let to = receiving.local_addr().unwrap();
        let from = sending.local_addr().unwrap();
        let (mut receiver, _) = receiving.split().unwrap();
        let (_, sender) = sending.split().unwrap();
        for text in ["one", "two", "three"] {
            sender.send(text.as_bytes(), to).unwrap();
        }
        let mut got = Vec::new();
        while got.len() < 3 {
            receiver.recv_many(&mut got).await;
        }
        let texts: Vec<&[u8]> = got.iter().map(|(bytes, _)| &bytes[..]).collect();
        assert_eq!(texts, [b"one" as &[u8], b"two", b"three"]);
        assert!(got.iter().all(|(_, source)| *source == from));
    }

    #[tokio::test]
    async fn the_largest_datagram_passes_whole_and_one_more_byte_does_not() {
        let (receiving, sending) = (any(), any());
        let to = receiving.local_addr().unwrap();
        let (mut receiver, _) = receiving.split().unwrap();
        let (_, sender) = sending.split().unwrap();
        let largest = vec![b'x'; DATAGRAM_MAX_BYTES];
        sender.send(&largest, to).unwrap();
        let mut got = Vec::new();
        receiver.recv_many(&mut got).await;
        assert_eq!(got[0].0.len(), DATAGRAM_MAX_BYTES);
        let error = sender.send(&vec![b'x'; DATAGRAM_MAX_BYTES + 1], to).unwrap_err();
        assert_eq!(error.label(), "too_large");
    }

    #[tokio::test]
    async fn a_sender_works_from_another_thread_before_any_poll() {
        let (receiving, sending) = (any(), any());
        let to = receiving.local_addr().unwrap();
        let (mut receiver, _) = receiving.split().unwrap();
        let (_, sender) = sending.split().unwrap();
        std::thread::spawn(move || sender.send(b"hello", to).unwrap()).join().unwrap();
        let mut got = Vec::new();
        receiver.recv_many(&mut got).await;
        assert_eq!(&got[0].0[..], b"hello");
    }

    #[tokio::test]
    async fn a_closed_port_behind_the_peer_does_not_disturb_the_reader() {
        let gone = any().local_addr().unwrap();
        let (receiving, sending) = (any(), any());
        let to = receiving.local_addr().unwrap();
        let (mut receiver, back) = receiving.split().unwrap();
        let (_, sender) = sending.split().unwrap();
        let _ = back.send(b"nobody hears", gone);
        sender.send(b"still here", to).unwrap();
        let mut got = Vec::new();
        receiver.recv_many(&mut got).await;
        assert_eq!(&got[0].0[..], b"still here");
    }

    #[test]
    fn a_taken_port_is_refused_and_the_error_names_the_setting() {
        let bound = any();
        let taken = bound.local_addr().unwrap();
        let text = Bound::bind(taken, "SAUTIKIT_SIP_UDP_ADDR").unwrap_err().to_string();
        assert!(text.contains(&format!("SAUTIKIT_SIP_UDP_ADDR={taken}")), "{text}");
    }
}
