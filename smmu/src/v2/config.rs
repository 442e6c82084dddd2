//! What the board or operator decides about an SMMUv1 or SMMUv2.

use super::implementation::Implementation;
#[cfg(feature = "model")]
use super::implementation::WorkAround;
use crate::mutation::Mutation;
#[cfg(any(feature = "model", loom))]
use crate::mutation::Step;

/// What becomes of stream entries that firmware left valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirmwareStreams {
    /// They terminate, as all others.
    #[default]
    Deny,
    /// They pass untranslated, as firmware let them (a display that scans
    /// out), until the stream is given to somebody. Only where the operator
    /// wrote so.
    Keep,
}

/// What the board or operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who made it.
    pub model: Implementation,
    /// StreamID bits that never matter (`stream-match-mask`).
    pub stream_match_mask: u16,
    /// Bytes of the register window, if known: must hold what ID1 says.
    pub window: Option<u64>,
    /// Whether walks are coherent, where the board knows better than ID0.
    pub coherent: Option<bool>,
    /// Context banks at most: some parts have fewer than ID1 says.
    pub banks: u16,
    /// Interrupts that serve context banks: those after the
    /// `#global-interrupts`. SMMUv1 distributes its banks over them.
    pub context_interrupts: u8,
    /// First VMID to give out. Where VMIDs are to be unique over several
    /// SMMUs (Cavium), each starts where the last one's
    /// [`next_vmid`](super::V2::next_vmid) says.
    pub first_vmid: u16,
    /// What firmware left.
    pub firmware_streams: FirmwareStreams,
    /// Use an MMU-500 although secure firmware keeps its prefetchers on
    /// (SACR.CACHE_LOCK), and with them errata 841119 and 826419.
    pub tolerate_prefetch: bool,
    /// Bound of each hardware wait, nanoseconds.
    pub bound_ns: u64,
    /// A step to leave out, for tests that prove that it is needed.
    #[cfg(any(feature = "model", loom))]
    pub leave_out: Option<Step>,
    /// A work-around to leave out, likewise.
    #[cfg(feature = "model")]
    pub without: Option<WorkAround>,
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
            model: Implementation::GenericV2,
            stream_match_mask: 0,
            window: None,
            coherent: None,
            banks: u16::MAX,
            context_interrupts: 1,
            first_vmid: 1,
            firmware_streams: FirmwareStreams::Deny,
            tolerate_prefetch: false,
            bound_ns: 50_000_000,
            #[cfg(any(feature = "model", loom))]
            leave_out: None,
            #[cfg(feature = "model")]
            without: None,
        }
    }
}
