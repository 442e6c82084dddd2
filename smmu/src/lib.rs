//! Arm SMMU drivers with runtime power.
//!
//! One [`Smmu`] stands for one SMMU of the board. It joins three
//! concerns that know little of each other:
//!
//! * [`hardware::Hardware`] is what an SMMU architecture must be able to do;
//!   [`v3`] implements it. It never decides whether it may touch a register:
//!   every method that does asks for a [`power::Powered`] token.
//! * [`power`] decides when the SMMU is clocked, and hands those tokens out.
//! * [`outside`] holds the small traits through which the crate reaches
//!   clocks, power domains, time and memory.
//!
//! The crate knows streams, domains and tables. It does not know virtual
//! machines, boards or device trees.
#![cfg_attr(not(any(test, feature = "model", loom)), no_std)]
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

extern crate alloc;

pub mod error;
pub mod fault;
pub mod front;
pub mod hardware;
pub mod mirror;
pub mod mmio;
#[cfg(feature = "model")]
pub mod model;
pub mod outside;
pub mod power;
pub mod types;
pub mod v2;
pub mod v3;

mod mutation;
mod poll;
mod sync;

pub use error::{Error, SupplyError, Wait};
pub use fault::{FaultKind, FaultRecord};
pub use front::{DomainId, Done, Fault, LinkId, Smmu, SmmuConfig, TbuConfig};
pub use hardware::{Hardware, Limits, StreamAction, Ticket};
pub use mirror::Mirror;
pub use outside::{Clock, DmaMemory, PowerDomain, Registers, Time};
pub use power::Powered;
pub use types::{ContextId, IpaRange, Stage2, StreamId, Vmid};
