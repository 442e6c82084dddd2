//! The CPU itself: entry, vectors, EL2's own tables, system registers.
//!
//! Everything here needs AArch64 at EL2 and is the hypervisor's only room for
//! unsafe code. Each block says what it relies on.
#![allow(unsafe_code)]

pub mod boot;
pub mod cache;
pub mod dma;
pub mod efi;
pub mod gic_cpu;
pub mod guarded;
pub mod heap;
pub mod mmio;
pub mod mmu;
pub mod percpu;
pub mod ram;
pub mod regs;
pub mod smp;
pub mod tables;
pub mod timer;
pub mod trace;
pub mod vectors;
