//! When an SMMU may be touched, and who keeps it awake.
//!
//! [`Machine`] is the state machine of docs/power.md, the same for an SMMU
//! and for a TBU. It knows no registers: what has to happen when power comes
//! and goes is behind the small trait [`Sleeper`].

mod machine;
mod meter;
mod supplies;
mod timeline;
mod transitions;
mod word;

pub use machine::{Delays, Hold, Machine, Sleeper};
pub use meter::Account;
pub(crate) use meter::Meter;
pub use supplies::Supplies;
pub use timeline::{Mark, Timeline, Who};
pub use word::State;

use core::marker::PhantomData;

/// Proof that the SMMU is clocked and powered for as long as it is borrowed.
///
/// Only the power state machine makes one, so a register access without the
/// check does not compile (P4).
#[derive(Debug)]
pub struct Powered {
    _only_here: PhantomData<()>,
}

impl Powered {
    /// The power code's own constructor.
    pub(crate) fn attest() -> Self {
        Powered {
            _only_here: PhantomData,
        }
    }
}
