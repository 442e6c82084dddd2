//! Consoles of guests: a PL011 for each VM, and the multiplexer that lets them
//! share the one physical console.
//!
//! Bytes a guest sends wait in its PL011's ring until [`Mux::pump`] takes
//! them; while the ring is full the guest sees `UARTFR.TXFF`, so nothing is
//! lost and nobody waits inside the hypervisor. Bytes typed go the other way
//! through [`Mux::typed`].
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

mod escape;
mod mux;
mod pl011;
mod ring;

pub use mux::{Focus, HYPERVISOR, Mux, Typed};
pub use pl011::{Outcome, Pl011};
pub use ring::Ring;

#[cfg(test)]
mod tests;
