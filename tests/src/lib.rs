//! Whole-system tests of Stagegate: everything needed to start a machine
//! under QEMU, talk to it, look at it from outside, and judge what it did.
//!
//! * [`paths`] knows where tools, kernels and results are;
//! * [`cpio`], [`modules`] and [`initramfs`] make the guests' root file system;
//! * [`image`] turns the hypervisor's ELF into what boot loaders take;
//! * [`devicetree`] applies overlays to the board's device tree;
//! * [`machine`], [`console`], [`qmp`] and [`trace`] are a running QEMU, its
//!   serial line, its monitor and its event trace;
//! * [`setup`] puts Stagegate and its VMs on a machine;
//! * [`guest`] understands what Linux guests say about themselves;
//! * [`checks`], [`timeline`] and [`report`] hold verdicts and show them;
//! * [`cases`] runs the bare-metal guest and reads its verdicts;
//! * [`scenario`] is the demonstration behind `make run`, [`mod@bench`] takes the
//!   figures of `make bench`.

pub mod account;
pub mod activity;
pub mod bench;
pub mod books;
pub mod cases;
pub mod checks;
pub mod closeups;
pub mod cpio;
pub mod crc;
pub mod devicetree;
pub mod director;
pub mod disk;
pub mod gates;
pub mod guest;
pub mod image;
pub mod initramfs;
pub mod modules;
pub mod paths;
pub mod ram;
pub mod report;
pub mod scenario;
pub mod scmi_firmware;
pub mod setup;
pub mod timeline;

pub use stagegate::qemu::{LIMIT, Result, console, context, machine, qmp, trace};
