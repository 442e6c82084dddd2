//! Tests against the fake hierarchy.

mod hostile;
mod physical;
mod reset;
mod virt;
mod virt_power;
mod vm;
