//! The running machine: boot, VMs on their CPUs, exits, and what joins the
//! rooms together. Only built for EL2; whatever can be tested on a host lives
//! in the modules beside this one.

pub mod assign;
pub mod board;
pub mod boot;
pub mod calls;
pub mod compose;
pub mod console;
pub mod cpus;
pub mod devices;
pub mod dump;
pub mod failed;
pub mod fault;
pub mod faults;
pub mod gic;
pub mod guest_dma;
pub mod irq;
pub mod its;
pub mod life;
pub mod load;
pub mod masters;
pub mod messages;
pub mod mmio;
pub mod monitor;
pub mod owners;
pub mod packed;
pub mod passed;
pub mod pci;
pub mod private;
pub mod probing;
pub mod ram;
pub mod report;
pub mod run;
pub mod scmi;
pub mod smmus;
pub mod stop;
pub mod supplies;
pub mod tables;
pub mod vcpu;
pub mod vm;
