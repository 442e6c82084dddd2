//! Protection bits of a mapping.

bitflags::bitflags! {
    /// What a device may do with a mapping and which memory type it has. The numbers are those of
    /// pKVM's paravirtual IOMMU, so that one guest driver can serve both.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Prot: u16 {
        /// The device may read.
        const READ = 1 << 0;
        /// The device may write.
        const WRITE = 1 << 1;
        /// Normal write-back memory; without it the mapping is Normal non-cacheable.
        const CACHE = 1 << 2;
        /// No instruction fetch.
        const NOEXEC = 1 << 3;
        /// The target is a register window of a device of the calling VM, not RAM.
        const MMIO = 1 << 4;
        /// Privileged accesses only. Accepted and ignored: stage 2 has no such distinction.
        const PRIV = 1 << 5;
    }
}

impl Prot {
    /// The flags in a register value; `None` if a reserved bit is set or no access is granted.
    #[must_use]
    pub fn from_arg(arg: u64) -> Option<Self> {
        let prot = Self::from_bits(u16::try_from(arg).ok()?)?;
        prot.intersects(Self::READ | Self::WRITE).then_some(prot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_and_no_access_are_refused() {
        assert_eq!(Prot::from_arg(3), Some(Prot::READ | Prot::WRITE));
        assert_eq!(Prot::from_arg(0), None);
        assert_eq!(Prot::from_arg(u64::from(Prot::CACHE.bits())), None);
        assert_eq!(Prot::from_arg(1 << 6 | 1), None);
        assert_eq!(Prot::from_arg(1 << 16 | 1), None);
    }
}
