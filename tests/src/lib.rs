//! Whole-system tests of Stagegate: everything needed to start a machine
//! under QEMU, talk to it, look at it from outside, and judge what it did.
//!
//! * [`paths`]: where tools, kernels and results are.
//! * [`cpio`], [`modules`], [`initramfs`]: the guests' root file system.
//! * [`image`]: the hypervisor's ELF as the flat image that boot loaders take.
//! * [`devicetree`]: the board's device tree with overlays applied.
//! * [`machine`], [`console`], [`qmp`], [`trace`]: a running QEMU, its serial
//!   line, its monitor and its event trace.
//! * [`checks`]: verdicts.

pub mod checks;
pub mod console;
pub mod cpio;
pub mod crc;
pub mod devicetree;
pub mod image;
pub mod initramfs;
pub mod machine;
pub mod modules;
pub mod paths;
pub mod qmp;
pub mod trace;

/// What the helpers of this crate return: a sentence for the person who runs
/// the tests.
pub type Result<T> = std::result::Result<T, String>;

/// Adds the file or action to an I/O error.
pub fn context<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
