//! PCI: the physical host bridge, which the hypervisor owns, and the virtual
//! one that each VM sees. `docs/pci.md` is the tour.
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

pub mod config;
pub mod effects;
pub mod error;
pub mod rid;

pub use config::{ConfigSpace, Delay, Ecam, Width};
pub use effects::{BarMapping, Effects, MapDenied, PowerDenied};
pub use error::PciError;
pub use rid::Rid;

/// Bridges in a row that the scan follows.
pub const MAX_DEPTH: usize = 8;
