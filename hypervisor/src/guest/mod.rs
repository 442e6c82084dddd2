//! Preparing a guest: its kernel ([`image`]) and its device tree ([`dt`]).
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod dt;
pub mod image;
pub mod map;

/// A range of guest physical addresses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// The range `[base, base + size)`.
    #[must_use]
    pub const fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    /// First address behind the range; `None` if it does not fit 64 bits.
    #[must_use]
    pub const fn end(self) -> Option<u64> {
        self.base.checked_add(self.size)
    }

    /// Whether all of `[ipa, ipa + len)` lies inside.
    #[must_use]
    pub const fn covers(self, ipa: u64, len: u64) -> bool {
        match (ipa.checked_sub(self.base), ipa.checked_add(len), self.end()) {
            (Some(_), Some(last), Some(end)) => last <= end,
            _ => false,
        }
    }
}
