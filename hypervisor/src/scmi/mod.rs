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
mod base;
mod clock;
pub mod devices;
pub mod page;
mod power;
mod results;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wire;

pub use backend::{Power, ScmiBackend};
pub use devices::{Devices, Switch};
pub use page::Page;
pub use server::serve;
pub use wire::{SMC_ID, Status};
