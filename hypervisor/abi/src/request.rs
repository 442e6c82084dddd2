//! Calls with their arguments: x0..x7 to [`Request`] and back.
//!
//! Only registers that a call defines are looked at: SMCCC 1.1 callers leave the others as they are.
//! Inside them, reserved bits and reserved arguments must be zero; 32-bit arguments must have bits
//! 63:32 clear.

use crate::{Function, Prot, Status};

bitflags::bitflags! {
    /// Flags of DOMAIN_ALLOC.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct AllocFlags: u64 {
        /// IOVA = IPA over all that the VM owns; cannot be mapped into.
        const IDENTITY = 1 << 0;
        /// Stays empty: every access of an attached endpoint is refused.
        const BLOCKED = 1 << 1;
    }

    /// Flags of UNMAP and UNMAP_SG.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct UnmapFlags: u64 {
        /// Leave the invalidation to SYNC.
        const LAZY = 1 << 0;
    }

    /// x1 of DEVICE_INFO.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct DeviceFlags: u64 {
        /// The endpoint exists and is the caller's.
        const PRESENT = 1 << 0;
        /// It is attached to a domain of the caller (x2).
        const ATTACHED = 1 << 1;
        /// Its DMA snoops the CPUs' caches.
        const COHERENT = 1 << 2;
        /// Its power state is followed, so its SMMU can be gated.
        const POWER_TRACKED = 1 << 3;
        /// Unattached, it is blocked rather than in the VM's own tables.
        const BLOCKED_BY_DEFAULT = 1 << 4;
    }
}

/// Power state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum PowerState {
    /// It issues no transactions; its SMMU need not run for it.
    Off = 0,
    /// It may issue transactions.
    On = 1,
}

/// Power state of an SMMU in POWER_GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum SmmuPower {
    /// Gated or off.
    Off = 0,
    /// Running.
    On = 1,
    /// Running, to be gated when its delay ends.
    OffPending = 2,
}

/// Which three numbers STATS returns in x1..x3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum StatsPage {
    /// Endpoint: µs active, µs idle, faults.
    Endpoint = 0,
    /// Its SMMU: µs on, µs idle, µs gated.
    SmmuTime = 1,
    /// Its SMMU: µs off, wakes, gates.
    SmmuSwitches = 2,
    /// Its SMMU: deferrals cancelled, invalidations elided, sync timeouts.
    SmmuWork = 3,
}

/// A call with its arguments, syntactically checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The fields are the arguments that docs/abi.md describes.
pub enum Request {
    CallUid,
    Revision,
    Features,
    DeviceInfo {
        endpoint: u32,
    },
    DomainAlloc {
        flags: AllocFlags,
    },
    DomainFree {
        domain: u32,
    },
    Attach {
        domain: u32,
        endpoint: u32,
    },
    Detach {
        domain: u32,
        endpoint: u32,
    },
    Map {
        domain: u32,
        iova: u64,
        ipa: u64,
        size: u64,
        prot: Prot,
    },
    Unmap {
        domain: u32,
        iova: u64,
        size: u64,
        flags: UnmapFlags,
    },
    MapSg {
        domain: u32,
        iova: u64,
        list: u64,
        count: u32,
        prot: Prot,
    },
    UnmapSg {
        domain: u32,
        list: u64,
        count: u32,
        flags: UnmapFlags,
    },
    Sync {
        domain: u32,
    },
    Batch {
        page: u64,
        count: u32,
        first: u32,
    },
    PowerSet {
        endpoint: u32,
        state: PowerState,
    },
    PowerGet {
        endpoint: u32,
    },
    EventGet,
    Stats {
        endpoint: u32,
        page: StatsPage,
    },
}

const BAD: Status = Status::InvalidParameter;

#[inline]
fn word(arg: u64) -> Result<u32, Status> {
    u32::try_from(arg).map_err(|_| BAD)
}

fn zero(arg: u64) -> Result<(), Status> {
    if arg == 0 { Ok(()) } else { Err(BAD) }
}

#[inline]
fn prot(arg: u64) -> Result<Prot, Status> {
    Prot::from_arg(arg).ok_or(BAD)
}

#[inline]
fn unmap_flags(arg: u64) -> Result<UnmapFlags, Status> {
    UnmapFlags::from_bits(arg).ok_or(BAD)
}

impl Request {
    /// Decodes x0..x7.
    ///
    /// # Errors
    /// [`Status::NotSupported`] if the function is not ours, [`Status::InvalidParameter`] if an
    /// argument is malformed.
    #[inline]
    pub fn decode(registers: &[u64; 8]) -> Result<Self, Status> {
        let function = Function::from_register(registers[0]).ok_or(Status::NotSupported)?;
        Self::of(function, registers)
    }

    /// As [`decode`](Self::decode), for a caller that knows that the function is MAP.
    ///
    /// # Errors
    /// [`Status::InvalidParameter`].
    #[inline]
    pub fn map(&[_, x1, x2, x3, x4, x5, ..]: &[u64; 8]) -> Result<Self, Status> {
        Ok(Self::Map {
            domain: word(x1)?,
            iova: x2,
            ipa: x3,
            size: x4,
            prot: prot(x5)?,
        })
    }

    /// As [`decode`](Self::decode), for a caller that knows that the function is UNMAP.
    ///
    /// # Errors
    /// [`Status::InvalidParameter`].
    #[inline]
    pub fn unmap(&[_, x1, x2, x3, x4, ..]: &[u64; 8]) -> Result<Self, Status> {
        Ok(Self::Unmap {
            domain: word(x1)?,
            iova: x2,
            size: x3,
            flags: unmap_flags(x4)?,
        })
    }

    fn of(function: Function, registers: &[u64; 8]) -> Result<Self, Status> {
        let &[_, x1, x2, x3, x4, x5, ..] = registers;
        Ok(match function {
            Function::CallUid => Self::CallUid,
            Function::Revision => Self::Revision,
            Function::Features => {
                zero(x1)?;
                Self::Features
            }
            Function::DeviceInfo => Self::DeviceInfo {
                endpoint: word(x1)?,
            },
            Function::DomainAlloc => Self::DomainAlloc {
                flags: AllocFlags::from_bits(x1)
                    .filter(|flags| *flags != AllocFlags::all())
                    .ok_or(BAD)?,
            },
            Function::DomainFree => Self::DomainFree { domain: word(x1)? },
            Function::Attach => {
                zero(x3)?;
                Self::Attach {
                    domain: word(x1)?,
                    endpoint: word(x2)?,
                }
            }
            Function::Detach => {
                zero(x3)?;
                Self::Detach {
                    domain: word(x1)?,
                    endpoint: word(x2)?,
                }
            }
            Function::Map => Self::map(registers)?,
            Function::Unmap => Self::unmap(registers)?,
            Function::MapSg => Self::MapSg {
                domain: word(x1)?,
                iova: x2,
                list: x3,
                count: word(x4)?,
                prot: prot(x5)?,
            },
            Function::UnmapSg => Self::UnmapSg {
                domain: word(x1)?,
                list: x2,
                count: word(x3)?,
                flags: unmap_flags(x4)?,
            },
            Function::Sync => Self::Sync { domain: word(x1)? },
            Function::Batch => Self::Batch {
                page: x1,
                count: word(x2)?,
                first: word(x3)?,
            },
            Function::PowerSet => Self::PowerSet {
                endpoint: word(x1)?,
                state: match x2 {
                    0 => PowerState::Off,
                    1 => PowerState::On,
                    _ => return Err(BAD),
                },
            },
            Function::PowerGet => Self::PowerGet {
                endpoint: word(x1)?,
            },
            Function::EventGet => Self::EventGet,
            Function::Stats => Self::Stats {
                endpoint: word(x1)?,
                page: match x2 {
                    0 => StatsPage::Endpoint,
                    1 => StatsPage::SmmuTime,
                    2 => StatsPage::SmmuSwitches,
                    3 => StatsPage::SmmuWork,
                    _ => return Err(BAD),
                },
            },
        })
    }

    /// The registers x0..x7 of the call.
    #[must_use]
    pub fn encode(self) -> [u64; 8] {
        let (function, [x1, x2, x3, x4, x5]) = self.parts();
        [u64::from(function.id()), x1, x2, x3, x4, x5, 0, 0]
    }

    /// The function.
    #[must_use]
    pub fn function(self) -> Function {
        self.parts().0
    }

    fn parts(self) -> (Function, [u64; 5]) {
        match self {
            Self::CallUid => (Function::CallUid, [0; 5]),
            Self::Revision => (Function::Revision, [0; 5]),
            Self::Features => (Function::Features, [0; 5]),
            Self::EventGet => (Function::EventGet, [0; 5]),
            Self::DeviceInfo { endpoint } => {
                (Function::DeviceInfo, [u64::from(endpoint), 0, 0, 0, 0])
            }
            Self::DomainAlloc { flags } => (Function::DomainAlloc, [flags.bits(), 0, 0, 0, 0]),
            Self::DomainFree { domain } => (Function::DomainFree, [u64::from(domain), 0, 0, 0, 0]),
            Self::Attach { domain, endpoint } => (
                Function::Attach,
                [u64::from(domain), u64::from(endpoint), 0, 0, 0],
            ),
            Self::Detach { domain, endpoint } => (
                Function::Detach,
                [u64::from(domain), u64::from(endpoint), 0, 0, 0],
            ),
            Self::Sync { domain } => (Function::Sync, [u64::from(domain), 0, 0, 0, 0]),
            Self::Batch { page, count, first } => (
                Function::Batch,
                [page, u64::from(count), u64::from(first), 0, 0],
            ),
            Self::PowerSet { endpoint, state } => (
                Function::PowerSet,
                [u64::from(endpoint), state as u64, 0, 0, 0],
            ),
            Self::PowerGet { endpoint } => (Function::PowerGet, [u64::from(endpoint), 0, 0, 0, 0]),
            Self::Stats { endpoint, page } => {
                (Function::Stats, [u64::from(endpoint), page as u64, 0, 0, 0])
            }
            _ => self.range_parts(),
        }
    }

    fn range_parts(self) -> (Function, [u64; 5]) {
        match self {
            Self::Map {
                domain,
                iova,
                ipa,
                size,
                prot,
            } => (
                Function::Map,
                [u64::from(domain), iova, ipa, size, u64::from(prot.bits())],
            ),
            Self::Unmap {
                domain,
                iova,
                size,
                flags,
            } => (
                Function::Unmap,
                [u64::from(domain), iova, size, flags.bits(), 0],
            ),
            Self::MapSg {
                domain,
                iova,
                list,
                count,
                prot,
            } => (
                Function::MapSg,
                [
                    u64::from(domain),
                    iova,
                    list,
                    u64::from(count),
                    u64::from(prot.bits()),
                ],
            ),
            Self::UnmapSg {
                domain,
                list,
                count,
                flags,
            } => (
                Function::UnmapSg,
                [u64::from(domain), list, u64::from(count), flags.bits(), 0],
            ),
            // `parts` has handled the others.
            _ => (Function::Features, [0; 5]),
        }
    }
}

#[cfg(test)]
mod tests;
