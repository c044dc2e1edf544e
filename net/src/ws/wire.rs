use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::WIRE_MAX_BYTES;

/// What a read fails with when a message cost too much. No socket's read gives this kind.
pub(super) const OVERRUN: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// A masked control frame's header.
const CONTROL_HEADER_BYTES: usize = 6;

/// Counts what came in.
#[derive(Default)]
pub(super) struct Meter {
    received: u64,
    /// Of them, those that no item accounts for yet.
    unaccounted: usize,
}

impl Meter {
    /// A message is whole. What was read ahead of the next one is forgiven with it.
    pub(super) fn message(&mut self) {
        self.unaccounted = 0;
    }

    /// A control frame, which may stand between a message's fragments.
    pub(super) fn control(&mut self, payload: usize) {
        self.unaccounted = self.unaccounted.saturating_sub(payload + CONTROL_HEADER_BYTES);
    }

    /// A message that is thrown away.
    pub(super) fn forget(&mut self, payload: usize) {
        self.control(payload);
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }
}

/// A stream as the protocol wants it: reads and writes that say `WouldBlock` where the task would
/// have to wait, with the task's waker registered.
pub(super) struct Wire<'a, 'cx, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'cx>,
    meter: &'a mut Meter,
}

impl<'a, 'cx, S> Wire<'a, 'cx, S> {
    pub(super) fn new(stream: &'a mut S, cx: &'a mut Context<'cx>, meter: &'a mut Meter) -> Self {
        Self { stream, cx, meter }
    }
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Wire<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.unaccounted > WIRE_MAX_BYTES {
            return Err(OVERRUN.into());
        }
        let mut buffer = ReadBuf::new(buffer);
        now(Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer))?;
        let read = buffer.filled().len();
        self.meter.received += read as u64;
        self.meter.unaccounted += read;
        Ok(read)
    }
}

impl<S: AsyncWrite + Unpin> Write for Wire<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}
