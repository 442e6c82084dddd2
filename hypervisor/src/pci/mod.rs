//! PCI: the physical host bridge, which the hypervisor owns, and the virtual
//! one that each VM sees. `docs/pci.md` is the tour.
//!
//! At boot: [`scan::scan`], [`acs::enable`], [`place::place`]. For each VM: a
//! [`virt::VirtualHost`] over the functions it was given.
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

pub mod acs;
pub mod bars;
pub mod caps;
pub mod config;
pub mod ecam;
pub mod effects;
pub mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod losses;
pub mod place;
pub mod regs;
pub mod reset;
pub mod rid;
pub mod scan;
#[cfg(test)]
mod tests;
pub mod topology;
pub mod virt;

pub use config::{ConfigSpace, Delay, Width};
pub use ecam::{Aborted, Ecam, Lost, Registers};
pub use effects::{BarMapping, Effects, MapDenied, PowerDenied};
pub use error::PciError;
pub use losses::{Counts, Losses};
pub use place::{HostWindow, HostWindows};
pub use reset::ResetMethod;
pub use rid::Rid;
pub use topology::{Function, Topology};
pub use virt::{Access, HostConfig, MsiPolicy, VirtualHost};

/// Bridges in a row that the scan follows.
pub const MAX_DEPTH: usize = 8;

/// Everything the hypervisor does to a host bridge at boot: finds all
/// functions, turns on isolation, places all BARs. Endpoints are left quiet.
///
/// # Errors
/// As [`scan::scan`] and [`place::place`]. BARs without room are no error
/// here, see [`place::unplaced`].
pub fn bring_up(
    cfg: &impl ConfigSpace,
    buses: (u8, u8),
    windows: &HostWindows,
    page: u64,
) -> Result<Topology, PciError> {
    let mut topology = scan::scan(cfg, buses.0, buses.1)?;
    acs::enable(cfg, &mut topology);
    place::place(cfg, &mut topology, windows, page)?;
    Ok(topology)
}
