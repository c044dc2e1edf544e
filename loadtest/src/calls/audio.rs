//! The browsers' ends of the calls' audio: full ICE, DTLS-SRTP, a tone; and what came of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use sautikit_media::peer::{Crowd, PeerHandle, PeerOptions, PeerStats};
use serde::Serialize;

use super::load::Ask;
use super::seen::{Outcome, Seen, Sound};
use crate::carrier::Record;
use crate::latency::{Latency, Percentiles};

/// As a worker of the relay rests: less CPU for the same packets.
const PAUSE: Duration = Duration::from_millis(2);
/// Audio in one packet.
const PACKET_SECONDS: f64 = 0.02;
/// Less energy than 10 ms of either tone: nobody would have heard anything.
const ENERGY_MIN: f64 = 0.001;

/// The ends of all live calls, in one thread of their own.
pub(super) struct Audio {
    crowd: Crowd,
    /// Addresses of this machine, taken in turn.
    addresses: Vec<IpAddr>,
    peers: RefCell<HashMap<u64, Rc<PeerHandle>>>,
}

/// What has become of an [`Ask`].
pub(super) enum Told {
    Offered(Result<Bytes, String>),
    Closed(Option<Sound>),
    /// Nothing that the load waits for.
    Done,
}

impl Audio {
    /// `sources` as the sockets have them; without any it is the address that reaches the gateway.
    pub(super) fn start(sources: &[IpAddr], gateway: SocketAddr) -> io::Result<Self> {
        let addresses = match sources {
            [] => vec![towards(gateway)?],
            sources => sources.to_vec(),
        };
        Ok(Self { crowd: Crowd::start(PAUSE)?, addresses, peers: RefCell::default() })
    }

    pub(super) async fn perform(&self, call: u64, ask: Ask) -> Told {
        match ask {
            Ask::Offer => Told::Offered(self.offer(call).await),
            Ask::Answer(sdp) => {
                if let Some(peer) = self.peer(call) {
                    // An answer that it cannot use leaves the call without audio, which counts.
                    let _ = peer.accept_answer(sdp).await;
                }
                Told::Done
            }
            Ask::Quiet => {
                if let Some(peer) = self.peer(call) {
                    let _ = peer.set_silent(true).await;
                }
                Told::Done
            }
            Ask::Close => {
                let peer = self.peers.borrow_mut().remove(&call);
                Told::Closed(match peer {
                    Some(peer) => peer.stats().await.ok().map(Sound::from),
                    None => None,
                })
            }
        }
    }

    async fn offer(&self, call: u64) -> Result<Bytes, String> {
        let turn = usize::try_from(call).unwrap_or(0) % self.addresses.len().max(1);
        let address = self.addresses.get(turn).copied().ok_or("no address")?;
        let made = self.crowd.offer(address, PeerOptions::default()).await;
        let (peer, offer) = made.map_err(|error| error.to_string())?;
        self.peers.borrow_mut().insert(call, Rc::new(peer));
        Ok(offer)
    }

    fn peer(&self, call: u64) -> Option<Rc<PeerHandle>> {
        self.peers.borrow().get(&call).cloned()
    }
}

/// The address of this machine from which the gateway is reached. Nothing is sent.
fn towards(gateway: SocketAddr) -> io::Result<IpAddr> {
    let any = if gateway.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(gateway)?;
    Ok(socket.local_addr()?.ip())
}

impl From<PeerStats> for Sound {
    fn from(stats: PeerStats) -> Self {
        Self {
            connected_after: stats.connected_after,
            sent: stats.packets_sent,
            received: stats.packets_received,
            lost: stats.packets_lost,
            jitter_ms: f64::from(stats.jitter_ms),
            energy: stats.energy_sum * PACKET_SECONDS,
        }
    }
}

/// Packets of all calls in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Way {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Missing between the first and the last that arrived, by sequence numbers.
    pub(super) lost: u64,
    /// Of those that should have arrived.
    pub(super) lost_percent: f64,
}

/// What the audio of all answered calls came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct AudioReport {
    /// Answered calls whose both ends are known.
    pub(super) calls: u64,
    /// From the answer until ICE and DTLS were up.
    pub(super) connected_ms: Option<Percentiles>,
    /// `None` where the carrier's records are not at hand.
    pub(super) to_carrier: Option<Way>,
    pub(super) to_browser: Way,
    /// Of the browsers' ends, a call's last.
    pub(super) jitter_ms_mean: f64,
    pub(super) jitter_ms_max: f64,
    /// Calls without audio, by what was missing.
    pub(super) without: BTreeMap<&'static str, u64>,
}

/// Looks at both ends of each answered call.
pub(super) fn judge(seen: &[Seen], carried: Option<&[Record]>) -> AudioReport {
    let records: Option<HashMap<&str, &Record>> = carried.map(|records| {
        let answered = records.iter().filter(|record| record.status == 200);
        answered.map(|record| (&*record.to, record)).collect()
    });
    let mut connected = Latency::default();
    let (mut to_browser, mut to_carrier) = (Way::default(), Way::default());
    let mut without = BTreeMap::new();
    let (mut calls, mut jitter_sum, mut jitter_max) = (0_u32, 0.0, 0.0_f64);
    for seen in seen.iter().filter(|seen| matches!(seen.outcome, Outcome::Answered(_))) {
        let sound = seen.sound.unwrap_or_default();
        let record = records.as_ref().map(|records| records.get(&*seen.called).copied());
        if let Some(why) = missing(&sound, record) {
            *without.entry(why).or_insert(0) += 1;
        }
        if let Some(after) = sound.connected_after {
            connected.record(after);
        }
        calls += 1;
        jitter_sum += sound.jitter_ms;
        jitter_max = jitter_max.max(sound.jitter_ms);
        let record = record.flatten();
        to_browser.add(record.map_or(0, |record| record.sent), sound.received, sound.lost);
        let heard = record.map_or((0, 0), |record| (record.packets, record.lost));
        to_carrier.add(sound.sent, heard.0, heard.1);
    }
    AudioReport {
        calls: u64::from(calls),
        connected_ms: connected.percentiles(),
        to_carrier: records.map(|_| to_carrier),
        to_browser,
        jitter_ms_mean: jitter_sum / f64::from(calls.max(1)),
        jitter_ms_max: jitter_max,
        without,
    }
}

/// Why a call counts as one without audio. `record` is the carrier's, where its records are at hand.
fn missing(sound: &Sound, record: Option<Option<&Record>>) -> Option<&'static str> {
    // Half of what was said is a call that breaks off; the first and the last packets may be lost
    // to connecting and hanging up.
    let too_few = |heard: u64, said: u64| heard == 0 || heard * 2 < said;
    let said = record.flatten().map_or(0, |record| record.sent);
    if sound.connected_after.is_none() {
        return Some("no audio: ICE or DTLS did not connect");
    }
    if too_few(sound.received, said) || sound.energy < ENERGY_MIN {
        return Some("no audio at the browser");
    }
    let deaf = |record: Option<&Record>| {
        record.is_none_or(|it| too_few(it.packets, sound.sent) || it.audio_energy < ENERGY_MIN)
    };
    record.is_some_and(deaf).then_some("no audio at the carrier")
}

impl Way {
    fn add(&mut self, sent: u64, received: u64, lost: u64) {
        self.sent += sent;
        self.received += received;
        self.lost += lost;
        // Counts of packets are far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let share = self.lost as f64 / (self.received + self.lost).max(1) as f64;
        self.lost_percent = share * 100.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::Fate;
    use super::*;

    fn seen(called: &str, sound: Option<Sound>) -> Seen {
        let outcome = Outcome::Answered(super::super::seen::Answered::default());
        Seen { called: called.to_owned(), outcome, sound, fate: Fate::default() }
    }

    fn sound() -> Sound {
        Sound {
            connected_after: Some(Duration::from_millis(40)),
            sent: 100,
            received: 96,
            lost: 4,
            jitter_ms: 1.5,
            energy: 0.2,
        }
    }

    fn record(to: &str, packets: u64, sent: u64, audio_energy: f64) -> Record {
        let to = to.to_owned();
        Record { to, status: 200, packets, lost: 1, sent, audio_energy, ..Record::default() }
    }

    #[test]
    fn packets_are_summed_both_ways_and_loss_is_a_share_of_what_should_have_come() {
        let calls = [seen("+1", Some(sound())), seen("+2", Some(sound()))];
        let carried = [record("+1", 99, 100, 0.2), record("+2", 99, 101, 0.2)];
        let report = judge(&calls, Some(&carried));
        assert_eq!((report.calls, report.without.len()), (2, 0));
        let expected = Way { sent: 201, received: 192, lost: 8, lost_percent: 4.0 };
        assert_eq!(report.to_browser, expected);
        let expected = Way { sent: 200, received: 198, lost: 2, lost_percent: 1.0 };
        assert_eq!(report.to_carrier, Some(expected));
        assert!((report.jitter_ms_mean - 1.5).abs() < 1e-9);
        assert!((report.connected_ms.unwrap().p50 - 40.0).abs() < 0.1);
    }

    #[test]
    fn each_way_to_be_without_audio_is_found() {
        let good = record("+1", 99, 100, 0.2);
        let heard = |change: fn(&mut Sound)| {
            let mut sound = sound();
            change(&mut sound);
            sound
        };
        for (sound, record, expected) in [
            (sound(), Some(Some(&good)), None),
            (sound(), None, None),
            (
                heard(|s| s.connected_after = None),
                Some(Some(&good)),
                Some("no audio: ICE or DTLS did not connect"),
            ),
            (heard(|s| s.received = 0), None, Some("no audio at the browser")),
            (heard(|s| s.received = 49), Some(Some(&good)), Some("no audio at the browser")),
            (heard(|s| s.energy = 0.0), Some(Some(&good)), Some("no audio at the browser")),
            (sound(), Some(None), Some("no audio at the carrier")),
            (sound(), Some(Some(&record("+1", 49, 100, 0.2))), Some("no audio at the carrier")),
            (sound(), Some(Some(&record("+1", 99, 100, 0.0))), Some("no audio at the carrier")),
        ] {
            assert_eq!(missing(&sound, record), expected, "{sound:?} {record:?}");
        }
    }

    #[test]
    fn only_answered_calls_are_looked_at_and_one_without_figures_has_no_audio() {
        let refused = Seen { outcome: Outcome::Unanswered, ..seen("+1", None) };
        let report = judge(&[refused, seen("+2", None)], None);
        assert_eq!((report.calls, report.to_carrier), (1, None));
        assert_eq!(report.without.values().sum::<u64>(), 1);
    }
}
