//! The operator's program: checks board trees and overlays, draws power links,
//! writes first overlays, packs bootable images and runs them on QEMU.
//!
//! It runs the very code the hypervisor runs (`platform`), so that the two
//! never disagree about a configuration.
pub mod command;
pub mod input;
pub mod json;
pub mod pack;
pub mod qemu;
pub mod run;
pub mod symbols;
