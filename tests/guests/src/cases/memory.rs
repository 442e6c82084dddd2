//! What one life of a VM leaves in its memory, the next must not find.

use super::{Case, Outcome, last};
use crate::{check, cpu, println};
use core::hint::black_box;

pub const CASES: &[Case] = &[last("memory-secret", secret)];

/// Memory that neither the image nor the device tree uses.
const RANGE: core::ops::Range<u64> = 0x4100_0000..0x4240_0000;
const PAGE: usize = 4096;
/// The complement of what is written: the image, too, is in memory, and the
/// host searches all of it.
const INVERTED: u64 = 0x8a13_d51a_7c39_1b84;

/// Finds zeros, leaves a secret in every page, and waits for its end.
fn secret() -> Outcome {
    for at in RANGE.step_by(PAGE) {
        check!(cpu::read64(at) == 0, "memory of an earlier life", at);
    }
    for at in RANGE.step_by(PAGE) {
        cpu::write64(at, !black_box(INVERTED));
    }
    println!(
        "MARK secret in {} pages",
        (RANGE.end - RANGE.start) / PAGE as u64
    );
    loop {
        cpu::wfi();
    }
}
