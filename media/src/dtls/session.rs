//! One leg's DTLS: the handshake, the check of the browser's certificate, the keys (RFC 5763, RFC 5764).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls, KeyingMaterial, Output, SrtpProfile};
use str0m::crypto::dtls::DtlsCert;

use super::shared;
use crate::MediaError;
use crate::srtp::{Keys, Profile};

/// Larger than any record of a path with Ethernet's MTU.
const RECORD_MAX: usize = 2_048;
/// Larger than any certificate that the library takes; it insists on room for it.
const CERTIFICATE_MAX: usize = 65_536;
/// Records that wait for somewhere to go: more than a flight, which its timer makes again.
const PACKETS_MAX: usize = 32;
/// The least wait before its timers are looked at again.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// The hash of a certificate, as SDP tells it (RFC 8122 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    function: Function,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Function {
    fn of(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

impl Fingerprint {
    /// Reads `sha-256 3B:FF:…`; `None` for another hash function, or a value that is none of it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(' ')?;
        let function = match name.to_ascii_lowercase().as_str() {
            "sha-1" => Function::Sha1,
            "sha-256" => Function::Sha256,
            "sha-384" => Function::Sha384,
            "sha-512" => Function::Sha512,
            _ => return None,
        };
        let byte = |pair: &str| {
            u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2 && !pair.starts_with('+'))
        };
        let value: Vec<u8> = value.trim().split(':').map(byte).collect::<Option<_>>()?;
        (value.len() == function.of(&[]).as_ref().len()).then_some(Self { function, value })
    }

    /// Of our own certificate, as SDP tells it.
    pub(crate) fn of(cert: &DtlsCert) -> String {
        let digest = digest::digest(&digest::SHA256, &cert.certificate);
        let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        format!("sha-256 {}", pairs.join(":"))
    }

    fn matches(&self, certificate: &[u8]) -> bool {
        self.function.of(certificate).as_ref() == self.value
    }
}

pub(crate) struct Session {
    dtls: Dtls,
    expected: Fingerprint,
    verified: bool,
    connected: bool,
    failed: bool,
    keys: Option<Keys>,
    /// The keys were told.
    secured: bool,
    /// close_notify came, and nobody was told.
    closed: bool,
    packets: VecDeque<Vec<u8>>,
    deadline: Option<Instant>,
}

/// What a session wants or tells.
pub(crate) enum Polled {
    Packet(Vec<u8>),
    /// The browser is who its SDP says, and these are the keys.
    Secured(Keys),
    /// close_notify came.
    Closed,
    /// The handshake failed, or the certificate is another.
    Failed,
    Idle,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are in it.
        f.debug_struct("Session").field("secured", &self.secured).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that awaits a certificate of this fingerprint. `client`: we begin.
    pub(crate) fn new(
        now: Instant,
        cert: &DtlsCert,
        client: bool,
        expected: Fingerprint,
    ) -> Result<Self, MediaError> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "no DTLS session can be made");
            MediaError::Stopped
        };
        let config = shared().map_err(|error| failed(&error))?;
        let mut dtls = Dtls::new_12(config, cert.clone(), now);
        dtls.set_active(client);
        dtls.handle_timeout(now).map_err(|error| failed(&error))?;
        if client {
            // The library begins when it is given something: nothing will do.
            dtls.handle_packet(&[]).map_err(|error| failed(&error))?;
        }
        let mut session = Self {
            dtls,
            expected,
            verified: false,
            connected: false,
            failed: false,
            keys: None,
            secured: false,
            closed: false,
            packets: VecDeque::new(),
            deadline: None,
        };
        session.drain(now);
        Ok(session)
    }

    /// A record of the browser; false where it is none that fits.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> bool {
        self.advance(now);
        if self.failed {
            return true;
        }
        // A forged record can be refused too, so that ends nothing, unless the library itself gave up.
        let taken = self.dtls.handle_packet(datagram);
        if let Err(error) = &taken {
            tracing::debug!(%error, "DTLS record refused");
        }
        self.drain(now);
        let gave_up = self.dtls.is_closing() || self.dtls.is_closed();
        self.failed |= taken.is_err() && gave_up && !self.secured;
        taken.is_ok()
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        if self.failed {
            return;
        }
        if let Err(error) = self.dtls.handle_timeout(now) {
            tracing::debug!(%error, "DTLS handshake failed");
            self.failed = true;
        }
        self.drain(now);
    }

    /// Says goodbye; what that sends comes out of [`Self::poll`].
    pub(crate) fn close(&mut self, now: Instant) {
        if !self.failed && self.dtls.close().is_ok() {
            self.drain(now);
        }
    }

    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    pub(crate) const fn fingerprint(&self) -> &Fingerprint {
        &self.expected
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.failed)
    }

    pub(crate) fn poll(&mut self) -> Polled {
        if self.failed {
            return Polled::Failed;
        }
        if let Some(packet) = self.packets.pop_front() {
            return Polled::Packet(packet);
        }
        if self.connected && !self.secured {
            // All that it had to say was taken: no keys now are none ever (it spoke no SRTP of ours).
            return match self.keys.take().filter(|_| self.verified) {
                Some(keys) => {
                    self.secured = true;
                    Polled::Secured(keys)
                }
                None => {
                    self.failed = true;
                    Polled::Failed
                }
            };
        }
        if std::mem::take(&mut self.closed) {
            return Polled::Closed;
        }
        Polled::Idle
    }

    /// Takes all that the library has to say.
    fn drain(&mut self, now: Instant) {
        let mut buffer = vec![0; if self.verified { RECORD_MAX } else { CERTIFICATE_MAX }];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    if self.packets.len() == PACKETS_MAX {
                        self.packets.pop_front();
                    }
                    self.packets.push_back(packet.to_vec());
                }
                Output::BufferTooSmall { .. } => {
                    self.failed = true;
                    return;
                }
                Output::Timeout(at) => {
                    // Whatever it says, a timer that is due at once for ever would stop the thread.
                    self.deadline = Some(at.max(now + WAIT_MIN));
                    return;
                }
                Output::Connected => self.connected = true,
                Output::PeerCert(certificate) => {
                    self.verified = self.expected.matches(certificate);
                    if !self.verified {
                        tracing::debug!("the browser's certificate is not that of its SDP");
                        self.failed = true;
                        self.packets.clear();
                        return;
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    self.keys = keys(&material, profile, self.dtls.is_active());
                }
                Output::CloseNotify => self.closed = true,
                // No data channel was answered.
                Output::ApplicationData(_) => {}
                other => tracing::debug!(?other, "the DTLS library told something unknown"),
            }
        }
    }
}

#[cfg(test)]
impl Session {
    pub(crate) fn waiting_records(&self) -> usize {
        self.packets.len()
    }
}

fn keys(material: &KeyingMaterial, profile: SrtpProfile, client: bool) -> Option<Keys> {
    let profile = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        _ => return None,
    };
    Some(Keys { profile, material: material.to_vec(), client })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_and_recognises_its_certificate() {
        let hex: Vec<_> =
            Function::Sha256.of(b"abc").as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let text = format!("SHA-256 {}", hex.join(":"));
        let fingerprint = Fingerprint::read(&text).unwrap();
        assert!(fingerprint.matches(b"abc") && !fingerprint.matches(b"abd"));
        for broken in [
            "",
            "sha-256",
            "md5 00:11",
            "sha-256 00:11",
            &text.replace(':', ";"),
            &format!("{text}:00"),
        ] {
            assert_eq!(Fingerprint::read(broken), None, "{broken}");
        }
        let sha1 = ["00"; 20].join(":");
        assert!(Fingerprint::read(&format!("sha-1 {sha1}")).is_some());
        assert_eq!(Fingerprint::read(&format!("sha-384 {sha1}")), None);
    }

    #[test]
    fn a_large_certificate_is_looked_at_like_any_other() {
        let now = Instant::now();
        let cert = crate::browser::warm_up(now).unwrap();
        for length in [3_000, 12_000] {
            let mut theirs = cert.clone();
            theirs.certificate.resize(length, 0);
            let expected = Fingerprint::read(&Fingerprint::of(&cert)).unwrap();
            let mut server = Session::new(now, &cert, false, expected).unwrap();
            let mut client = Dtls::new_12(shared().unwrap(), theirs, now);
            client.set_active(true);
            client.handle_timeout(now).unwrap();
            client.handle_packet(&[]).unwrap();
            let mut buffer = vec![0; CERTIFICATE_MAX];
            for _ in 0..10 {
                while let Output::Packet(packet) = client.poll_output(&mut buffer) {
                    server.receive(now, packet);
                }
                while let Polled::Packet(packet) = server.poll() {
                    // The client need not like what it hears.
                    let _ = client.handle_packet(&packet);
                }
            }
            assert!(!server.secured, "{length}");
        }
    }
}
