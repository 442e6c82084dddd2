//! What a guest does that hardware hands to EL2: decode, answer, refuse.
//!
//! * [`esr`] turns a syndrome into one [`esr::Exit`];
//! * [`sysreg`] answers trapped system registers;
//! * [`features`] decides which CPU features a guest sees;
//! * [`inject`] computes the state of a guest that takes an exception;
//! * [`config`] holds the values of the registers that decide what traps.
//!
//! Nothing here touches the CPU: every function is a value in, a value out.
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
pub mod esr;
pub mod features;
mod features_table;
pub mod inject;
mod register;
pub mod sysreg;
mod words;

#[cfg(test)]
mod tests {
    mod esr;
    mod sysreg;
}
