//! virtio-iommu over virtio-mmio: DMA domains for guests that load no driver of ours.
//!
//! Virtio 1.2, sections 4.2 (MMIO transport, version 2), 2.7 (split virtqueues) and 5.13 (IOMMU device).
//!
//! Requests are complete when the write to QueueNotify is: Linux polls the used ring under a spinlock.
//! Work per trap is bounded; when there is more, [`Viommu::write`] answers [`Written::Again`] and the
//! trap handler leaves the guest's program counter where it is, so that the guest notifies again.
//!
//! All that the guest writes is hostile: a ring that makes no sense sets DEVICE_NEEDS_RESET and is not
//! looked at again until the driver resets the device.
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

mod device;
mod queue;
mod registers;
mod requests;
mod spec;
#[cfg(test)]
mod tests;

pub use device::{Viommu, Written};
