//! Which packets of a stream are used up (RFC 3711 section 3.3.2).

/// Packets that may come after a later one.
const WIDTH: u64 = 64;

/// The last 64 numbers of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    highest: u64,
    /// Bit n: `highest - n` is used up.
    used: u64,
}

impl Window {
    /// A stream whose first packet has this number.
    pub(crate) const fn new(first: u64) -> Self {
        Self { highest: first, used: 1 }
    }

    /// The number that a packet's 16 bits most likely stand for (RFC 3711 section 3.3.1); `None` before
    /// the stream's start.
    pub(crate) fn index_of(&self, sequence: u16) -> Option<u64> {
        let [low, high, ..] = self.highest.to_le_bytes();
        let step = sequence.wrapping_sub(u16::from_le_bytes([low, high])).cast_signed();
        self.highest.checked_add_signed(i64::from(step))
    }

    pub(crate) const fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < WIDTH && self.used & (1 << age) == 0,
        }
    }

    /// Uses a number up that [`Self::is_new`].
    pub(crate) fn insert(&mut self, index: u64) {
        if let Some(age) = self.highest.checked_sub(index) {
            if age < WIDTH {
                self.used |= 1 << age;
            }
            return;
        }
        let step = index - self.highest;
        self.used = if step < WIDTH { (self.used << step) | 1 } else { 1 };
        self.highest = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order() {
        let mut window = Window::new(1_000);
        for (index, expected) in [
            (1_000, false),
            (1_001, true),
            (1_001, false),
            (1_010, true),
            (1_005, true),
            (1_005, false),
            (947, true),
            (946, false),
            (5_000, true),
            (4_937, true),
            (4_936, false),
            (1_011, false),
        ] {
            assert_eq!(window.is_new(index), expected, "{index}");
            if expected {
                window.insert(index);
            }
        }
    }

    #[test]
    fn sixteen_bits_stand_for_the_nearest_number() {
        let window = Window::new(65_530);
        assert_eq!(window.index_of(65_535), Some(65_535));
        assert_eq!(window.index_of(3), Some(65_539), "over the end of 16 bits");
        assert_eq!(Window::new(65_539).index_of(65_535), Some(65_535), "and late, back again");
        assert_eq!(Window::new(3).index_of(65_535), None, "before the stream's start");
        assert_eq!(Window::new(3 << 16).index_of(65_535), Some((3 << 16) - 1));
    }
}
