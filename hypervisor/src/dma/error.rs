//! Why a request was refused.

use stagegate_abi::Status;

/// Why a request was refused, with the value that was wrong. Requests that make progress in steps say
/// beside the error how far they came; every other request has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Not a multiple of the page size.
    Misaligned(u64),
    /// Empty, or beyond the end of the address space (start given).
    Range(u64),
    /// Not the VM's RAM (or, with the MMIO flag, its device) at this IPA.
    NotOwned(u64),
    /// The IOVA belongs to a fixed mapping (MSI doorbell).
    Reserved(u64),
    /// No such domain.
    NoDomain(u32),
    /// The domain exists already.
    DomainExists(u32),
    /// No such endpoint.
    NoEndpoint(u32),
    /// The endpoint is not in this domain.
    NotAttached(u32),
    /// Identity or blocked domains hold no mappings.
    NotPaging(u32),
    /// The operator forbids it.
    Forbidden,
    /// Mapped already at this IOVA.
    Mapped(u64),
    /// Not mapped at this IOVA.
    NotMapped(u64),
    /// The unmap would cut a block that starts at this IOVA.
    Cuts(u64),
    /// No table page, or no domain left.
    NoMemory,
    /// Another call is at work on this range or domain; the same call may succeed now.
    Busy,
    /// The domain has endpoints attached.
    InUse(u32),
    /// The SMMU could not be powered.
    Power,
    /// The SMMU did not complete in time; the domain is fenced.
    Fenced(u32),
    /// Nothing to do.
    Nothing,
}

impl Error {
    /// The status of the hypercall interface.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Misaligned(_) | Self::Range(_) | Self::NotPaging(_) | Self::Cuts(_) => {
                Status::InvalidParameter
            }
            Self::NotOwned(_) | Self::Reserved(_) | Self::Forbidden => Status::Denied,
            Self::NoDomain(_) | Self::NoEndpoint(_) | Self::NotAttached(_) | Self::NotMapped(_) => {
                Status::NotFound
            }
            Self::DomainExists(_) | Self::Mapped(_) => Status::Exists,
            Self::NoMemory => Status::NoMemory,
            Self::Busy => Status::Retry,
            Self::InUse(_) => Status::Busy,
            Self::Power => Status::PoweredOff,
            Self::Fenced(_) => Status::Hardware,
            Self::Nothing => Status::NotRequired,
        }
    }
}
