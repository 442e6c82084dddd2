//! Exits from guests: what a guest does that EL2 answers.

pub mod calls;
pub mod mmio;
pub mod run;
