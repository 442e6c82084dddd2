//! Stagegate: all of the hypervisor that is not the CPU itself.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
#[cfg(target_os = "none")]
pub mod arch;
pub mod burst;
pub mod clock;
pub mod dma;
pub mod drivers;
pub mod guest;
pub mod hypercall;
pub mod life;
#[cfg(target_os = "none")]
pub mod machine;
pub mod pci;
pub mod power;
pub mod psci;
pub mod scmi;
pub mod trap;
pub mod vgic;
pub mod viommu;
pub mod vuart;
