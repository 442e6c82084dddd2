//! Hypercalls: registers to a request, the request to the core, the answer to registers.
//!
//! The numbers are in [`stagegate_abi`]; what each call does is in `docs/abi.md`. A page that a call
//! points to is read entry by entry, each entry once and into a copy ([`GuestMemory`]), so that a guest
//! that changes it meanwhile is judged by the copy alone.
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

mod batch;
mod calls;
mod list;
#[cfg(test)]
mod tests;

pub use calls::{Calls, identity, is_map, is_ours, is_unmap};

use crate::dma::{GuestMemory, NotRam};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Copies `items.len()` items of a list from guest memory, in one go.
fn copy_in<G, T>(memory: &G, at: u64, items: &mut [T]) -> Result<(), NotRam>
where
    G: GuestMemory,
    [T]: FromBytes + IntoBytes + FromZeros,
{
    memory.read(at, items.as_mut_bytes())
}
