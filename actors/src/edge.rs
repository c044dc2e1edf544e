//! What an address may do before it has shown a good token. The rule is
//! [`sautikit_core::admission::AddressGate`]; here it is shared by the listener and the sessions.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sautikit_core::admission::{Address, AddressGate};
use sautikit_core::limits::Limits;

/// The counters of all addresses.
pub(crate) struct Edge(Mutex<AddressGate>);

/// A connection that has not shown a good token yet; dropping it ends the count.
pub(crate) struct Newcomer {
    edge: Arc<Edge>,
    address: Address,
}

impl Edge {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Mutex::new(AddressGate::new(limits)))
    }

    fn gate(&self) -> MutexGuard<'_, AddressGate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection, where the address may have one more.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Newcomer> {
        let address = Address::from(address);
        self.gate().enter(address, Instant::now()).ok()?;
        Some(Newcomer { edge: Arc::clone(self), address })
    }

    /// A handshake of this address failed by its own doing.
    pub(crate) fn failed(&self, address: IpAddr) {
        self.gate().failed(Address::from(address), Instant::now());
    }

    /// Whether the address has not failed too often just now.
    pub(crate) fn may_try(&self, address: IpAddr) -> bool {
        self.gate().may_try(Address::from(address), Instant::now())
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.edge.gate().leave(self.address);
    }
}
