//! What VMs share of the board: the console, CPUs and their private interrupts,
//! interrupt controllers, host bridges, SMMUs and what powers them.

pub mod console;
pub mod cpus;
pub mod gic;
pub mod its;
pub mod kick;
pub mod later;
pub mod lists;
pub mod packed;
pub mod pci;
pub mod private;
pub mod smmus;
pub mod supplies;
