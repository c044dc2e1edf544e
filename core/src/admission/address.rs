use super::Table;
use crate::bucket::TokenBucket;
use crate::cause::HandshakeRefusal;
use crate::limits::{Cap, Limits};
use std::net::IpAddr;
use std::time::Instant;

/// Addresses that are watched at once. Beyond it (a distributed flood, since an idle row is
/// forgotten within a second or two) a new address is not counted, so that memory stays bounded and
/// nobody is refused for what others did.
const ADDRESSES_MAX: usize = 65_536;

/// A client's address as it is counted: an IPv4 address, or the /64 of an IPv6 one, which one host
/// has for itself. An IPv4 address mapped into IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(u64, bool);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits()), false),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments().map(u64::from);
                Self((a << 48) | (b << 32) | (c << 16) | d, true)
            }
        }
    }
}

/// What strangers may do: fail at handshakes, and hold sockets without having shown a good token.
/// What a token vouches for is not counted here, since offices and mobile networks share addresses.
#[derive(Debug)]
pub struct AddressGate {
    failures_per_second: Cap,
    unauthenticated: Cap,
    addresses: Table<Address, Stranger>,
}

#[derive(Debug)]
struct Stranger {
    /// Sockets without a good token so far.
    waiting: u32,
    failures: TokenBucket,
}

impl AddressGate {
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            failures_per_second: limits.failed_handshakes_per_second_per_address,
            unauthenticated: limits.unauthenticated_per_address,
            addresses: Table::new(ADDRESSES_MAX),
        }
    }

    /// Counts a socket in that was just accepted; [`AddressGate::leave`] counts it out.
    ///
    /// # Errors
    /// The address has as many sockets without a token as it may. One that used its failures up is
    /// let in to be told so ([`AddressGate::may_try`]).
    pub fn enter(&mut self, address: Address, now: Instant) -> Result<(), HandshakeRefusal> {
        let unauthenticated = self.unauthenticated;
        let Some(stranger) = self.stranger(address, now) else {
            return Ok(());
        };
        if !unauthenticated.allows_one_more(stranger.waiting) {
            return Err(HandshakeRefusal::RateLimited);
        }
        stranger.waiting = stranger.waiting.saturating_add(1);
        Ok(())
    }

    /// Counts a socket out that showed a good token, was refused or closed.
    pub fn leave(&mut self, address: Address) {
        if let Some(stranger) = self.addresses.rows.get_mut(&address) {
            stranger.waiting = stranger.waiting.saturating_sub(1);
        }
    }

    /// Whether the address may try a handshake; what it failed at before decides.
    #[must_use]
    pub fn may_try(&self, address: Address, now: Instant) -> bool {
        self.addresses.rows.get(&address).is_none_or(|stranger| stranger.failures.has_one(now))
    }

    /// Counts a refused handshake, where the refusal is the client's own doing
    /// ([`HandshakeRefusal::counts_against_address`]).
    pub fn failed(&mut self, address: Address, now: Instant) {
        if let Some(stranger) = self.stranger(address, now) {
            stranger.failures.take(now);
        }
    }

    /// Sockets of this address without a good token.
    #[must_use]
    pub fn waiting(&self, address: Address) -> u32 {
        self.addresses.rows.get(&address).map_or(0, |stranger| stranger.waiting)
    }

    fn stranger(&mut self, address: Address, now: Instant) -> Option<&mut Stranger> {
        let per_second = self.failures_per_second;
        self.addresses.entry(
            address,
            now,
            || Stranger { waiting: 0, failures: TokenBucket::of(per_second, 1) },
            |stranger| stranger.waiting == 0 && stranger.failures.is_full(now),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;
    use std::time::Duration;

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().unwrap())
    }

    fn gate(failures: u32, waiting: u32) -> AddressGate {
        AddressGate::new(&Limits {
            failed_handshakes_per_second_per_address: Cap::new(failures),
            unauthenticated_per_address: Cap::new(waiting),
            ..Limits::DEFAULT
        })
    }

    #[test]
    fn an_ipv6_host_is_its_64_and_a_mapped_address_is_ipv4() {
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_ne!(address("0.0.0.1"), address("0:0:0:1::"));
    }

    #[test]
    fn an_address_holds_so_many_sockets_without_a_token() {
        let now = epoch();
        let (mut gate, one, two) = (gate(0, 2), address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(gate.enter(one, now), Ok(()));
        assert_eq!(gate.enter(one, now), Ok(()));
        assert_eq!(gate.enter(one, now), Err(HandshakeRefusal::RateLimited));
        assert_eq!(gate.enter(two, now), Ok(()));
        gate.leave(one);
        assert_eq!(gate.waiting(one), 1);
        assert_eq!(gate.enter(one, now), Ok(()));
    }

    #[test]
    fn an_address_fails_so_often_and_then_waits() {
        let start = epoch();
        let (mut gate, one, two) = (gate(50, 0), address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..50 {
            assert!(gate.may_try(one, start));
            gate.failed(one, start);
        }
        assert!(!gate.may_try(one, start));
        assert_eq!(gate.enter(one, start), Ok(()), "it is let in to be told");
        assert!(gate.may_try(two, start));
        assert!(gate.may_try(one, start + Duration::from_millis(20)));
    }

    #[test]
    fn success_is_never_counted() {
        let now = epoch();
        let (mut gate, one) = (gate(5, 5), address("192.0.2.1"));
        for _ in 0..10_000 {
            assert!(gate.may_try(one, now));
            assert_eq!(gate.enter(one, now), Ok(()));
            gate.leave(one);
        }
    }

    #[test]
    fn zero_takes_both_limits_away() {
        let now = epoch();
        let (mut gate, one) = (gate(0, 0), address("192.0.2.1"));
        for _ in 0..1_000 {
            assert_eq!(gate.enter(one, now), Ok(()));
            gate.failed(one, now);
        }
        assert!(gate.may_try(one, now));
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_is_forgotten() {
        let start = epoch();
        let mut gate = gate(50, 200);
        let host = |number: u32| Address::from(IpAddr::from(number.to_be_bytes()));
        for number in 0..100_000 {
            gate.failed(host(number), start);
        }
        assert_eq!(gate.addresses.rows.len(), ADDRESSES_MAX);
        assert_eq!(gate.enter(host(200_000), start), Ok(()));
        gate.leave(host(200_000));
        gate.failed(host(200_001), start + Duration::from_secs(2));
        assert_eq!(gate.addresses.rows.len(), 1);
    }
}
