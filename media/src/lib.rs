//! The `media` room.
