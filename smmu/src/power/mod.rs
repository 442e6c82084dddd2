//! When an SMMU may be touched, and who keeps it awake.

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
