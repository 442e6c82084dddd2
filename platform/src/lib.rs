//! Board facts and services: device tree, consoles, interrupt controllers, clocks, power domains.
#![cfg_attr(not(test), no_std)]
extern crate alloc;

pub mod config;
pub mod console;
#[cfg(any(test, feature = "dts"))]
pub mod dts;
pub mod early;
pub mod efi;
pub mod facts;
pub mod fdt;
pub mod gic;
pub mod mmio;
pub mod overlay;
pub mod pack;
pub mod probe;
pub mod region;
pub mod report;
pub mod sort;
pub mod supply;
pub mod symbols;
pub mod tree;
pub mod uart;
