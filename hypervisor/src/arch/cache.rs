//! Cache maintenance by address, and barriers by name.

use core::arch::asm;

/// Bytes of the smallest data cache line in the system (`CTR_EL0.DminLine`).
fn line_size() -> u64 {
    let ctr: u64;
    // SAFETY: reads a register that EL2 may always read.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << ((ctr >> 16) & 0xf)
}

/// Defines maintenance by address, eight lines in a turn: kernels and RAM disks
/// pass through here when a VM starts.
macro_rules! by_line {
    ($(#[$doc:meta])* $name:ident, $op:literal) => {
        $(#[$doc])*
        #[inline(never)]
        pub fn $name(start: u64, len: u64) {
            let line = line_size();
            let mut at = start & !(line - 1);
            let end = start.saturating_add(len);
            while end.saturating_sub(at) >= 8 * line {
                // SAFETY: nothing that was written is lost, and no observer may
                // rely on what is dropped; an address that does not translate is
                // a fault, so callers pass mapped memory.
                unsafe {
                    asm!(concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         concat!("dc ", $op, ", {a}"), "add {a}, {a}, {l}",
                         a = inout(reg) at, l = in(reg) line, options(nostack, preserves_flags));
                }
            }
            while at < end {
                // SAFETY: as above.
                unsafe { asm!(concat!("dc ", $op, ", {}"), in(reg) at, options(nostack, preserves_flags)) };
                at += line;
            }
            dsb_sy();
        }
    };
}

by_line! {
    /// Cleans `len` bytes at `start` to the point of coherency, so that an
    /// observer with its caches off reads what was written.
    clean, "cvac"
}

by_line! {
    /// Cleans and invalidates `len` bytes at `start` to the point of coherency.
    clean_invalidate, "civac"
}

/// Zeroes page-aligned RAM and cleans it to the point of coherency, so that no
/// observer with its caches off reads what stood there: this is what a VM's
/// memory costs at each start, so each line is done with in one pass where the
/// CPU can zero a line (`DC ZVA`).
///
/// Only `Extent::scrub` calls it, which vouches for the range.
pub(super) fn scrub(start: u64, len: u64) {
    /// Blocks in a turn.
    const TURN: u64 = 8;
    let dczid: u64;
    // SAFETY: reads a constant register.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) };
    let (block, prohibited) = (4 << (dczid & 0xf), dczid & 0x10 != 0);
    let whole = start.is_multiple_of(block) && len.is_multiple_of(TURN * block);
    if prohibited || block != line_size() || !whole || len == 0 {
        // SAFETY: the range is an extent: mapped RAM without Rust objects.
        unsafe { core::ptr::write_bytes(start as *mut u8, 0, len as usize) };
        clean_invalidate(start, len);
        return;
    }
    let end = start + len;
    // SAFETY: as above; each block lies wholly inside the range.
    unsafe {
        asm!("2:",
             ".rept {turn}", "dc zva, {at}", "dc civac, {at}", "add {at}, {at}, {block}", ".endr",
             "cmp {at}, {end}", "b.lo 2b", turn = const TURN,
             at = inout(reg) start => _, block = in(reg) block, end = in(reg) end, options(nostack));
    }
    dsb_sy();
}

/// Makes instructions written to memory visible to every CPU's fetches.
pub fn invalidate_instructions() {
    // SAFETY: drops cached copies only.
    unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
    dsb_sy();
    isb();
}

/// Full system data synchronisation barrier.
pub fn dsb_sy() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Inner shareable data synchronisation barrier.
pub fn dsb_ish() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// Instruction synchronisation barrier.
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Waits until an interrupt is pending, masked or not.
pub fn wfi() {
    // SAFETY: the CPU resumes at the next instruction.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Drops every stage-1 and stage-2 translation of the VMID in `VTTBR_EL2`, on
/// every CPU of the inner shareable domain.
pub fn invalidate_vm() {
    // SAFETY: dropping translations is always allowed; the next walk rereads.
    unsafe {
        asm!(
            "dsb ish",
            "tlbi vmalls12e1is",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        )
    };
}

/// Drops the stage-2 translations of `len` bytes at `ipa` for the VM whose
/// `VTTBR_EL2` is `vttbr`, one per `stride`, on every CPU, and with them the
/// stage-1 entries that were built on them (DDI 0487, D8.17).
pub fn invalidate_stage2(vttbr: u64, ipa: u64, len: u64, stride: u64) {
    use super::regs::vttbr_el2;
    /// More than this and dropping the whole VM is cheaper.
    const MOST: u64 = 512;
    let own = vttbr_el2::read();
    vttbr_el2::write(vttbr);
    isb();
    let steps = len.div_ceil(stride.max(1));
    if steps > MOST {
        invalidate_vm();
    } else {
        dsb_ish();
        for step in 0..steps {
            let page = ipa.wrapping_add(step.wrapping_mul(stride)) >> 12;
            // SAFETY: dropping translations is always allowed.
            unsafe { asm!("tlbi ipas2e1is, {}", in(reg) page, options(nostack, preserves_flags)) };
        }
        // SAFETY: as above.
        unsafe {
            asm!(
                "dsb ish",
                "tlbi vmalle1is",
                "dsb ish",
                "isb",
                options(nostack, preserves_flags)
            )
        };
    }
    vttbr_el2::write(own);
    isb();
}
