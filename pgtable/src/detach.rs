//! What an unmap took out of a table, until every walker has forgotten it.

use crate::mem::Claimed;
use crate::{Ipa, Pa};

/// What walkers may still remember and have to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) stride: u64,
    pub(crate) tables: bool,
}

impl Stale {
    /// One page of `len` bytes.
    #[inline(always)]
    pub(crate) const fn page(ipa: u64, len: u64) -> Self {
        Self {
            start: ipa,
            end: ipa.wrapping_add(len),
            stride: len,
            tables: false,
        }
    }

    /// First address.
    #[must_use]
    pub const fn ipa(&self) -> Ipa {
        Ipa(self.start)
    }

    /// Bytes from there.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is nothing to forget.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Size of the smallest mapping taken out, in bytes: one invalidation by
    /// address for each such step forgets the range.
    #[must_use]
    pub const fn stride(&self) -> u64 {
        self.stride
    }

    /// Whether tables were taken out too, so that an invalidation of the last
    /// level only (TLBI IPAS2LE1, the Leaf flag of an SMMU command) is not
    /// enough.
    #[must_use]
    pub const fn tables(&self) -> bool {
        self.tables
    }
}

/// A chain of detached table pages, linked through their first entries.
///
/// A reader may still come by, so a link must be no descriptor to follow: bits
/// 1:0 are clear, bit 2 set, bit 3 marks the end, bits 63:4 hold the page
/// number (in units of 4 KiB) of the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chain {
    /// Link to the first page; zero for an empty chain.
    pub(crate) head: u64,
    /// The last page, if there is one.
    pub(crate) tail: Pa,
}

/// The link to `page`.
#[inline(always)]
pub(crate) const fn link_to(page: Pa) -> u64 {
    page.0 >> 12 << 4 | 0b0100
}

/// The link that ends a chain.
pub(crate) const fn link_end() -> u64 {
    0b1100
}

/// The page a link leads to.
pub(crate) const fn linked(link: u64) -> Option<Pa> {
    if link == 0 || link & 0b1000 != 0 {
        None
    } else {
        Some(Pa(link >> 4 << 12))
    }
}

/// A range and table pages that no walker finds any more, but that one may
/// still remember.
///
/// Give it to [`Table::release`](crate::Table::release) with an invalidation
/// of every walker. Until then the memory that was mapped must not be used
/// again, and the range cannot be: what an unmap took out stays claimed.
/// Several may be released after one invalidation that served all of them.
///
/// Dropping one that is not empty is a bug: it panics in builds with debug
/// assertions, and otherwise loses its table pages and its range, which is
/// safe.
#[must_use = "walkers still remember what was unmapped: release it"]
#[derive(Debug)]
pub struct Detached {
    pub(crate) stale: Stale,
    pub(crate) chain: Chain,
    /// The table it is from; zero for none.
    pub(crate) owner: u64,
    /// Which entries are claimed for this.
    pub(crate) claim: Claim,
}

/// What a [`Detached`] has claimed of its range.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nothing: others may map there.
    None,
    /// The only entry there is.
    One(Claimed),
    /// Every entry.
    All,
}

impl Detached {
    /// Nothing.
    pub const fn empty() -> Self {
        Self {
            stale: Stale {
                start: u64::MAX,
                end: 0,
                stride: u64::MAX,
                tables: false,
            },
            chain: Chain {
                head: 0,
                tail: Pa(0),
            },
            owner: 0,
            claim: Claim::None,
        }
    }

    /// What walkers have to forget.
    #[must_use]
    pub const fn stale(&self) -> Stale {
        self.stale
    }

    /// Makes it nothing: its contents are accounted for elsewhere.
    #[inline(always)]
    pub(crate) fn forget(&mut self) {
        self.stale.end = 0;
        self.chain.head = 0;
    }

    /// Whether there is nothing to release.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.stale.is_empty() && self.chain.head == 0
    }
}

impl Drop for Detached {
    #[inline(always)]
    fn drop(&mut self) {
        debug_assert!(
            self.is_empty(),
            "detached from a table and never released: {:?}",
            self.stale
        );
    }
}
