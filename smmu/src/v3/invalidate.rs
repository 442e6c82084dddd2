//! From ranges to commands: by range where the SMMU can, by entry where not,
//! by VMID where that takes fewer commands than a limit (IHI 0070, 4.4.1).

use super::spec::command::{Command, IpaOperand};
use crate::mutation::{Mutation, Step};
use crate::types::{IpaRange, Stage2, Vmid};

/// Above this many commands the whole VMID is invalidated instead: refilling
/// a TLB then costs less than spelling out what to drop.
pub(super) const WHOLE_VMID_ABOVE: u64 = 64;

/// How ranges of one context are spelled out.
#[derive(Clone, Copy)]
pub(super) struct Speller {
    pub vmid: Vmid,
    pub tables: Stage2,
    /// IDR3.RIL.
    pub by_range: bool,
    pub mutation: Mutation,
}

impl Speller {
    /// Commands that the ranges take, or `None` when that is above the limit.
    pub fn count(&self, ranges: &[IpaRange]) -> Option<u64> {
        let mut total = 0u64;
        for range in ranges {
            let each = if self.by_range {
                // Five bits of pages for each command, and the rest of the
                // bits one step each at worst: 13 for 64 bits of pages.
                self.spell(*range).count() as u64
            } else {
                range
                    .size
                    .div_ceil(1u64.wrapping_shl(self.step(range)).max(1))
            };
            total = total.saturating_add(each);
            if total > WHOLE_VMID_ABOVE {
                return None;
            }
        }
        Some(total)
    }

    /// The commands for one range.
    pub fn spell(self, range: IpaRange) -> impl Iterator<Item = Command> {
        let mut at = range.ipa.0;
        let mut left = range.size.wrapping_shr(self.page());
        let step = self.step(&range);
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let (operand, bytes) = if self.by_range {
                let (operand, pages) = self.by_range(&range, at, left);
                (operand, pages.wrapping_shl(self.page()))
            } else {
                (self.single(&range, at), 1u64.wrapping_shl(step))
            };
            at = at.wrapping_add(bytes);
            left = left.saturating_sub(bytes.wrapping_shr(self.page()));
            if self.mutation.skips(Step::CoverRange) {
                left = 0;
            }
            Some(Command::TlbiS2Ipa(self.vmid, operand))
        })
    }

    /// `(NUM + 1) << SCALE` pages with SCALE as large as the count's trailing
    /// zeros allow, so that exactly the range is covered.
    fn by_range(&self, range: &IpaRange, at: u64, left: u64) -> (IpaOperand, u64) {
        if left == 1 {
            // NUM 0, SCALE 0 without a TTL is reserved for ranges: name the
            // single entry instead.
            return (self.single(range, at), 1);
        }
        let scale = left.trailing_zeros().min(31);
        let count = (left.wrapping_shr(scale) & 31).max(1);
        let num = count.wrapping_sub(1);
        // NUM 0 with SCALE 0: one page of a longer odd range.
        if num == 0 && scale == 0 {
            return (self.single(range, at), 1);
        }
        let tg = match self.tables.granule_shift {
            14 => 2,
            16 => 3,
            _ => 1,
        };
        let operand = IpaOperand {
            range: Some((tg, num as u8, scale as u8)),
            ..self.single(range, at)
        };
        (operand, count.wrapping_shl(scale))
    }

    /// The entry at one address. Without a range TG is 0 and TTL, which would
    /// need TG to be understood, is left out.
    fn single(&self, range: &IpaRange, at: u64) -> IpaOperand {
        IpaOperand {
            ipa: at,
            leaf: range.leaf_only || self.mutation.skips(Step::ForgetTables),
            ttl: 0,
            range: None,
        }
    }

    /// log2 of what one entry covers for certain.
    fn step(&self, range: &IpaRange) -> u32 {
        if range.stride.is_power_of_two() {
            range.stride.trailing_zeros().max(self.page())
        } else {
            self.page()
        }
    }

    fn page(&self) -> u32 {
        self.tables.granule_shift.into()
    }
}
