//! What the board or operator decides about an SMMUv3.

use crate::mutation::Mutation;
#[cfg(any(feature = "model", loom))]
use crate::mutation::Step;

/// Where interrupts go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interrupts {
    /// Wires, as the device tree says.
    #[default]
    Wired,
    /// Memory writes: (address, data) for events and for global errors.
    Message {
        /// For the event queue.
        events: (u64, u32),
        /// For global errors.
        errors: (u64, u32),
    },
}

/// What the board or operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bound of each hardware wait, nanoseconds.
    pub bound_ns: u64,
    /// Contexts (domains) at most.
    pub contexts: usize,
    /// log2 of the command queue's entries, cut to what the SMMU has.
    pub cmdq_log2: u8,
    /// log2 of the event queue's entries, cut to what the SMMU has.
    pub evtq_log2: u8,
    /// Where interrupts go.
    pub interrupts: Interrupts,
    /// A step to leave out, for tests that prove that it is needed.
    #[cfg(any(feature = "model", loom))]
    pub leave_out: Option<Step>,
}

impl Config {
    pub(super) fn mutation(&self) -> Mutation {
        #[cfg(any(feature = "model", loom))]
        return Mutation::of(self.leave_out);
        #[cfg(not(any(feature = "model", loom)))]
        Mutation::default()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bound_ns: 50_000_000,
            contexts: 64,
            cmdq_log2: 8,
            evtq_log2: 7,
            interrupts: Interrupts::Wired,
            #[cfg(any(feature = "model", loom))]
            leave_out: None,
        }
    }
}
