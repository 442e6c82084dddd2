//! A bare-metal guest that exercises its virtual machine case by case.
//!
//! It expects the platform of QEMU's `virt` machine at EL1 and runs there
//! without Stagegate too, which is how the cases themselves are tested. The
//! command line chooses what to do:
//!
//! * `cases=psci,gic,timer` or `cases=gic-sgi-self`: groups or single cases;
//! * `bare`: there is no Stagegate below; skip what only it promises.
//!
//! Each case ends in one line, `PASS name`, `FAIL name why` or `SKIP name`;
//! `DONE passed failed skipped` comes last, then SYSTEM_OFF.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a bare-metal guest: build it with --target aarch64-unknown-none-softfloat");
    std::process::exit(2);
}

#[cfg(target_os = "none")]
mod cases;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod exception;
#[cfg(target_os = "none")]
mod fdt;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod psci;
#[cfg(target_os = "none")]
mod smp;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
mod uart;
