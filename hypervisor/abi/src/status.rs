//! Status codes in x0.

/// Outcome of a call. `0..=-3` are SMCCC's (Arm DEN0028), the rest Stagegate's own. A code that this
/// version does not know is kept, so that an older guest can still print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done (possibly in part: the progress register says how far).
    Success,
    /// No such function, or not offered to this VM.
    NotSupported,
    /// Nothing to do: the event ring is empty, the domain has nothing to invalidate.
    NotRequired,
    /// An argument is malformed: reserved bits, misalignment, an empty or overflowing range.
    InvalidParameter,
    /// A table page or a domain could not be had; freeing something may help.
    NoMemory,
    /// Nothing was done, the same call may succeed later.
    Retry,
    /// The caller does not own what it names, or the operator forbids it.
    Denied,
    /// No such domain, endpoint or mapping.
    NotFound,
    /// The range is already mapped.
    Exists,
    /// The SMMU could not be powered.
    PoweredOff,
    /// The domain still has endpoints attached.
    Busy,
    /// The SMMU did not complete in time; the domain is fenced and its pages are held back.
    Hardware,
    /// A code of a newer hypervisor.
    Unknown(i64),
}

/// Every code with its number and its name in C, in descending order of number.
pub const CODES: [(Status, i64, &str); 12] = [
    (Status::Success, 0, "SUCCESS"),
    (Status::NotSupported, -1, "NOT_SUPPORTED"),
    (Status::NotRequired, -2, "NOT_REQUIRED"),
    (Status::InvalidParameter, -3, "INVALID_PARAMETER"),
    (Status::NoMemory, -4, "NO_MEMORY"),
    (Status::Retry, -5, "RETRY"),
    (Status::Denied, -6, "DENIED"),
    (Status::NotFound, -7, "NOT_FOUND"),
    (Status::Exists, -8, "EXISTS"),
    (Status::PoweredOff, -9, "POWERED_OFF"),
    (Status::Busy, -10, "BUSY"),
    (Status::Hardware, -11, "HARDWARE"),
];

impl Status {
    /// The number as it stands in x0.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Success => 0,
            Self::NotSupported => -1,
            Self::NotRequired => -2,
            Self::InvalidParameter => -3,
            Self::NoMemory => -4,
            Self::Retry => -5,
            Self::Denied => -6,
            Self::NotFound => -7,
            Self::Exists => -8,
            Self::PoweredOff => -9,
            Self::Busy => -10,
            Self::Hardware => -11,
            Self::Unknown(code) => code,
        }
    }

    /// The status for a number in x0. Positive numbers are success with a value.
    #[must_use]
    pub const fn from_code(code: i64) -> Self {
        match code {
            0.. => Self::Success,
            -1 => Self::NotSupported,
            -2 => Self::NotRequired,
            -3 => Self::InvalidParameter,
            -4 => Self::NoMemory,
            -5 => Self::Retry,
            -6 => Self::Denied,
            -7 => Self::NotFound,
            -8 => Self::Exists,
            -9 => Self::PoweredOff,
            -10 => Self::Busy,
            -11 => Self::Hardware,
            other => Self::Unknown(other),
        }
    }

    /// The register pattern: SMCCC sign-extends a 64-bit call's status.
    #[must_use]
    pub const fn to_register(self) -> u64 {
        self.code().cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_functions_agree() {
        for (index, (status, code, _)) in CODES.iter().enumerate() {
            assert_eq!(status.code(), *code);
            assert_eq!(Status::from_code(*code), *status);
            assert_eq!(*code, -i64::try_from(index).unwrap());
        }
    }

    #[test]
    fn unknown_is_kept() {
        assert_eq!(Status::from_code(-77), Status::Unknown(-77));
        assert_eq!(Status::Unknown(-77).code(), -77);
        assert_eq!(Status::from_code(5), Status::Success);
    }

    #[test]
    fn golden_register() {
        assert_eq!(Status::NotSupported.to_register(), 0xffff_ffff_ffff_ffff);
    }
}
