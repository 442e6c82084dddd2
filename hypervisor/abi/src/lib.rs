//! The hypercall ABI of Stagegate: function ids, status codes, argument and page layouts.
//!
//! No logic beyond decoding and encoding lives here, so that the hypervisor, guests, tools and tests
//! share one description. `docs/abi.md` says what every call does; `tools/linux/stagegate-abi.h` is
//! generated from this crate and a test holds the two together.
#![cfg_attr(not(any(test, feature = "header")), no_std)]
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

mod event;
mod features;
mod function;
#[cfg(feature = "guest")]
pub mod guest;
#[cfg(any(test, feature = "header"))]
pub mod header;
mod layout;
mod prot;
mod reply;
mod request;
mod status;
mod uid;

pub use event::{Event, EventFlags, EventReason};
pub use features::{FeatureFlags, Features, function_bit};
pub use function::{FUNCTIONS, Function, SVE_HINT};
pub use layout::{
    BATCH_MAX, BATCH_STATUS_OFFSET, BatchEntry, BatchOp, LEAVES_PER_CALL, LIST_MAX, ListEntry,
    PAGE_SIZE, UNMAP_LAZY_PROT,
};
pub use prot::Prot;
pub use reply::Reply;
pub use request::{AllocFlags, DeviceFlags, PowerState, Request, SmmuPower, StatsPage, UnmapFlags};
pub use status::{CODES, Status};
pub use uid::{REVISION_MAJOR, REVISION_MINOR, UID, UUID_TEXT};
