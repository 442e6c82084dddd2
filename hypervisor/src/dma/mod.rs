//! DMA domains of guests: the one core behind the hypercalls and the virtio-iommu.
//!
//! A VM may give each of its endpoints a DMA address space of its own, inside what the VM owns:
//!
//! ```text
//!   hypercall ─┐                 ┌─ Domain ── pgtable::Table      (map, unmap: no lock)
//!              ├─ VmDma (one/VM) ┤    └ lazy list, sync            (sync: serialised)
//!   viommu ────┘                 └─ endpoints ── Outside: stage 2 of the VM, SMMU
//! ```
//!
//! * An address that a guest names is looked up in the VM's own stage 2, extent by extent, before a
//!   descriptor is written ([`Outside::lookup`]).
//! * Map takes no lock. What keeps two calls, or a call and a translation that the SMMU may still
//!   remember, apart is that `pgtable` claims the entries of a range.
//! * An unmap's pages of table and its entries stay claimed until the invalidation has completed; a
//!   failed invalidation fences the domain and keeps them for good.
//! * Work per call is at most [`stagegate_abi::LEAVES_PER_CALL`] leaves; callers loop. Calls that are
//!   long even so, lists and the freeing of a domain, stop when an interrupt waits
//!   ([`Outside::interrupted`]).
//! * Nothing here asks whether the SMMU is powered: a map never needs it, and an unmap's
//!   invalidation is elided by the SMMU driver, which alone knows.

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

mod attach;
mod domain;
mod error;
pub mod events;
mod free;
mod joins;
mod map;
mod outside;
mod steps;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod unmap;
mod vm;

pub use domain::{Domain, DomainKey, Progress};
pub use error::Error;
pub use events::EventRing;
pub use free::Freed;
pub use joins::{Join, Joins};
pub use map::{CHUNK, ListProgress};
pub use outside::{
    EndpointInfo, Extent, ExtentKind, Fixed, GuestMemory, HardwareError, NotRam, Outside, Piece,
    PowerReport, Target,
};
pub use vm::{DomainKind, MAX_DOMAINS, Policy, VmDma};
