//! Fault events.

/// Why the SMMU refused a transaction. The numbers are virtio-iommu's fault reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventReason {
    /// Not further classified.
    Unknown,
    /// The endpoint is attached to no domain.
    Domain,
    /// Address not mapped, or the access is not permitted there.
    Mapping,
    /// A reason of a newer hypervisor.
    Other(u8),
}

impl EventReason {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Domain => 1,
            Self::Mapping => 2,
            Self::Other(code) => code,
        }
    }

    /// The reason for a number on the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Unknown,
            1 => Self::Domain,
            2 => Self::Mapping,
            other => Self::Other(other),
        }
    }
}

bitflags::bitflags! {
    /// What is known about the refused access; bits as in virtio-iommu.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct EventFlags: u32 {
        /// It was a read.
        const READ = 1 << 0;
        /// It was a write.
        const WRITE = 1 << 1;
        /// It was an instruction fetch.
        const EXEC = 1 << 2;
        /// The address is valid.
        const ADDRESS = 1 << 8;
        /// Events were lost before this one: the ring had been full.
        const OVERFLOW = 1 << 9;
    }
}

/// One fault of one of the caller's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// Why.
    pub reason: EventReason,
    /// What kind of access.
    pub flags: EventFlags,
    /// Endpoint number as the VM knows it.
    pub endpoint: u32,
    /// IOVA; only if [`EventFlags::ADDRESS`].
    pub iova: u64,
}

impl Event {
    /// Packs reason and flags as x1 of EVENT_GET: reason in bits 7:0, flags from bit 8 on.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        (self.reason.code() as u64) | ((self.flags.bits() as u64) << 8)
    }

    /// The event in x1..x3 of EVENT_GET.
    #[must_use]
    pub const fn from_words(word: u64, endpoint: u64, iova: u64) -> Self {
        Self {
            reason: EventReason::from_code((word & 0xff) as u8),
            flags: EventFlags::from_bits_truncate((word >> 8) as u32),
            endpoint: endpoint as u32,
            iova,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_golden() {
        let event = Event {
            reason: EventReason::Mapping,
            flags: EventFlags::WRITE | EventFlags::ADDRESS,
            endpoint: 8,
            iova: 0x1000,
        };
        assert_eq!(event.to_word(), 0x1_0202);
        assert_eq!(Event::from_words(event.to_word(), 8, 0x1000), event);
    }
}
