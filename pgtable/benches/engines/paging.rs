//! `aarch64-paging`: unmapping is mapping with the valid bit clear, looking up
//! is walking a range of one page.

use super::{Engine, barrier};
use aarch64_paging::descriptor::Stage2Attributes;
use aarch64_paging::idmap::IdMap;
use aarch64_paging::paging::{MemoryRegion, Stage2};

pub struct Paging(IdMap<Stage2>);

impl Paging {
    pub fn new() -> Self {
        Self(IdMap::new(1, Stage2))
    }
}

fn region(ipa: u64, len: u64) -> MemoryRegion {
    MemoryRegion::new(ipa as usize, (ipa + len) as usize)
}

impl Engine for Paging {
    fn map(&mut self, ipa: u64, len: u64) {
        let flags = Stage2Attributes::VALID
            | Stage2Attributes::MEMATTR_NORMAL_INNER_WB
            | Stage2Attributes::MEMATTR_NORMAL_OUTER_WB
            | Stage2Attributes::S2AP_ACCESS_RW
            | Stage2Attributes::SH_INNER
            | Stage2Attributes::ACCESS_FLAG;
        self.0.map_range(&region(ipa, len), flags).unwrap();
        barrier();
    }

    fn unmap(&mut self, ipa: u64, len: u64) {
        self.0
            .map_range(&region(ipa, len), Stage2Attributes::empty())
            .unwrap();
        barrier();
    }

    type Attrs = Stage2Attributes;

    #[inline(always)]
    fn translate(&self, ipa: u64) -> Option<(u64, Stage2Attributes, u64)> {
        let mut found = None;
        let page = region(ipa & !0xfff, 0x1000);
        self.0
            .walk_range(&page, &mut |_, descriptor, level| {
                if descriptor.is_valid() {
                    let size = 0x1000u64 << (9 * (3 - level));
                    let pa = descriptor.output_address().0 as u64 | ipa & 0xfff;
                    found = Some((pa, descriptor.flags(), size));
                }
                Ok(())
            })
            .unwrap();
        found
    }
}
