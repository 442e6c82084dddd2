//! Board facts and services: device tree, consoles, interrupt controllers, clocks, power domains.
#![cfg_attr(not(test), no_std)]
pub mod console;
pub mod mmio;
