//! Exits from guests: what a guest does that EL2 answers.

mod calls;
mod devices;
mod mmio;
mod outcome;
pub mod run;
