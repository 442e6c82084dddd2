//! Accesses to device registers that may end in an external abort.
//!
//! A guarded load or store is one instruction of [`ROUTINES`]. If the bus
//! answers it with an error, the CPU takes a synchronous external abort at EL2;
//! [`recover`] sees that the address of that instruction lies among these
//! routines, notes the failure in a register and goes on behind it. Every other
//! exception at EL2 still is a fault of ours.
//!
//! A guarded store ends with a barrier, and the window is Device-nGnRnE: when
//! it returns, the device has the write. What a driver does next may depend on
//! that: it waits for a reset that has begun, or gates a function's SMMU.
//!
//! An error that the bus reports later is an SError. EL2 runs with those
//! masked: it stays pending and hits the VM that this CPU runs
//! (`docs/pci.md#accesses-that-abort`).

use core::arch::global_asm;

use super::mmu::{self, WriteEnd};
use super::regs::{elr_el2, esr_el2, far_el2, hpfar_el2, spsr_el2};
use super::vectors::Frame;
use crate::pci::{Aborted, Width};
use crate::trap::esr;

// x0: address, x1: value to store. Out: x0 the value, x1 whether it failed,
// which nobody but `recover` sets. No stack is used, so a frame of an exception
// below the stack pointer overwrites nothing.
global_asm!(
    r#"
    .section .text.guarded, "ax"
    .balign 4
guarded_start:
guarded_read8:
    mov     x1, xzr
    ldrb    w0, [x0]
    ret
guarded_read16:
    mov     x1, xzr
    ldrh    w0, [x0]
    ret
guarded_read32:
    mov     x1, xzr
    ldr     w0, [x0]
    ret
guarded_write8:
    mov     w2, w1
    mov     x1, xzr
    strb    w2, [x0]
    dsb     sy
    ret
guarded_write16:
    mov     w2, w1
    mov     x1, xzr
    strh    w2, [x0]
    dsb     sy
    ret
guarded_write32:
    mov     w2, w1
    mov     x1, xzr
    str     w2, [x0]
    dsb     sy
    ret
guarded_end:
    "#
);

/// What a routine returns in x0 and x1 (AAPCS64, 6.9).
#[repr(C)]
struct Outcome {
    value: u64,
    failed: u64,
}

unsafe extern "C" {
    static guarded_start: u8;
    static guarded_end: u8;
    fn guarded_read8(address: u64) -> Outcome;
    fn guarded_read16(address: u64) -> Outcome;
    fn guarded_read32(address: u64) -> Outcome;
    fn guarded_write8(address: u64, value: u64) -> Outcome;
    fn guarded_write16(address: u64, value: u64) -> Outcome;
    fn guarded_write32(address: u64, value: u64) -> Outcome;
}

/// A window of device registers that may refuse to answer.
#[derive(Debug)]
pub struct Guarded {
    base: u64,
    len: u64,
}

impl Guarded {
    /// Maps the device registers at physical `base`, `len` bytes, as
    /// [`super::mmio::window`] does, but so that the device itself says when a
    /// write is complete.
    #[must_use]
    pub fn new(base: u64, len: u64) -> Self {
        mmu::map_device(base, len, WriteEnd::Device);
        Self { base, len }
    }

    /// The address of the register at `at`, if all of it lies in the window.
    fn address(&self, at: usize, width: Width) -> Result<u64, Aborted> {
        let (at, bytes) = (at as u64, u64::from(width.bytes()));
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.len);
        if !inside || !at.is_multiple_of(bytes) {
            return Err(Aborted);
        }
        self.base.checked_add(at).ok_or(Aborted)
    }

    /// Reads the register at `at`, in bytes from the base.
    ///
    /// # Errors
    /// It lies outside, or the bus answered with an error.
    pub fn read(&self, at: usize, width: Width) -> Result<u32, Aborted> {
        let address = self.address(at, width)?;
        let routine = match width {
            Width::Byte => guarded_read8,
            Width::Half => guarded_read16,
            Width::Word => guarded_read32,
        };
        // SAFETY: `new` has mapped the window as device memory for ever and
        // `address` has kept the access inside; device memory holds no Rust
        // object. The routine changes only registers that a C function may.
        undisturbed(|| unsafe { routine(address) }).map(|value| value as u32)
    }

    /// Writes the register at `at`, in bytes from the base, and waits until the
    /// device has it.
    ///
    /// # Errors
    /// It lies outside, or the bus answered with an error.
    pub fn write(&self, at: usize, width: Width, value: u32) -> Result<(), Aborted> {
        let address = self.address(at, width)?;
        let routine = match width {
            Width::Byte => guarded_write8,
            Width::Half => guarded_write16,
            Width::Word => guarded_write32,
        };
        // SAFETY: as in `read`; the window holds registers that EL2 drives.
        undisturbed(|| unsafe { routine(address, value.into()) }).map(|_| ())
    }
}

/// Runs a routine. An abort at EL2 overwrites the registers that describe the
/// exit from the guest, which is still being handled: they are put back.
fn undisturbed(routine: impl FnOnce() -> Outcome) -> Result<u64, Aborted> {
    let exit = (elr_el2::read(), spsr_el2::read(), esr_el2::read());
    let addresses = (far_el2::read(), hpfar_el2::read());
    let outcome = routine();
    if outcome.failed == 0 {
        return Ok(outcome.value);
    }
    elr_el2::write(exit.0);
    spsr_el2::write(exit.1);
    esr_el2::write(exit.2);
    far_el2::write(addresses.0);
    hpfar_el2::write(addresses.1);
    Err(Aborted)
}

/// A synchronous exception at EL2: true if it was a guarded access that the bus
/// refused, and `frame` and `ELR_EL2` are now such that the routine goes on and
/// says so. The vectors call this.
pub extern "C" fn recover(frame: &mut Frame) -> bool {
    let pc = elr_el2::read();
    let routines = (&raw const guarded_start) as u64..(&raw const guarded_end) as u64;
    if !routines.contains(&pc) || !esr::is_own_external_abort(esr_el2::read()) {
        return false;
    }
    frame.x[1] = 1;
    elr_el2::write(pc.wrapping_add(4));
    true
}
