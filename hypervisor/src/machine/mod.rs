//! The running machine: boot, VMs on their CPUs, exits, and what joins the
//! rooms together. Only built for EL2; whatever can be tested on a host lives
//! in the modules beside this one.

pub mod board;
pub mod exits;
pub mod failed;
pub mod fault;
pub mod irq;
pub mod life;
pub mod operator;
pub mod probing;
pub mod start;
pub mod vm;
pub mod vms;
