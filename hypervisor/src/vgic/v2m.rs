//! The CPU's view of a GICv2m frame: a page at which message-signalled
//! interrupts are aimed (SBSA, appendix E "GICv2m").
//!
//! Devices do not reach this: their writes go through the SMMU to the board's
//! own doorbell. A guest reads here which SPIs it may use for messages, and
//! may send one by hand.

use super::{Kick, SPI_BASE, Vgic};

/// `MSI_TYPER`: first SPI 25:16, number of SPIs 9:0.
pub const MSI_TYPER: usize = 0x008;
/// `MSI_SETSPI_NS`: SPI to make pending, 9:0.
const MSI_SETSPI_NS: usize = 0x040;
/// `MSI_IIDR`.
const MSI_IIDR: usize = 0xfcc;
const IIDR: u32 = 0x53 << 24 | 0x43b;

/// First interrupt id and number of interrupts by a frame's `MSI_TYPER`.
#[must_use]
pub const fn typer_range(typer: u32) -> (u32, u32) {
    (typer >> 16 & 0x3ff, typer & 0x3ff)
}

/// One frame and the SPIs that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V2m {
    first: u32,
    count: u32,
}

impl V2m {
    /// A frame for `count` interrupts from INTID `first` on. `None` if they
    /// are not all SPIs that `MSI_TYPER` can express (INTIDs below 1020).
    #[must_use]
    pub fn new(first: u32, count: u32) -> Option<Self> {
        let end = first.checked_add(count)?;
        (first >= SPI_BASE && end <= 1020 && count > 0).then_some(Self { first, count })
    }

    /// A frame for the longest run of interrupts of `range` that are `free`:
    /// one from a multiple of 32 on if there is any, so that a function with
    /// several MSI vectors may put the vector's number into the low bits.
    #[must_use]
    pub fn of_free(range: core::ops::Range<u32>, free: impl Fn(u32) -> bool) -> Option<Self> {
        let run = |first: u32| {
            let own = range.clone().skip_while(move |n| *n < first);
            let count = own.take_while(|n| free(*n)).count();
            (count as u32, first)
        };
        let longest = |step: u32| {
            let starts = range.clone().filter(move |n| n.is_multiple_of(step));
            starts.map(run).filter(|(count, _)| *count > 0).max()
        };
        let (count, first) = longest(32).or_else(|| longest(1))?;
        Self::new(first, count)
    }

    /// First interrupt id.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// Number of interrupts.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The interrupt ids.
    pub fn numbers(&self) -> core::ops::Range<u32> {
        self.first..self.first.saturating_add(self.count)
    }

    /// Whether `intid` is one of this frame's.
    #[must_use]
    pub fn contains(&self, intid: u32) -> bool {
        intid
            .checked_sub(self.first)
            .is_some_and(|n| n < self.count)
    }

    /// A read of the word at `offset`; the rest reads as zero.
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        match offset {
            MSI_TYPER => self.first << 16 | self.count,
            MSI_IIDR => IIDR,
            _ => 0,
        }
    }

    /// A write of the word at `offset`: a message for one of the frame's SPIs
    /// makes it pending, anything else is ignored.
    pub fn write(&self, vgic: &Vgic, offset: usize, value: u32) -> Kick {
        let intid = value & 0x3ff;
        if offset == MSI_SETSPI_NS && self.contains(intid) {
            vgic.inject(0, intid, None)
        } else {
            Kick::NONE
        }
    }
}
