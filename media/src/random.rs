//! Unpredictable numbers for ports, SSRCs and first sequence numbers.

use std::hash::{BuildHasher, RandomState};

/// SipHash of a counter, under keys that the standard library draws from the system.
#[derive(Debug)]
pub(crate) struct Random {
    keys: RandomState,
    count: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        Self { keys: RandomState::new(), count: 0 }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 8] {
        self.count = self.count.wrapping_add(1);
        self.keys.hash_one(self.count).to_le_bytes()
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn u16(&mut self) -> u16 {
        let [a, b, ..] = self.bytes();
        u16::from_le_bytes([a, b])
    }
}
