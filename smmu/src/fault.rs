//! Fault records, attributed as far as the hardware says.

use crate::types::StreamId;
use pgtable::Ipa;

/// What went wrong with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The address is not mapped.
    Translation,
    /// The address exceeds what the tables can express.
    AddressSize,
    /// The access flag is clear.
    Access,
    /// The mapping does not permit the access.
    Permission,
    /// The stream is not known to the SMMU or is terminated.
    Stream,
    /// A table walk or structure fetch failed on the bus.
    External,
    /// A structure in memory was illegal.
    Configuration,
    /// TLB or configuration cache conflict.
    Conflict,
    /// Anything else; the architecture's own event number.
    Other(u8),
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    /// Who issued the transaction.
    pub stream: StreamId,
    /// The input address, where the event carries one.
    pub address: Option<Ipa>,
    /// What went wrong.
    pub kind: FaultKind,
    /// The access was a write.
    pub write: bool,
    /// The event as the hardware wrote it, for reports.
    pub raw: [u64; 4],
}
