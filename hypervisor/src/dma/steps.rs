//! How many leaves a map takes, so that the work of a call can be counted.

use pgtable::Config;

/// Sizes that leaves come in, as log2 of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    page: u32,
    block: u32,
}

impl Steps {
    /// The page and the smallest block of tables of this shape.
    pub(super) const fn of(config: &Config) -> Self {
        let page = config.page_shift();
        let blocks = config.page_sizes() & !1u64.wrapping_shl(page);
        let block = if blocks == 0 {
            page
        } else {
            blocks.trailing_zeros()
        };
        Self { page, block }
    }

    /// Most leaves that a map of these many bytes takes: pages up to a block boundary, blocks where
    /// IOVA and PA allow them, pages after the last.
    pub(super) const fn leaves(self, iova: u64, pa: u64, bytes: u64) -> u64 {
        let block = 1u64.wrapping_shl(self.block);
        let mask = block.wrapping_sub(1);
        let pages = bytes.wrapping_shr(self.page);
        if bytes < block || (iova ^ pa) & mask != 0 {
            return pages;
        }
        let head = block.wrapping_sub(iova & mask) & mask;
        let blocks = bytes.saturating_sub(head).wrapping_shr(self.block);
        let per_block = block.wrapping_shr(self.page);
        // Each whole block saves all of its pages but one.
        pages.saturating_sub(blocks.saturating_mul(per_block.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgtable::Granule;

    const PAGE: u64 = 0x1000;
    const BLOCK: u64 = 0x20_0000;

    fn steps() -> Steps {
        Steps::of(&Config::new(Granule::K4, 40, 40).unwrap())
    }

    #[test]
    fn a_map_counts_its_leaves() {
        let steps = steps();
        for (iova, pa, bytes, leaves) in [
            (0, PAGE, 4 * BLOCK, 2048),                   // incongruent: pages only
            (BLOCK, 3 * BLOCK, 4 * BLOCK + PAGE, 5),      // blocks and a tail
            (BLOCK - PAGE, 5 * BLOCK - PAGE, BLOCK, 512), // no whole block
            (BLOCK - PAGE, 5 * BLOCK - PAGE, BLOCK + PAGE, 2),
            (BLOCK, BLOCK, 3 * PAGE, 3),
        ] {
            assert_eq!(
                steps.leaves(iova, pa, bytes),
                leaves,
                "{iova:#x} {bytes:#x}"
            );
        }
    }
}
