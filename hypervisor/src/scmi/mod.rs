//! SCMI server: power domains and clocks for a stock guest over one shared
//! page and an HVC. `docs/scmi.md` is the tour.
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

pub mod backend;
pub mod wire;

pub use backend::{Power, ScmiBackend};
pub use wire::{SMC_ID, Status};
