//! What the core needs from the rest of the hypervisor.

use super::DomainKey;
use pgtable::{Config, Ipa, Memory, Pa, Stale};
use stagegate_abi::{PAGE_SIZE, PowerState, SmmuPower, StatsPage};

/// What stands behind an IPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentKind {
    /// RAM of the VM.
    Ram,
    /// A register window of a device assigned to the VM.
    Device,
}

/// A stretch of the VM's stage 2, from the address looked up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it really is.
    pub pa: Pa,
    /// Bytes from there on that are physically contiguous, of the same kind and rights. Not zero.
    pub len: u64,
    /// RAM or device.
    pub kind: ExtentKind,
    /// Whether the VM itself may write there: a domain never allows more.
    pub writable: bool,
}

/// A mapping that every paging domain of the VM has from the start and that the guest cannot change:
/// the MSI doorbell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// First IOVA, page aligned.
    pub iova: u64,
    /// Where it leads, page aligned.
    pub pa: Pa,
    /// Bytes, whole pages.
    pub size: u64,
}

impl Fixed {
    /// The first IOVA beyond it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.iova.saturating_add(self.size)
    }
}

/// Writable RAM of the VM that is in one piece for the guest and in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins for the guest.
    pub ipa: Ipa,
    /// Where it begins in the machine.
    pub pa: Pa,
    /// Bytes.
    pub len: u64,
}

impl Piece {
    /// Nowhere.
    pub const NONE: Self = Self {
        ipa: Ipa(0),
        pa: Pa(0),
        len: 0,
    };

    /// Whether pages are pages on both sides.
    #[must_use]
    pub const fn is_aligned(&self) -> bool {
        (self.ipa.0 | self.pa.0) & PAGE_SIZE.wrapping_sub(1) == 0
    }

    /// Where `size` bytes at `ipa` are in the machine, if they lie in here.
    #[must_use]
    #[inline(always)]
    pub const fn place(&self, ipa: u64, size: u64) -> Option<Pa> {
        let offset = ipa.wrapping_sub(self.ipa.0);
        // An address below the piece is a very large offset.
        if offset < self.len && size <= self.len.wrapping_sub(offset) {
            Some(Pa(self.pa.0.wrapping_add(offset)))
        } else {
            None
        }
    }
}

/// What becomes of an endpoint's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Terminated.
    Blocked,
    /// Translated by the VM's own stage 2 (IOVA = IPA).
    Vm,
    /// Translated by the tables of a domain.
    Domain {
        /// Which domain, so that endpoints behind one SMMU share a VMID.
        key: DomainKey,
        /// Root of its tables.
        root: Pa,
        /// Their shape.
        config: Config,
    },
}

/// Why the SMMU did not do as told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardwareError {
    /// It could not be powered.
    Power,
    /// It did not complete in time. What was to be invalidated may still be in use.
    Timeout,
    /// It has no VMID (context bank) left.
    NoContext,
}

/// What DEVICE_INFO says beyond the attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointInfo {
    /// DMA snoops the CPUs' caches.
    pub coherent: bool,
    /// Its power state is followed.
    pub power_tracked: bool,
}

/// What POWER_GET says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerReport {
    /// The endpoint.
    pub endpoint: PowerState,
    /// Its SMMU.
    pub smmu: SmmuPower,
}

/// The VM's stage 2 and the SMMUs in front of its endpoints.
///
/// `endpoint` is always the index in the list that [`super::VmDma::new`] was given.
pub trait Outside: Sync {
    /// Frames for the tables of this VM's domains. Its quota bounds what the VM can take.
    type Frames: Memory + Sync;

    /// A handle to the frame source, for one domain.
    fn frames(&self) -> Self::Frames;

    /// Looks an IPA up in the VM's stage 2; `None` where the VM owns nothing.
    fn lookup(&self, ipa: Ipa) -> Option<Extent>;

    /// The piece of the VM's RAM that `ipa` lies in; `None` leaves the question to
    /// [`lookup`](Self::lookup).
    #[inline]
    fn ram(&self, ipa: Ipa) -> Option<Piece> {
        let _ = ipa;
        None
    }

    /// Whether an interrupt waits for this CPU. What takes long and can be left and taken up again is left
    /// then, once it has come a step further.
    #[inline]
    fn interrupted(&self) -> bool {
        false
    }

    /// Decides what becomes of an endpoint's transactions. On return none is treated in the old way any
    /// more; in between they see the old way, the new one, or an abort. On error: they abort.
    ///
    /// # Errors
    /// [`HardwareError`].
    fn attach(&self, endpoint: usize, target: Target) -> Result<(), HardwareError>;

    /// Returns when no SMMU uses a translation of these ranges of the domain any more. An SMMU that is
    /// off is not woken: it invalidates everything before it serves again.
    ///
    /// On error the driver has fenced the domain: its endpoints' transactions terminate.
    ///
    /// # Errors
    /// [`HardwareError::Timeout`].
    fn invalidate(&self, domain: DomainKey, stale: &[Stale]) -> Result<(), HardwareError>;

    /// The domain is gone: no endpoint is attached to it. Invalidates what remains of it and gives its
    /// VMIDs back. Its table pages are freed when this has returned without error.
    ///
    /// # Errors
    /// [`HardwareError::Timeout`]: its table pages are not to be reused.
    fn close(&self, domain: DomainKey) -> Result<(), HardwareError>;

    /// What is known of an endpoint.
    fn info(&self, endpoint: usize) -> EndpointInfo;

    /// The guest says whether an endpoint may issue transactions (power source `hypercall`). Returns
    /// after the SMMU is on; off may be deferred.
    ///
    /// # Errors
    /// [`HardwareError::Power`].
    fn power_set(&self, endpoint: usize, state: PowerState) -> Result<(), HardwareError>;

    /// Power states, without touching a register.
    fn power_get(&self, endpoint: usize) -> PowerReport;

    /// Three numbers of a statistics page, without touching a register.
    fn stats(&self, endpoint: usize, page: StatsPage) -> [u64; 3];
}

/// An access to guest memory that is not all RAM of the VM (first address given).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRam(pub u64);

/// RAM of the calling VM. Every read is a copy, so that a guest that changes the bytes meanwhile is
/// judged by what was copied, and by nothing else.
pub trait GuestMemory {
    /// Copies `buffer.len()` bytes from `ipa` on; may cross pages.
    ///
    /// # Errors
    /// [`NotRam`]; the buffer's contents are then unspecified.
    fn read(&self, ipa: u64, buffer: &mut [u8]) -> Result<(), NotRam>;

    /// Copies bytes to `ipa`; may cross pages.
    ///
    /// # Errors
    /// [`NotRam`]; nothing was written then.
    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), NotRam>;
}
