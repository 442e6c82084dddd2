//! Tests against the fake hierarchy.

mod hostile;
mod linux;
mod physical;
mod places;
mod qemu;
mod reset;
mod virt;
mod virt_power;
mod vm;
