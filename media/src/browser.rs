//! The browser's leg: one str0m `Rtc` as ICE-lite, in RTP mode. Besides `peer`, the only place that
//! knows str0m.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::change::SdpOffer;
pub(crate) use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Mid, Pt};
pub(crate) use str0m::net::DatagramSend;
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{Extension, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::MediaError;
use crate::browser_sdp::Offer;
use crate::dtls::crypto;
use crate::g711::Law;
use crate::rebase::Mapped;
use crate::rtp::{self, Kind};

/// How often str0m tells what the browser's receiver reports said.
const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// RTP streams that one browser may start: a page has one microphone, a few over a long call.
const STREAMS_MAX: u8 = 16;
/// Pause after str0m failed a step without ending, before it is asked again.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Makes the crypto provider the process's and builds one throw-away `Rtc`: the first use of the
/// library seeds its entropy, which takes about 0.1 s. The certificate is one for the process, so
/// that the fingerprint is stable.
pub(crate) fn warm_up(now: Instant) -> Option<DtlsCert> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| crypto().install_process_default());
    let cert = crypto().dtls_provider.generate_certificate()?;
    drop(RtcConfig::new().set_dtls_cert(cert.clone()).build(now));
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
}

pub(crate) struct Browser {
    rtc: Rtc,
    mid: Mid,
    law: Law,
    events: Option<u8>,
    local: SocketAddr,
    deadline: Instant,
    /// SSRC of the last RTP packet that came, known to str0m.
    ssrc: Option<u32>,
    streams: u8,
    connected: bool,
    /// Version of our SDP (RFC 3264 section 8).
    version: u64,
}

/// A packet of the browser, decrypted.
pub(crate) struct Incoming {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) payload: Arc<[u8]>,
}

/// What a leg wants or tells.
pub(crate) enum Polled {
    Transmit(SocketAddr, DatagramSend),
    Rtp(Incoming),
    Connected,
    /// DTLS close_notify came, or the handshake failed.
    Gone {
        failed: bool,
    },
    /// What the browser's receiver reports said.
    Report {
        rtt: Option<Duration>,
        loss: Option<f32>,
    },
    Idle,
}

impl From<RtpPacket> for Incoming {
    fn from(packet: RtpPacket) -> Self {
        let RtpPacket { header, payload, .. } = packet;
        Self {
            ssrc: *header.ssrc,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: *header.payload_type,
            payload,
        }
    }
}

impl Browser {
    /// Builds the leg and answers the browser's offer.
    pub(crate) fn answer(parts: &Parts<'_>, now: Instant) -> Result<(Self, Bytes), MediaError> {
        let events = parts.offer.events.filter(|_| parts.events);
        let mut config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_dtls_cert(parts.cert.clone())
            .set_stats_interval(Some(STATS_INTERVAL))
            .clear_codecs()
            .enable_pcma(parts.law == Law::A, false)
            .enable_pcmu(parts.law == Law::Mu, false)
            // Only MID: with transport-wide congestion control we would send feedback for nothing.
            .clear_extension_map()
            .set_extension(4, Extension::RtpMid);
        if let Some(payload_type) = events {
            config.codec_config().add_config(
                Pt::new_with_value(payload_type),
                None,
                Codec::Tele,
                Frequency::EIGHT_KHZ,
                None,
                FormatParams::default(),
            );
        }
        let mut rtc = config.build(now);
        let candidate = Candidate::host(parts.local, "udp")
            .map_err(|_| MediaError::NotAcceptable("our own address is no ICE candidate"))?;
        rtc.add_local_candidate(candidate);
        let mut leg = Self {
            rtc,
            mid: Mid::from(parts.offer.mid.as_str()),
            law: parts.law,
            events,
            local: parts.local,
            deadline: now,
            ssrc: None,
            streams: 0,
            connected: false,
            version: 0,
        };
        let answer = leg.accept(parts.offer, now)?;
        Ok((leg, answer))
    }

    /// Answers a new offer (hold, resume, ICE restart) on the same connection.
    pub(crate) fn reoffer(&mut self, offer: &Offer, now: Instant) -> Result<Bytes, MediaError> {
        if self.mid != Mid::from(offer.mid.as_str()) {
            return Err(MediaError::NotAcceptable("the audio's mid changed"));
        }
        self.accept(offer, now)
    }

    fn accept(&mut self, offer: &Offer, now: Instant) -> Result<Bytes, MediaError> {
        // The texts of str0m's errors quote SDP, which tells addresses: they go no further.
        let refused = |error: &dyn std::fmt::Display| {
            tracing::trace!(%error, "browser's offer refused");
            MediaError::NotAcceptable("the browser's offer cannot be answered")
        };
        let parsed = SdpOffer::from_sdp_string(&offer.alone).map_err(|error| refused(&error))?;
        let answer = self.rtc.sdp_api().accept_offer(parsed).map_err(|error| refused(&error))?;
        // What the change queued goes out at the next poll only when time moved on.
        self.advance(now);
        self.version += 1;
        Ok(offer.finish(&answer.to_sdp_string(), self.local, self.version))
    }

    /// Our ICE user fragment: what the browser's checks name. An ICE restart changes it.
    pub(crate) fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    pub(crate) const fn law(&self) -> Law {
        self.law
    }

    pub(crate) const fn events(&self) -> Option<u8> {
        self.events
    }

    /// Whether the browser can and wants to hear us.
    pub(crate) fn listens(&self) -> bool {
        self.connected && self.rtc.media(self.mid).is_some_and(|m| m.direction().is_sending())
    }

    /// A datagram of the browser.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if rtp::kind(datagram) == Kind::Rtp {
            self.expect_stream(datagram);
        }
        let Ok(contents) = DatagramRecv::try_from(datagram) else {
            metrics::counter!("sautikit_media_malformed_total", "side" => "browser").increment(1);
            return;
        };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            // A forged record can do that too, so it ends nothing; a dead `Rtc` shows in poll.
            tracing::debug!(%error, "browser's datagram refused");
            metrics::counter!("sautikit_media_malformed_total", "side" => "browser").increment(1);
        }
    }

    /// str0m drops an SSRC that neither SDP nor a MID extension named, without a word: announce it.
    fn expect_stream(&mut self, datagram: &[u8]) {
        let Some(ssrc) = rtp::ssrc(datagram).filter(|ssrc| self.ssrc != Some(*ssrc)) else {
            return;
        };
        let mid = self.mid;
        let mut api = self.rtc.direct_api();
        if api.stream_rx(&ssrc.into()).is_none() {
            if self.streams == STREAMS_MAX {
                return;
            }
            self.streams += 1;
            api.expect_stream_rx(ssrc.into(), None, mid, None);
        }
        self.ssrc = Some(ssrc);
    }

    /// Sends a packet to the browser. `payload_type` is one that it was answered with.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        numbers: Mapped,
        payload_type: u8,
        marker: bool,
        payload: &[u8],
    ) {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, None) else { return };
        let payload_type = Pt::new_with_value(payload_type);
        let sequence = numbers.sequence.into();
        let packet = RtpWrite::new(payload_type, sequence, numbers.timestamp, now, payload);
        stream.write_rtp(packet.marker(marker));
        // `write_rtp` only queues; the packet leaves at the poll after time moved on.
        self.advance(now);
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "browser leg's timer failed");
        }
    }

    /// Says goodbye to the browser; what that sends comes out of [`Self::poll`].
    pub(crate) fn close(&mut self, now: Instant) {
        if self.rtc.close().is_ok() {
            self.advance(now);
        }
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Polled {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    return Polled::Transmit(transmit.destination, transmit.contents);
                }
                Ok(Output::Event(event)) => {
                    if let Some(polled) = self.event(event) {
                        return polled;
                    }
                }
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return Polled::Idle;
                }
                Err(error) => {
                    tracing::debug!(%error, "browser leg failed");
                    self.deadline = now + AFTER_ERROR;
                    let dead = !self.rtc.is_alive();
                    return if dead { Polled::Gone { failed: true } } else { Polled::Idle };
                }
            }
        }
    }

    fn event(&mut self, event: Event) -> Option<Polled> {
        match event {
            Event::RtpPacket(packet) => Some(Polled::Rtp(packet.into())),
            Event::Connected => {
                self.connected = true;
                Some(Polled::Connected)
            }
            Event::Closed => {
                self.connected = false;
                Some(Polled::Gone { failed: false })
            }
            Event::MediaEgressStats(stats) => {
                Some(Polled::Report { rtt: stats.rtt, loss: stats.loss })
            }
            _ => None,
        }
    }
}
