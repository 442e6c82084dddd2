//! PSCI 1.1 and the SMC calling convention's own calls, as a guest sees them.
//!
//! DEN 0022 (PSCI) and DEN 0028 (SMCCC). [`call::Call`] decodes, [`power`]
//! keeps each vCPU's power state, [`serve`] decides. Only the caller can act:
//! it gets an [`Outcome`] and starts, stops or resets.
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

pub mod call;
mod error;
pub mod power;
mod server;

pub use call::{Call, decode};
pub use error::{Error, SUCCESS};
pub use power::{Start, VcpuPower, all_off};
pub use server::{Mitigations, Outcome, Vcpu, constant, serve};

#[cfg(all(test, not(loom)))]
mod tests;
