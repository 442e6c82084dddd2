//! The running machine: boot, VMs on their CPUs, exits, and what joins the
//! rooms together. Only built for EL2; whatever can be tested on a host lives
//! in the modules beside this one.

pub mod boot;
pub mod console;
pub mod fault;
pub mod run;
pub mod vcpu;
