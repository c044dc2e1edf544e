//! The room over real sockets: loopback, ports of the kernel's choice.

#[cfg(test)]
mod answers;
mod closing;
mod frames;
mod handshake;
mod head;
mod limits;
#[cfg(test)]
mod support;
