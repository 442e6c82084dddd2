//! Tests against the fake hierarchy.

mod hostile;
mod physical;
mod places;
mod qemu;
mod reset;
mod virt;
mod virt_power;
mod vm;
