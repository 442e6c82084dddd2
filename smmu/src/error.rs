//! The crate's one error type.

use crate::types::{StreamId, Vmid};
use core::fmt;

/// What a bounded wait was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A CMD_SYNC (SMMUv3) or TLBSYNC (SMMUv2) to complete.
    Sync,
    /// Room in the command queue.
    QueueSpace,
    /// An enable register's acknowledgement (CR0ACK, IRQ_CTRLACK).
    Acknowledge,
    /// GBPA.UPDATE to clear.
    GlobalBypass,
    /// Another CPU's power transition to end.
    Transition,
}

/// Why a clock or power domain did not do as told. The meaning of `code` is
/// the supplier's; it is only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupplyError {
    /// The supplier's own error number.
    pub code: i32,
}

/// Everything that can go wrong in this crate, with the offending value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The frame source had no block of this many bytes.
    NoMemory(usize),
    /// The hardware lacks something this driver cannot do without.
    Unsupported(&'static str),
    /// The tables ask for an IPA size (bits) that the SMMU cannot walk.
    InputSize(u8),
    /// The tables ask for an output size (bits) that the SMMU cannot emit.
    OutputSize(u8),
    /// The tables' granule (log2 bytes) is not one of the SMMU's.
    Granule(u8),
    /// The table root's address does not fit the register field.
    Root(u64),
    /// No such stream behind this SMMU.
    StreamRange(StreamId),
    /// The stream already belongs to a master.
    StreamBusy(StreamId),
    /// The VMID is in use, quarantined, or wider than the SMMU's.
    VmidBusy(Vmid),
    /// Every VMID (or context bank) is in use.
    NoContext,
    /// No such domain.
    DomainUnknown(usize),
    /// The domain still has masters attached.
    DomainBusy(usize),
    /// The domain was fenced after an invalidation did not complete; its
    /// streams terminate until it is destroyed.
    Fenced(Vmid),
    /// No such link.
    LinkUnknown(usize),
    /// No such TBU.
    TbuUnknown(usize),
    /// A table of fixed size (links, domains) is full.
    Full(usize),
    /// The hardware did not answer within the bound.
    Timeout(Wait),
    /// The command queue stopped on an illegal or faulting command
    /// (CMDQ_CONS.ERR, IHI 0070 4.1.2 and 7.1).
    Command(u8),
    /// GERROR said that the SMMU is in service failure mode (IHI 0070 7.5);
    /// the value is GERROR.
    ServiceFailure(u32),
    /// Clock `index` did not start.
    Clock(u8, SupplyError),
    /// Power domain `index` did not come up or go down.
    Domain(u8, SupplyError),
    /// The SMMU could not be suspended or resumed cleanly and denies all
    /// traffic until a resume succeeds.
    Denied,
    /// A register did not keep what was written (offset).
    Stuck(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoMemory(n) => write!(f, "no memory for {n} bytes"),
            Error::Unsupported(what) => write!(f, "hardware lacks {what}"),
            Error::InputSize(n) => write!(f, "{n}-bit input addresses do not fit"),
            Error::OutputSize(n) => write!(f, "{n}-bit output addresses do not fit"),
            Error::Granule(n) => write!(f, "granule 2^{n} is not supported"),
            Error::Root(a) => write!(f, "table root {a:#x} is misaligned or too high"),
            Error::StreamRange(s) => write!(f, "stream {:#x} is out of range", s.0),
            Error::StreamBusy(s) => write!(f, "stream {:#x} is already assigned", s.0),
            Error::VmidBusy(v) => write!(f, "VMID {} is not available", v.0),
            Error::NoContext => write!(f, "no VMID or context bank is left"),
            Error::DomainUnknown(n) => write!(f, "no domain {n}"),
            Error::DomainBusy(n) => write!(f, "domain {n} still has masters"),
            Error::Fenced(v) => write!(f, "the domain of VMID {} is fenced", v.0),
            Error::LinkUnknown(n) => write!(f, "no link {n}"),
            Error::TbuUnknown(n) => write!(f, "no TBU {n}"),
            Error::Full(n) => write!(f, "all {n} slots are in use"),
            Error::Timeout(w) => write!(f, "no answer while waiting for {w:?}"),
            Error::Command(e) => write!(f, "command queue error {e}"),
            Error::ServiceFailure(g) => write!(f, "service failure, GERROR {g:#x}"),
            Error::Clock(i, e) => write!(f, "clock {i} failed ({})", e.code),
            Error::Domain(i, e) => write!(f, "power domain {i} failed ({})", e.code),
            Error::Denied => write!(f, "not cleanly on; all traffic is denied"),
            Error::Stuck(o) => write!(f, "register {o:#x} did not keep its value"),
        }
    }
}

impl Error {
    /// [`Error::Unsupported`] unless the SMMU offers `what`.
    pub(crate) const fn unless(present: bool, what: &'static str) -> Result<(), Self> {
        if present {
            Ok(())
        } else {
            Err(Self::Unsupported(what))
        }
    }
}
