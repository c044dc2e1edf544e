//! Wall-clock times, for what is stored and shown. Durations are measured with `Instant`.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::time::Duration;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Longest text of a time that is read: nine fraction digits and an offset.
const TEXT_MAX: usize = 35;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// 0000-01-01T00:00:00Z, the first time RFC 3339 can write.
    pub const MIN_WRITABLE: Self = Self(-62_167_219_200 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z, the last.
    pub const MAX_WRITABLE: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// `None` where the seconds do not fit as microseconds.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Option<Self> {
        match seconds.checked_mul(MICROS_PER_SECOND) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Whole milliseconds since 1970, rounded down; 0 before 1970. For [`crate::ids`].
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        self.0.checked_add(micros).map(Self)
    }

    #[must_use]
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        self.0.checked_sub(micros).map(Self)
    }

    /// RFC 3339 in UTC: `2026-06-27T10:05:00Z`, with three fraction digits where milliseconds say
    /// all, else six. A time outside the years 0 to 9999 is written as the nearest one inside.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let mut text = String::with_capacity(27);
        // Writing into a String cannot fail.
        let _ = self.write_rfc3339(&mut text);
        text
    }

    fn write_rfc3339(self, out: &mut impl Write) -> fmt::Result {
        let micros = self.clamp(Self::MIN_WRITABLE, Self::MAX_WRITABLE).0;
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let fraction = micros.rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) =
            (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction == 0 {
            out.write_char('Z')
        } else if fraction % 1_000 == 0 {
            write!(out, ".{:03}Z", fraction / 1_000)
        } else {
            write!(out, ".{fraction:06}Z")
        }
    }

    /// Reads RFC 3339 with `Z` or a numeric offset. Digits finer than a microsecond are cut off; a
    /// leap second (`:60`) is the start of the next minute.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let mut rest = Cursor(text.as_bytes());
        let year = rest.number(4)?;
        rest.one_of(b"-")?;
        let month = rest.number(2)?;
        rest.one_of(b"-")?;
        let day = rest.number(2)?;
        rest.one_of(b"Tt ")?;
        let hour = rest.number(2)?;
        rest.one_of(b":")?;
        let minute = rest.number(2)?;
        rest.one_of(b":")?;
        let second = rest.number(2)?;
        let fraction = rest.fraction()?;
        let offset = rest.offset()?;
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !in_range || !rest.0.is_empty() {
            return None;
        }
        let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY
            + hour * 3_600
            + minute * 60
            + second
            - offset;
        Some(Self(seconds * MICROS_PER_SECOND + fraction))
    }
}

/// RFC 3339, as [`UnixMicros::to_rfc3339`].
impl fmt::Display for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_rfc3339(f)
    }
}

/// What is left of a text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !allowed.contains(first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    /// Exactly `digits` ASCII digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 10 + i64::from(self.one_of(b"0123456789")? - b'0');
        }
        Some(value)
    }

    /// Microseconds of an optional fraction; a point without a digit is refused.
    fn fraction(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let mut micros = self.number(1)? * 100_000;
        let mut weight = 10_000;
        while let Some(digit) = self.number(1) {
            micros += digit * weight;
            weight /= 10;
        }
        Some(micros)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hour = self.number(2)?;
        self.one_of(b":")?;
        let minute = self.number(2)?;
        (hour < 24 && minute < 60).then_some(sign * (hour * 3_600 + minute * 60))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from
/// March, so that the leap day is a year's last and months have a linear start.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

/// The inverse: (year, month, day).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // An era is 400 years: 146,097 days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let (month, carry) = if march_month < 10 { (march_month + 3, 0) } else { (march_month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_print_and_read_back() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_782_554_700_000_000, "2026-06-27T10:05:00Z"),
            (1_782_554_700_120_000, "2026-06-27T10:05:00.120Z"),
            (1_782_554_700_123_456, "2026-06-27T10:05:00.123456Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (UnixMicros::MIN_WRITABLE.0, "0000-01-01T00:00:00Z"),
            (UnixMicros::MAX_WRITABLE.0, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(UnixMicros(micros).to_rfc3339(), text);
            assert_eq!(UnixMicros(micros).to_string(), text);
            assert_eq!(UnixMicros::parse_rfc3339(text), Some(UnixMicros(micros)), "{text}");
        }
    }

    #[test]
    fn a_time_outside_the_calendar_is_written_as_its_edge() {
        assert_eq!(UnixMicros(i64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(UnixMicros(i64::MIN).to_rfc3339(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn offsets_fractions_and_leap_seconds_are_understood() {
        let at = |text| UnixMicros::parse_rfc3339(text).map(UnixMicros::to_rfc3339);
        for (text, utc) in [
            ("2026-06-27T13:05:00+03:00", "2026-06-27T10:05:00Z"),
            ("2026-06-26t23:35:00-10:30", "2026-06-27T10:05:00Z"),
            ("2026-06-27 10:05:00z", "2026-06-27T10:05:00Z"),
            ("2026-06-27T10:05:00.1Z", "2026-06-27T10:05:00.100Z"),
            ("2026-06-27T10:05:00.123456789Z", "2026-06-27T10:05:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(utc), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-06-27",
            "2026-06-27T10:05:00",
            "2026-06-27T10:05Z",
            "2026-6-27T10:05:00Z",
            "2026-02-29T10:05:00Z",
            "2026-13-01T10:05:00Z",
            "2026-00-01T10:05:00Z",
            "2026-06-00T10:05:00Z",
            "2026-06-27T24:00:00Z",
            "2026-06-27T10:60:00Z",
            "2026-06-27T10:05:61Z",
            "2026-06-27T10:05:00.Z",
            "2026-06-27T10:05:00Zx",
            "2026-06-27T10:05:00+3:00",
            "2026-06-27T10:05:00+24:00",
            "+026-06-27T10:05:00Z",
            "２026-06-27T10:05:00Z",
            "2026-06-27T10:05:00.00000000000000000000000000000Z",
        ] {
            assert_eq!(UnixMicros::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_is_checked_and_units_round_down() {
        let time = UnixMicros(-1);
        assert_eq!(time.unix_seconds(), -1);
        assert_eq!(time.unix_millis(), 0);
        assert_eq!(UnixMicros(1_999_999).unix_seconds(), 1);
        assert_eq!(UnixMicros(1_999_999).unix_millis(), 1_999);
        assert_eq!(time.checked_add(Duration::from_micros(2)), Some(UnixMicros(1)));
        assert_eq!(time.checked_sub(Duration::from_secs(1)), Some(UnixMicros(-1_000_001)));
        assert_eq!(UnixMicros(i64::MAX).checked_add(Duration::from_micros(1)), None);
        assert_eq!(time.checked_add(Duration::MAX), None);
        assert_eq!(UnixMicros::from_unix_seconds(i64::MAX), None);
        assert_eq!(UnixMicros::from_unix_seconds(2), Some(UnixMicros(2_000_000)));
    }

    proptest! {
        #[test]
        fn every_writable_time_reads_back(
            micros in UnixMicros::MIN_WRITABLE.0..=UnixMicros::MAX_WRITABLE.0
        ) {
            let time = UnixMicros(micros);
            prop_assert_eq!(UnixMicros::parse_rfc3339(&time.to_rfc3339()), Some(time));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = UnixMicros::parse_rfc3339(&text);
        }
    }
}
