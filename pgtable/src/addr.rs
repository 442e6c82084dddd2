//! Addresses on the two sides of stage 2.

use core::fmt;

/// An intermediate physical address: what a guest or a device asks for. A
/// claim until a table has confirmed it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Ipa(pub u64);

/// A physical address: what stage 2 yields.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pa(pub u64);

macro_rules! address {
    ($name:ident) => {
        impl $name {
            /// The address `bytes` further on, if there is one.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Whether the address is a multiple of `bytes`; never for zero.
            #[must_use]
            pub const fn is_aligned(self, bytes: u64) -> bool {
                bytes != 0 && self.0.is_multiple_of(bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }

        impl From<u64> for $name {
            fn from(address: u64) -> Self {
                Self(address)
            }
        }

        impl From<$name> for u64 {
            fn from(address: $name) -> u64 {
                address.0
            }
        }
    };
}

address!(Ipa);
address!(Pa);
