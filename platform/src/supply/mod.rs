//! Clocks and power domains the hypervisor can really switch.
//!
//! Each driver is small and knows its registers or firmware calls only. A
//! [`Suppliers`] opens them from the device tree, shares one switch among all
//! who name the same clock or domain, and counts its users.
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
pub mod bank;
mod counted;
pub mod eemi;
pub mod fixed;
pub mod gpio;
pub mod mhu;
pub mod pl061;
pub mod poll;
pub mod qcom;
mod registry;
pub mod rockchip;
pub mod scmi;
mod smc;
#[cfg(test)]
mod tests;

pub use counted::Counted;
pub use registry::{Environment, OpenError, Services, Suppliers, SupplyKind};

use crate::tree::{NodeId, Tree};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Whether a provider that has a table of its clocks and domains lacks this
/// one.
#[must_use]
pub fn lacks(tree: &Tree<'_>, provider: NodeId, kind: SupplyKind, number: u32) -> bool {
    let node = tree.node(provider);
    if qcom::table(&node).is_some() {
        return !qcom::knows(&node, kind, number);
    }
    match rockchip::table(&node) {
        None => false,
        Some((own, _)) if own != kind => true,
        Some((SupplyKind::Clock, table)) => table.gate(number).is_none(),
        Some((SupplyKind::PowerDomain, table)) => {
            table.domain(number).is_none()
                || rockchip::domain_node(tree, provider, number).is_none()
        }
    }
}

/// The numbers that a provider's table has, in words; none where it has no
/// table.
#[must_use]
pub fn known(tree: &Tree<'_>, provider: NodeId, kind: SupplyKind) -> Vec<String> {
    let node = tree.node(provider);
    let numbers: Vec<u16> = if let Some(table) = qcom::table(&node) {
        match kind {
            SupplyKind::Clock => table.clocks.iter().map(|c| c.number).collect(),
            SupplyKind::PowerDomain => table.domains.iter().map(|d| d.number).collect(),
        }
    } else {
        match rockchip::table(&node) {
            Some((SupplyKind::Clock, table)) if kind == SupplyKind::Clock => {
                table.gates.iter().map(|g| g.number).collect()
            }
            Some((SupplyKind::PowerDomain, table)) if kind == SupplyKind::PowerDomain => {
                table.domains.iter().map(|d| d.number).collect()
            }
            _ => Vec::new(),
        }
    };
    numbers.iter().map(|n| format!("{n}")).collect()
}

/// A clock or power domain.
///
/// Calls may come from several CPUs; an implementation serialises what it must.
pub trait Switch: Send + Sync {
    /// Switches on. On return the clock runs, the domain is up.
    ///
    /// # Errors
    /// [`SupplyError`]; the supply is then to be taken as off.
    fn enable(&self) -> Result<(), SupplyError>;

    /// Switches off.
    ///
    /// # Errors
    /// [`SupplyError`]. What a [`Counted`] switch supplies is then certainly
    /// still on; a driver's own may go off at any time.
    fn disable(&self) -> Result<(), SupplyError>;

    /// Whether it is on now, as hardware or firmware tells.
    ///
    /// # Errors
    /// [`SupplyError`] when that cannot be found out.
    fn is_on(&self) -> Result<bool, SupplyError>;

    /// It is always on and cannot be switched.
    fn is_fixed(&self) -> bool {
        false
    }

    /// It counts as off, but refused to go, and to stay: why nobody can say
    /// whether it is.
    fn doubt(&self) -> Option<SupplyError> {
        None
    }
}

/// Why a supply could not be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SupplyError {
    /// Hardware did not follow within this many microseconds.
    Timeout(u64),
    /// Firmware refused with this code.
    Firmware(i32),
    /// Firmware's reply made no sense.
    Protocol(u32),
    /// A register did not keep what was written.
    Stuck(u32),
    /// Switched off more often than on.
    Unbalanced,
}

/// Why whatever failed as [`SupplyError::may_pass`] says is asked again.
pub const NO_ANSWER: &str = "its firmware does not answer yet";

impl SupplyError {
    /// Whether asking again later may help: nobody has answered yet, or those
    /// who did had no time.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Timeout(_) | Self::Firmware(scmi::BUSY | eemi::PMU_SILENT)
        )
    }
}

impl fmt::Display for SupplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timeout(us) => write!(f, "no effect within {us} us"),
            Self::Firmware(code) => write!(f, "firmware refused with {code}"),
            Self::Protocol(word) => write!(f, "firmware's reply {word:#x} makes no sense"),
            Self::Stuck(value) => write!(f, "the register reads {value:#x}"),
            Self::Unbalanced => write!(f, "switched off more often than on"),
        }
    }
}

impl core::error::Error for SupplyError {}
