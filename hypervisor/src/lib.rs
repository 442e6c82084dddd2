//! Stagegate: all of the hypervisor that is not the CPU itself.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
pub mod pci;
pub mod power;
pub mod scmi;
