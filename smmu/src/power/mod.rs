//! When an SMMU may be touched, and who keeps it awake.
//!
//! [`Machine`] is the state machine of docs/power.md, the same for an SMMU
//! and for a TBU. It knows no registers: what has to happen when power comes
//! and goes is behind the small trait [`Sleeper`].

mod machine;
mod meter;
mod supplies;
mod timeline;
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

/// Steps that a test can leave out to prove that something notices. Exists
/// only in builds that can never be an image.
#[cfg(any(feature = "model", loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Gate although a link is active or an operation holds (P3).
    CountCheck,
    /// Gate before the deadline (P3, D4).
    DeadlineCheck,
    /// Elide without the barrier between the cleared entry and the look at
    /// the state (P12).
    ElisionBarrier,
    /// Publish Resuming only after the invalidation (P12).
    ResumePublish,
    /// Take a fault hold without looking at the state (P4).
    HoldCheck,
    /// Let the master go on before the resume has ended (P2).
    SupplierFirst,
}
