//! Which call an address of the browsers' port belongs to: the one that it proved the ICE password of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An address that was in use so lately is nobody else's: who forges it for a call of their own would take a
/// stranger's audio away.
const IN_USE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Addresses(HashMap<SocketAddr, Owner>);

#[derive(Clone, Copy, Debug)]
struct Owner {
    call: usize,
    heard: Instant,
}

impl Addresses {
    /// Whose it is.
    pub(crate) fn owner(&self, address: SocketAddr) -> Option<usize> {
        self.0.get(&address).map(|owner| owner.call)
    }

    /// Whose it is, now that something came from there.
    pub(crate) fn heard(&mut self, now: Instant, address: SocketAddr) -> Option<usize> {
        let owner = self.0.get_mut(&address)?;
        owner.heard = now;
        Some(owner.call)
    }

    /// Gives it to a call that proved itself from there; false while another uses it.
    pub(crate) fn give(&mut self, now: Instant, address: SocketAddr, call: usize) -> bool {
        let is_in_use = self.0.get(&address).is_some_and(|owner| {
            owner.call != call && now.saturating_duration_since(owner.heard) < IN_USE
        });
        if !is_in_use {
            self.0.insert(address, Owner { call, heard: now });
        }
        !is_in_use
    }

    /// Takes it from a call, unless it is another's by now.
    pub(crate) fn take(&mut self, address: SocketAddr, call: usize) {
        if self.owner(address) == Some(call) {
            self.0.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_not_given_to_who_forges_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let address = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let mut addresses = Addresses::default();
        assert_eq!(addresses.heard(at(0), address), None);
        assert!(addresses.give(at(0), address, 1));
        assert!(addresses.give(at(1), address, 1), "proved again");
        assert_eq!(addresses.heard(at(10), address), Some(1));
        assert!(!addresses.give(at(14), address, 2));
        assert_eq!(addresses.owner(address), Some(1));
        // A network gives an address anew once its former user is silent.
        assert!(addresses.give(at(15), address, 2));
        assert_eq!(addresses.owner(address), Some(2));
        addresses.take(address, 1);
        assert_eq!(addresses.owner(address), Some(2));
        addresses.take(address, 2);
        assert_eq!(addresses.owner(address), None);
    }
}
