//! Backtraces by frame pointer.

/// Calls `each` with the return addresses of the stack that `frame` heads,
/// innermost first, at most 32, as offsets into the image.
pub fn backtrace(mut frame: u64, mut each: impl FnMut(u64)) {
    let image = super::boot::image();
    for _ in 0..32 {
        let inside = frame >= image.stacks_start && frame < image.end - 16;
        if !inside || !frame.is_multiple_of(16) || frame & super::boot::STACK_SIZE as u64 == 0 {
            return;
        }
        // SAFETY: the record lies in the mapped upper half of a stack.
        let [next, lr] = unsafe { *(frame as *const [u64; 2]) };
        if lr < image.start || lr >= image.text_end {
            return;
        }
        each(lr - image.start);
        if next <= frame {
            return;
        }
        frame = next;
    }
}

/// The caller's frame pointer.
#[must_use]
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let fp: u64;
    // SAFETY: reads x29.
    unsafe {
        core::arch::asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags))
    };
    fp
}
