//! G.711: both laws to and from linear samples, and from one law to the other by table.

/// One of G.711's two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// A-law, `PCMA`.
    A,
    /// µ-law, `PCMU`.
    Mu,
}

impl Law {
    /// The static payload type (RFC 3551 section 6).
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// The name in an rtpmap.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "PCMA",
            Self::Mu => "PCMU",
        }
    }

    /// The law of a static payload type.
    #[must_use]
    pub const fn of_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            8 => Some(Self::A),
            0 => Some(Self::Mu),
            _ => None,
        }
    }

    /// A coded byte as a 16-bit sample.
    #[must_use]
    pub const fn decode(self, code: u8) -> i16 {
        match self {
            Self::A => linear_from_alaw(code),
            Self::Mu => linear_from_ulaw(code),
        }
    }

    /// A 16-bit sample as a coded byte.
    #[must_use]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => alaw_from_linear(sample),
            Self::Mu => ulaw_from_linear(sample),
        }
    }

    /// The table that turns a byte of this law into one of `to`; `None` when there is nothing to do.
    #[must_use]
    pub(crate) fn conversion(self, to: Self) -> Option<&'static [u8; 256]> {
        match (self, to) {
            (Self::A, Self::Mu) => Some(&A_TO_MU),
            (Self::Mu, Self::A) => Some(&MU_TO_A),
            _ => None,
        }
    }
}

static A_TO_MU: [u8; 256] = table(Law::A, Law::Mu);
static MU_TO_A: [u8; 256] = table(Law::Mu, Law::A);

const fn table(from: Law, to: Law) -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0_u8;
    loop {
        table[code as usize] = to.encode(from.decode(code));
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

const fn linear_from_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let mantissa = ((code & 0x0f) as i16) << 4;
    let magnitude = match (code & 0x70) >> 4 {
        0 => mantissa + 8,
        segment => (mantissa + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn linear_from_ulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((((code & 0x0f) as i16) << 3) + 0x84) << ((code & 0x70) >> 4);
    if code & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }
}

const fn alaw_from_linear(sample: i16) -> u8 {
    let sample = sample >> 3;
    let (magnitude, mask) = if sample >= 0 { (sample, 0xd5) } else { (-sample - 1, 0x55) };
    let mut segment = 0_u8;
    while segment < 8 && magnitude > (0x20 << segment) - 1 {
        segment += 1;
    }
    if segment >= 8 {
        return 0x7f ^ mask;
    }
    let shift = if segment < 2 { 1 } else { segment };
    let [mantissa, _] = (magnitude >> shift).to_le_bytes();
    ((segment << 4) | (mantissa & 0x0f)) ^ mask
}

const fn ulaw_from_linear(sample: i16) -> u8 {
    let sample = sample >> 2;
    let (magnitude, mask) = if sample < 0 { (-sample, 0x7f) } else { (sample, 0xff) };
    let clipped = if magnitude > 8159 { 8159 } else { magnitude };
    let biased = clipped + 0x21;
    let mut segment = 0_u8;
    while segment < 8 && biased > (0x40 << segment) - 1 {
        segment += 1;
    }
    if segment >= 8 {
        return 0x7f ^ mask;
    }
    let [mantissa, _] = (biased >> (segment + 1)).to_le_bytes();
    ((segment << 4) | (mantissa & 0x0f)) ^ mask
}

/// The mean square of coded samples, each scaled to -1..=1: what tells sound from silence.
#[must_use]
pub fn energy(law: Law, payload: &[u8]) -> f64 {
    if payload.is_empty() {
        return 0.0;
    }
    let sum: f64 = payload
        .iter()
        .map(|&code| {
            let sample = f64::from(law.decode(code)) / 32_768.0;
            sample * sample
        })
        .sum();
    let count = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    sum / f64::from(count)
}

/// One second of a sine at half of full scale, coded: loops without a seam for a whole number of Hz.
#[must_use]
pub fn tone(law: Law, hertz: u16) -> Vec<u8> {
    (0..8000_u32)
        .map(|index| {
            let turn = f64::from(index) * f64::from(hertz) / 8000.0;
            let value = (turn * std::f64::consts::TAU).sin() * 16_383.0;
            // In range by construction, so the cast only drops the fraction.
            #[allow(clippy::cast_possible_truncation)]
            law.encode(value as i16)
        })
        .collect()
}

/// Silence of a law: the byte that a sample of zero has.
#[must_use]
pub const fn silence(law: Law) -> u8 {
    law.encode(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(code)), code);
            let again = Law::Mu.encode(Law::Mu.decode(code));
            // µ-law has two zeros.
            assert!(again == code || (code == 0x7f && again == 0xff), "{code:02x} -> {again:02x}");
        }
    }

    #[test]
    fn known_values_of_both_laws() {
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(silence(Law::Mu), 0xff);
        assert_eq!(silence(Law::A), 0xd5);
        for sample in [i16::MIN, i16::MAX] {
            assert!(Law::A.decode(Law::A.encode(sample)).unsigned_abs() > 32_000);
            assert!(Law::Mu.decode(Law::Mu.encode(sample)).unsigned_abs() > 32_000);
        }
    }

    #[test]
    fn conversion_keeps_the_sound_within_a_step() {
        for (from, to) in [(Law::A, Law::Mu), (Law::Mu, Law::A)] {
            let table = from.conversion(to).unwrap();
            for code in 0..=u8::MAX {
                let before = f64::from(from.decode(code));
                let after = f64::from(to.decode(table[usize::from(code)]));
                let step = (before.abs() / 16.0).max(16.0);
                assert!((before - after).abs() <= step, "{from:?} {code:02x}: {before} {after}");
            }
        }
        assert!(Law::A.conversion(Law::A).is_none());
    }

    #[test]
    fn a_tone_has_energy_and_silence_has_none() {
        for law in [Law::A, Law::Mu] {
            assert!(energy(law, &tone(law, 440)) > 0.1);
            assert!(energy(law, &[silence(law); 160]) < 1e-6);
        }
    }
}
