//! What a call returns: x0..x3. All other registers keep their values.

use crate::Status;

/// The result registers x0..x3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reply(pub [u64; 4]);

impl Reply {
    /// Success with up to three values.
    #[must_use]
    #[inline]
    pub const fn ok(x1: u64, x2: u64, x3: u64) -> Self {
        Self([0, x1, x2, x3])
    }

    /// A bare status; x1..x3 are zero.
    #[must_use]
    #[inline]
    pub const fn status(status: Status) -> Self {
        Self([status.to_register(), 0, 0, 0])
    }

    /// A status beside progress made before it.
    #[must_use]
    pub const fn partial(status: Status, x1: u64, x2: u64) -> Self {
        Self([status.to_register(), x1, x2, 0])
    }

    /// The status in x0.
    #[must_use]
    pub const fn code(self) -> Status {
        let Self([x0, ..]) = self;
        Status::from_code(x0.cast_signed())
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self::status(status)
    }
}
