//! Stagegate: all of the hypervisor that is not the CPU itself.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
pub mod vgic;
pub mod viommu;
pub mod vuart;
pub mod dma;
pub mod guest;
pub mod hypercall;
pub mod pci;
pub mod power;
pub mod psci;
pub mod scmi;
pub mod trap;
#[cfg(target_os = "none")]
pub mod arch;
#[cfg(target_os = "none")]
pub mod machine;
