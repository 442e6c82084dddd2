//! The virtual GIC against a model of the hardware below it ([`machine`]) and
//! a model of the GIC it is to be ([`reference`]).

mod life;
mod machine;
mod reference;
mod registers;

use machine::Machine;

/// Number of random cases: `usual`, or what `PROPTEST_CASES` asks for.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(usual)
}
