//! VMSAv8-64 stage-2 translation tables for CPUs and SMMUs.
//!
//! One [`Table`] serves every walker of an address space at once: the CPUs of
//! a virtual machine and the SMMUs in front of its devices. Mapping takes no
//! lock; several CPUs may map and unmap different ranges of one table at the
//! same time. What an unmap takes out comes back as a [`Detached`], and its
//! frames return to the frame source only through [`Table::release`], after
//! every walker has forgotten them.
//!
//! The crate knows no VMID, stream, guest or allocator: memory comes from a
//! [`Memory`], and the walkers' invalidation is a closure of the caller.
//!
//! All clauses cited are of the Arm Architecture Reference Manual, DDI 0487,
//! chapter D8, unless another document is named.
#![cfg_attr(not(any(test, feature = "host", loom)), no_std)]
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

mod addr;
mod attrs;
mod batch;
mod claim;
mod clear;
mod config;
mod desc;
mod detach;
mod error;
mod geometry;
mod map;
mod mark;
mod mem;
mod missing;
mod pins;
mod protect;
mod quick;
mod reclaim;
mod remains;
mod reserve;
mod size;
mod split;
mod sync;
mod table;
mod translate;
mod unmap;
mod visit;
mod walk;

pub use addr::{Ipa, Pa};
pub use attrs::{Access, Attrs, Execute, MemoryType, Shareability};
pub use batch::Batch;
pub use config::{Bbml, Config, Granule, Leaf, Walks};
pub use detach::{Detached, Stale};
pub use error::Error;
#[cfg(any(test, feature = "host", loom))]
pub use mem::arena::Arena;
#[cfg(all(any(test, feature = "host"), not(loom)))]
pub use mem::heap::Heap;
pub use mem::{Entry, Linear, Memory, Native, Publish};
pub use pins::Slot;
pub use remains::Remains;
pub use size::{decode_size, encode_size};
pub use split::Failure;
pub use table::Table;
pub use translate::{Lookup, Mapping, Reader};
pub use visit::{Dump, Region};
