//! The hostile model: SMMUs in software, at the level of registers, that do
//! everything the architecture lets them do to a careless driver.
//!
//! * Stream entries and translations are cached as soon as they can be, in
//!   the TCU and in each TBU, and kept until an invalidation *completes*.
//! * An entry is fetched in pieces, at moments of the model's choosing.
//! * Walks skip levels by cached intermediate steps.
//! * An invalidation that was consumed has no effect before its sync.
//! * Transactions that were translated land as late as a sync allows.
//! * A walker that is not coherent sees only what was cleaned.
//! * Syncs complete late, or never.
//! * Power-off keeps, loses or scrambles state; reset does not clear caches,
//!   and GBPA resets to bypass.
//! * A register access without a clock, a clock that stops under a live
//!   stream, a stream that passes untranslated, a transaction that reaches a
//!   page it must not: each is a [`Violation`].
//!
//! `tests/` drives the real drivers against this. What is shared between
//! architectures is here ([`Ram`], [`TableMemory`], [`Tlb`], [`Device`] and
//! the supplies); [`v3`] is one back end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod body;
mod device;
mod ram;
mod supply;
mod tables;
mod tlb;
pub mod v2;
pub mod v3;

pub use crate::mutation::Step;
pub use device::{Device, Dma, Loss, Nature, Unit, Violation};
pub use ram::Ram;
pub use supply::{SimTime, Switch};
pub use tables::{Cleaner, Missing, TableMemory, Walker, new_mirror, new_table};
pub use tlb::{Tlb, TlbEntry};

/// A small generator of choices, so that a failing run can be repeated.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed makes the same choices.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next choice.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n.max(1))
    }
}
