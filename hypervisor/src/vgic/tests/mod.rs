//! The virtual GIC against a model of the hardware below it ([`machine`]) and
//! a model of the GIC it is to be ([`reference`]).

mod across;
mod life;
mod machine;
mod reference;
mod registers;
mod sgi;
mod threads;

use crate::vgic::Version;
use machine::Machine;

const TIMER: u32 = 27;
const SPI: u32 = 40;

/// Runs `test` on a GICv2 and on a GICv3, two CPUs with four list registers.
fn both(test: impl Fn(Machine)) {
    for version in [Version::V2, Version::V3] {
        test(Machine::new(version, 2, 4));
    }
}

/// Number of random cases: `usual`, or what `PROPTEST_CASES` asks for.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(usual)
}
