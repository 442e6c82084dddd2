//! Return codes, DEN 0022 table 6 and DEN 0028 table 4.

/// SUCCESS.
pub const SUCCESS: u64 = 0;

/// An error a call returns in x0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// The function does not exist here.
    NotSupported = -1,
    /// A parameter names nothing or makes no sense.
    InvalidParameters = -2,
    /// The vCPU runs already.
    AlreadyOn = -4,
    /// The vCPU is being started by another call.
    OnPending = -5,
    /// The entry address is not guest RAM.
    InvalidAddress = -9,
}

impl Error {
    /// The value for x0: a 32-bit code, sign-extended, so that callers of the
    /// 32-bit and of the 64-bit convention both read it.
    #[inline]
    #[must_use]
    pub const fn to_x0(self) -> u64 {
        self as i32 as i64 as u64
    }
}
