//! Keyset pages: newest first, right while rows are added.

use std::fmt;

/// How many rows a list gives unless told.
pub const PAGE_DEFAULT: u32 = 25;
/// The most rows a list gives.
pub const PAGE_MAX: u32 = 100;
const _: () = assert!(PAGE_DEFAULT <= PAGE_MAX);

/// Where the next page begins: the key of the last row given. Opaque to clients.
///
/// It names a position within one workspace's rows, so another workspace's cursor reveals nothing:
/// it only starts at an odd place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) u128);

impl Cursor {
    /// Reads what a client gave back; `None` for anything that [`fmt::Display`] did not print.
    pub fn parse(text: &str) -> Option<Self> {
        let plain =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// From up to `limit + 1` rows: the one too many only tells that there is a next page.
    pub(crate) fn cut(mut rows: Vec<T>, limit: usize, key: impl Fn(&T) -> u128) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| Cursor(key(row))) } else { None };
        Self { rows, next }
    }
}

/// What a client asked for, brought into 1 to [`PAGE_MAX`].
pub(crate) fn limit_of(asked: u32) -> u32 {
    asked.clamp(1, PAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_prints_and_nothing_else() {
        let cursor = Cursor(0x0197_a5c0);
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for wrong in ["", "1", "+0000000000000000000000000000001", &"g".repeat(32), &"0".repeat(33)]
        {
            assert_eq!(Cursor::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_row_too_many_only_tells_that_more_follow() {
        let page = Page::cut(vec![9_u128, 8, 7], 2, |row| *row);
        assert_eq!((page.rows, page.next), (vec![9, 8], Some(Cursor(8))));
        assert_eq!(Page::cut(vec![9_u128, 8], 2, |row| *row).next, None);
    }
}
