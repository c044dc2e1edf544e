//! RTCP of the trunk side (RFC 3550 section 6): we end it here and speak for ourselves.

use std::time::{Duration, Instant};

use crate::reception::Block;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Seconds between the beginnings of NTP's time and of Unix's (RFC 868).
const FROM_1900_TO_1970: u64 = 2_208_988_800;

/// What we tell of our own stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Since 1970.
    pub(crate) wall: Duration,
    pub(crate) timestamp: u32,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

/// The last sender report that came: what the next report block answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastReport {
    pub(crate) ssrc: u32,
    /// The middle 32 bits of its NTP timestamp.
    pub(crate) ntp: u32,
    pub(crate) at: Instant,
}

/// A report with its CNAME: what one datagram carries.
pub(crate) fn report(
    now: Instant,
    ssrc: u32,
    sent: Option<Sent>,
    block: Option<Block>,
    last: Option<LastReport>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let blocks = u8::from(block.is_some());
    let kind = if sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    let words = 1 + if sent.is_some() { 5 } else { 0 } + u16::from(blocks) * 6;
    header(&mut out, blocks, kind, words);
    out.extend(ssrc.to_be_bytes());
    if let Some(sent) = sent {
        out.extend(ntp(sent.wall).to_be_bytes());
        out.extend(sent.timestamp.to_be_bytes());
        out.extend(low(sent.packets).to_be_bytes());
        out.extend(low(sent.octets).to_be_bytes());
    }
    if let Some(block) = block {
        out.extend(block.ssrc.to_be_bytes());
        let [_, l1, l2, l3] = block.lost.to_be_bytes();
        out.extend([block.fraction, l1, l2, l3]);
        out.extend(block.highest.to_be_bytes());
        out.extend(block.jitter.to_be_bytes());
        let last = last.filter(|last| last.ssrc == block.ssrc);
        let delay = last.map_or(0, |last| middle(fixed(now.saturating_duration_since(last.at))));
        out.extend(last.map_or(0, |last| last.ntp).to_be_bytes());
        out.extend(delay.to_be_bytes());
    }
    description(&mut out, ssrc);
    out
}

/// The end of our stream (section 6.6), in a compound with an empty report as section 6.1 asks.
pub(crate) fn goodbye(ssrc: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    header(&mut out, 0, RECEIVER_REPORT, 1);
    out.extend(ssrc.to_be_bytes());
    description(&mut out, ssrc);
    header(&mut out, 1, GOODBYE, 1);
    out.extend(ssrc.to_be_bytes());
    out
}

/// What a datagram of the trunk tells us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// SSRC and middle NTP bits of a sender report.
    pub(crate) sender: Option<(u32, u32)>,
    /// How our stream arrives there.
    pub(crate) ours: Option<Ours>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ours {
    /// Lost since their last report, in 1/256.
    pub(crate) fraction: u8,
    last_report: u32,
    delay: u32,
}

impl Ours {
    /// The round trip, where they had a sender report of ours (section 6.4.1). `wall` is the time since 1970.
    pub(crate) fn round_trip(&self, wall: Duration) -> Option<Duration> {
        if self.last_report == 0 {
            return None;
        }
        let units = middle(ntp(wall)).wrapping_sub(self.last_report).wrapping_sub(self.delay);
        // A negative or absurd result is a broken peer's.
        (units < 60 << 16).then(|| Duration::from_micros((u64::from(units) * 1_000_000) >> 16))
    }
}

/// Reads a compound packet; `None` where it is none (RFC 3550 appendix A.2).
pub(crate) fn read(datagram: &[u8], our_ssrc: u32) -> Option<Told> {
    let mut told = Told::default();
    let mut rest = datagram;
    let mut first = true;
    while !rest.is_empty() {
        let (&[flags, kind, l0, l1], after) = rest.split_first_chunk::<4>()?;
        let body = after.get(..usize::from(u16::from_be_bytes([l0, l1])) * 4)?;
        let wanted = !first || matches!(kind, SENDER_REPORT | RECEIVER_REPORT);
        if flags >> 6 != 2 || !wanted {
            return None;
        }
        first = false;
        rest = after.get(body.len()..)?;
        let blocks = match kind {
            SENDER_REPORT => {
                let middle = u32::from_be_bytes(
                    [body.get(6)?, body.get(7)?, body.get(8)?, body.get(9)?].map(|byte| *byte),
                );
                told.sender = Some((word(body, 0)?, middle));
                body.get(24..)?
            }
            RECEIVER_REPORT => body.get(4..)?,
            _ => continue,
        };
        for block in blocks.chunks_exact(24).take(usize::from(flags & 0x1f)) {
            if word(block, 0)? == our_ssrc {
                told.ours = Some(Ours {
                    fraction: *block.get(4)?,
                    last_report: word(block, 16)?,
                    delay: word(block, 20)?,
                });
            }
        }
    }
    (!first).then_some(told)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn header(out: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    out.extend([0x80 | count, kind]);
    out.extend(words.to_be_bytes());
}

fn description(out: &mut Vec<u8>, ssrc: u32) {
    // A CNAME must not tell who calls (RFC 7022): the SSRC in hex is enough for one stream.
    let name = format!("{ssrc:08x}");
    // SSRC, type, length, name, and at least one zero up to the next word.
    let text = 2 + name.len();
    let padding = 4 - text % 4;
    header(out, 1, SOURCE_DESCRIPTION, 4);
    out.extend(ssrc.to_be_bytes());
    out.extend([1, 8]);
    out.extend(name.as_bytes());
    out.extend(std::iter::repeat_n(0, padding));
}

/// 32.32 fixed point seconds since 1900, of a time since 1970.
fn ntp(wall: Duration) -> u64 {
    // In 2036 the seconds begin anew, as everybody's do.
    fixed(wall).wrapping_add(FROM_1900_TO_1970 << 32)
}

/// 32.32 fixed point seconds.
fn fixed(time: Duration) -> u64 {
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (time.as_secs() << 32) | fraction
}

/// 16.16 fixed point seconds: the middle of 32.32.
fn middle(fixed: u64) -> u32 {
    low(fixed >> 16)
}

fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block { ssrc: 7, fraction: 25, lost: 3, highest: 70_000, jitter: 12 };

    #[test]
    fn a_sender_report_is_read_by_its_peer_who_measures_the_round_trip() {
        let now = Instant::now();
        let sent =
            Sent { wall: Duration::from_millis(2_500), timestamp: 9, packets: 100, octets: 16_000 };
        let ours = report(now, 7, Some(sent), None, None);
        let told = read(&ours, 1).unwrap();
        let (ssrc, ntp) = told.sender.unwrap();
        assert_eq!(ssrc, 7);
        assert_eq!(ntp, (0x7e82 << 16) | 0x8000, "2 s after 1970 are 0x83aa7e82 s after 1900");

        // The peer answers 300 ms later; its answer comes 80 ms after that.
        let last = LastReport { ssrc: 7, ntp, at: now };
        let answer = report(now + Duration::from_millis(300), 1, None, Some(BLOCK), Some(last));
        let told = read(&answer, 7).unwrap();
        let ours = told.ours.unwrap();
        assert_eq!(ours.fraction, 25);
        let rtt = ours.round_trip(Duration::from_millis(2_880)).unwrap();
        assert!((79..=81).contains(&rtt.as_millis()), "{rtt:?}");
    }

    #[test]
    fn a_goodbye_is_a_whole_compound() {
        let bytes = goodbye(5);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(read(&bytes, 1), Some(Told::default()));
    }

    #[test]
    fn blocks_about_others_are_not_ours() {
        let bytes = report(Instant::now(), 1, None, Some(BLOCK), None);
        assert_eq!(read(&bytes, 8).unwrap().ours, None);
        assert_eq!(read(&bytes, 7).unwrap().ours.unwrap().round_trip(Duration::ZERO), None);
    }

    #[test]
    fn broken_compounds_are_nothing() {
        let whole = report(Instant::now(), 1, None, Some(BLOCK), None);
        for cut in 1..whole.len() {
            if cut != 32 {
                assert_eq!(read(&whole[..cut], 7), None, "{cut}");
            }
        }
        assert_eq!(read(&[], 7), None);
        assert_eq!(read(&whole[32..], 7), None, "a source description alone");
    }
}
