//! DTLS: a session of the relay's own, and str0m's provider for peers. All calls share one configuration:
//! dimpl tries all of its cryptography each time one is built, 11 million instructions, half of what a
//! call's media cost to set up.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::{Config, Dtls};
use str0m::config::CryptoProvider;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, from_feature_flags};

mod session;

pub(crate) use session::{Fingerprint, Polled, Session};

/// A flight's records stay below this: no path's MTU is less, tunnels included.
const MTU: usize = 1_150;

/// The configuration of every session.
fn shared() -> Result<Arc<Config>, CryptoError> {
    PROVIDER.config(Some(MTU))
}

/// The cryptography of str0m's features, with this module's DTLS.
pub(crate) fn crypto() -> CryptoProvider {
    CryptoProvider { dtls_provider: &PROVIDER, ..from_feature_flags() }
}

static PROVIDER: Provider = Provider { usual: OnceLock::new() };

#[derive(Debug)]
struct Provider {
    /// Of the first call, with its MTU, which all others share.
    usual: OnceLock<(Option<usize>, Arc<Config>)>,
}

impl Provider {
    fn config(&self, mtu: Option<usize>) -> Result<Arc<Config>, CryptoError> {
        if let Some((_, config)) = self.usual.get().filter(|(usual, _)| *usual == mtu) {
            return Ok(Arc::clone(config));
        }
        // ICE has proved that the browser is where it says (RFC 8826 section 4.2.4): no cookie.
        let mut builder = Config::builder().use_server_cookie(false);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let built = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
        let config = Arc::new(built);
        // Whoever came first has set it.
        let _ = self.usual.set((mtu, Arc::clone(&config)));
        Ok(config)
    }
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let (config, cert) = (self.config(mtu)?, cert.clone());
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, cert, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert, now),
            DtlsVersion::Auto => Dtls::new_auto(config, cert, now),
            other => return Err(CryptoError::Other(format!("DTLS {other} is not known here"))),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// One call's DTLS.
struct Instance(Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are in it.
        f.debug_tuple("Instance").finish_non_exhaustive()
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_a_configuration_and_another_mtu_has_its_own() {
        let provider = Provider { usual: OnceLock::new() };
        let first = provider.config(Some(1200)).unwrap();
        assert!(Arc::ptr_eq(&first, &provider.config(Some(1200)).unwrap()));
        let other = provider.config(None).unwrap();
        assert!(!Arc::ptr_eq(&first, &other) && other.mtu() != first.mtu());
        assert!(!first.use_server_cookie());
    }
}
