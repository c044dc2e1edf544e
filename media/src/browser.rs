//! The browser's leg: ICE-lite, DTLS and SRTP on the worker's one port.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::crypto::dtls::DtlsCert as Cert;

use crate::MediaError;
use crate::browser_sdp::{Answer, Offer};
use crate::dtls::{self, Fingerprint, Session, crypto};
use crate::g711::Law;
use crate::ice::{Check, IceLite};
use crate::rebase::{Mapped, Rebase};
use crate::reports::Reports;
use crate::rtp::{self, Kind, Packet};
use crate::srtp::{Refused, Srtp};
use crate::trunk::Payload;

/// Our certificate, one for the process, so that its fingerprint is stable.
pub(crate) type DtlsCert = Cert;

/// Makes the crypto provider the process's, and the certificate. The first use of the library seeds its
/// entropy and tries its cryptography, which takes about 0.1 s.
pub(crate) fn warm_up(now: Instant) -> Option<DtlsCert> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| crypto().install_process_default());
    let cert = crypto().dtls_provider.generate_certificate()?;
    let own = Fingerprint::read(&Fingerprint::of(&cert))?;
    Session::new(now, &cert, false, own).ok()?;
    Some(cert)
}

/// What a browser leg is made of.
pub(crate) struct Parts<'a> {
    pub(crate) offer: &'a Offer,
    /// The trunk's codec: the only one that the browser is answered with.
    pub(crate) law: Law,
    /// Whether the trunk takes telephone-events.
    pub(crate) events: bool,
    /// What the browser sends to: the public address of the worker's port.
    pub(crate) local: SocketAddr,
    pub(crate) cert: &'a DtlsCert,
    /// Of everything that we send, for the whole call.
    pub(crate) ssrc: u32,
    pub(crate) session_id: u64,
    /// The time since 1970.
    pub(crate) wall: Duration,
}

pub(crate) struct Browser {
    ice: IceLite,
    dtls: Session,
    srtp: Option<Srtp>,
    reports: Reports,
    law: Law,
    /// Whether the trunk takes telephone-events, and the browser's number of them.
    takes_events: bool,
    events: Option<u8>,
    /// Whether the browser wants to hear us.
    receives: bool,
    local: SocketAddr,
    fingerprint: String,
    is_client: bool,
    session_id: u64,
    /// Version of our SDP (RFC 3264 section 8).
    version: u64,
}

/// What a leg wants or tells.
pub(crate) enum Polled {
    Transmit(SocketAddr, Vec<u8>),
    Connected,
    /// DTLS close_notify came, or the handshake failed.
    Gone {
        failed: bool,
    },
    Idle,
}

impl Browser {
    /// Builds the leg and answers the browser's offer.
    pub(crate) fn answer(parts: &Parts<'_>, now: Instant) -> Result<(Self, Bytes), MediaError> {
        let Parts { offer, law, local, cert, ssrc, session_id, wall, .. } = *parts;
        let is_client = offer.is_passive;
        let mut leg = Self {
            ice: IceLite::new(now, local, offer.credentials())?,
            dtls: Session::new(now, cert, is_client, offer.fingerprint.clone())?,
            srtp: None,
            reports: Reports::new(now, wall, ssrc),
            law,
            takes_events: parts.events,
            events: None,
            receives: false,
            local,
            fingerprint: Fingerprint::of(cert),
            is_client,
            session_id,
            version: 0,
        };
        let answer = leg.accept(offer);
        Ok((leg, answer))
    }

    /// Answers a new offer (hold, resume, ICE restart) on the same connection.
    pub(crate) fn reoffer(&mut self, offer: &Offer, now: Instant) -> Result<Bytes, MediaError> {
        // Another certificate is another browser, for which this leg has no keys (RFC 8842 section 4).
        if *self.dtls.fingerprint() != offer.fingerprint {
            return Err(MediaError::NotAcceptable("the audio's fingerprint changed"));
        }
        self.ice.renew(now, offer.credentials())?;
        Ok(self.accept(offer))
    }

    fn accept(&mut self, offer: &Offer) -> Bytes {
        self.receives = offer.direction.receives();
        self.events = offer.events.filter(|_| self.takes_events);
        self.version += 1;
        let (ufrag, password) = self.ice.local();
        offer.answer(&Answer {
            session_id: self.session_id,
            version: self.version,
            local: self.local,
            ufrag,
            password,
            fingerprint: &self.fingerprint,
            is_client: self.is_client,
            law: self.law,
            events: self.events,
            ssrc: self.reports.ssrc(),
        })
    }

    /// Our ICE user fragment: what the browser's checks name. An ICE restart changes it.
    pub(crate) fn ufrag(&self) -> &str {
        self.ice.local().0
    }

    pub(crate) const fn law(&self) -> Law {
        self.law
    }

    pub(crate) const fn events(&self) -> Option<u8> {
        self.events
    }

    pub(crate) const fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Whether the browser can and wants to hear us.
    pub(crate) const fn listens(&self) -> bool {
        self.srtp.is_some() && self.receives
    }

    /// A datagram of the browser that is neither RTP nor RTCP; whether it was taken.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> bool {
        let (taken, readable) = match rtp::kind(datagram) {
            Kind::Stun => {
                let check = self.ice.receive(now, source, datagram);
                (check == Check::Accepted, check != Check::Malformed)
            }
            Kind::Dtls => {
                let taken = self.dtls.receive(now, datagram);
                (taken, taken)
            }
            Kind::Rtp | Kind::Rtcp | Kind::Other => (false, false),
        };
        if !readable {
            metrics::counter!("sautikit_media_malformed_total", "side" => "browser").increment(1);
        } else if !taken {
            metrics::counter!("sautikit_ice_refused_total").increment(1);
        }
        taken
    }

    /// Opens an RTP datagram of the browser and counts it; `None` where it is not the browser's own. What it
    /// carries is `None` for what the browser was not answered with: a sign of life all the same.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Option<(Packet<'_>, Option<Payload>)> {
        let packet = match self.srtp.as_mut()?.open(datagram) {
            Ok(packet) => packet,
            Err(why) => {
                refused(why);
                return None;
            }
        };
        self.ice.follow(source);
        let payload = if packet.payload_type == self.law.payload_type() {
            Some(Payload::Audio(self.law))
        } else {
            (self.events == Some(packet.payload_type)).then_some(Payload::TelephoneEvent)
        };
        // The timestamps of telephone-events stand still.
        let clock = matches!(payload, Some(Payload::Audio(_))).then_some(packet.timestamp);
        self.reports.received(now, packet.ssrc, packet.sequence, clock);
        Some((packet, payload))
    }

    /// Takes an RTCP datagram of the browser; whether it was its own.
    pub(crate) fn take_report(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(srtp) = self.srtp.as_mut() else { return false };
        match srtp.open_control(datagram) {
            Ok(compound) => {
                self.ice.follow(source);
                if !self.reports.take(now, compound) {
                    refused(Refused::Malformed);
                }
                true
            }
            Err(why) => {
                refused(why);
                false
            }
        }
    }

    /// Seals a packet for the browser. `payload_type` is one that it was answered with.
    pub(crate) fn send(
        &mut self,
        numbers: Mapped,
        payload_type: u8,
        marker: bool,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let (to, srtp) = (self.ice.to()?, self.srtp.as_mut()?);
        let Mapped { sequence: index, timestamp, .. } = numbers;
        let [low, high, ..] = index.to_le_bytes();
        let sequence = u16::from_le_bytes([low, high]);
        let ssrc = self.reports.ssrc();
        let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload };
        let bytes = srtp.seal(index, &packet)?;
        self.reports.sent(payload.len());
        Some((to, bytes))
    }

    /// The report that is due, if one is.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        stream: &Rebase,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let report = self.reports.due(now, stream)?;
        self.seal_report(report)
    }

    fn seal_report(&mut self, report: Vec<u8>) -> Option<(SocketAddr, Vec<u8>)> {
        Some((self.ice.to()?, self.srtp.as_mut()?.seal_control(report)?))
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.ice.advance(now);
        self.dtls.advance(now);
    }

    /// Says goodbye to the browser: by RTCP, and by DTLS, which comes out of [`Self::poll`].
    pub(crate) fn close(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.dtls.close(now);
        let goodbye = self.reports.goodbye()?;
        self.seal_report(goodbye)
    }

    /// When something is due.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let report = self.reports.next().filter(|_| self.srtp.is_some());
        [self.ice.deadline(), self.dtls.deadline(), report].into_iter().flatten().min()
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Polled {
        if let Some((to, bytes)) = self.ice.poll() {
            return Polled::Transmit(to, bytes);
        }
        // What DTLS has to send waits until there is somewhere to send it.
        let Some(to) = self.ice.to() else {
            let failed = self.dtls.has_failed();
            return if failed { Polled::Gone { failed } } else { Polled::Idle };
        };
        match self.dtls.poll() {
            dtls::Polled::Packet(bytes) => Polled::Transmit(to, bytes),
            dtls::Polled::Secured(keys) => {
                self.srtp = Srtp::new(&keys);
                if self.srtp.is_none() {
                    return Polled::Gone { failed: true };
                }
                self.reports.begin(now);
                Polled::Connected
            }
            dtls::Polled::Closed => Polled::Gone { failed: false },
            dtls::Polled::Failed => Polled::Gone { failed: true },
            dtls::Polled::Idle => Polled::Idle,
        }
    }
}

#[cfg(test)]
impl Browser {
    pub(crate) fn waiting_records(&self) -> usize {
        self.dtls.waiting_records()
    }
}

fn refused(why: Refused) {
    if why == Refused::Malformed {
        metrics::counter!("sautikit_media_malformed_total", "side" => "browser").increment(1);
    } else {
        metrics::counter!("sautikit_srtp_refused_total", "reason" => why.label()).increment(1);
    }
}
