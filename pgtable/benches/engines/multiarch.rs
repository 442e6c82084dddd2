//! `page_table_multiarch`, the tables of ArceOS and its hypervisor, with a
//! stage-2 entry written the way that hypervisor does.

use super::{Engine, barrier};
use memory_addr::{PhysAddr, VirtAddr};
use page_table_multiarch::{
    GenericPTE, MappingFlags, PageSize, PageTable64, PagingHandler, PagingMetaData,
};
use pgtable::{Heap, Memory, Pa};

pub struct Meta;

impl PagingMetaData for Meta {
    const LEVELS: usize = 3;
    const PA_MAX_BITS: usize = 48;
    const VA_MAX_BITS: usize = 40;
    type VirtAddr = VirtAddr;
    fn flush_tlb(_: Option<VirtAddr>) {}
}

pub struct Frames;

impl PagingHandler for Frames {
    fn alloc_frames(num: usize, _: usize) -> Option<PhysAddr> {
        Heap.alloc(num.next_power_of_two() * 4096)
            .map(|pa| PhysAddr::from_usize(pa.0 as usize))
    }
    fn dealloc_frames(paddr: PhysAddr, num: usize) {
        Heap.free(Pa(paddr.as_usize() as u64), num.next_power_of_two() * 4096);
    }
    fn phys_to_virt(paddr: PhysAddr) -> VirtAddr {
        VirtAddr::from_usize(paddr.as_usize())
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Pte(u64);

const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

fn bits(flags: MappingFlags, huge: bool) -> u64 {
    let read = u64::from(flags.contains(MappingFlags::READ)) << 6;
    let write = u64::from(flags.contains(MappingFlags::WRITE)) << 7;
    let xn = u64::from(!flags.contains(MappingFlags::EXECUTE)) << 54;
    let memory = if flags.contains(MappingFlags::DEVICE) {
        1 << 2
    } else {
        0xf << 2 | 3 << 8
    };
    read | write | xn | memory | 1 << 10 | if huge { 0b01 } else { 0b11 }
}

impl GenericPTE for Pte {
    fn new_page(paddr: PhysAddr, flags: MappingFlags, is_huge: bool) -> Self {
        Self(paddr.as_usize() as u64 & ADDRESS | bits(flags, is_huge))
    }
    fn new_table(paddr: PhysAddr) -> Self {
        Self(paddr.as_usize() as u64 & ADDRESS | 0b11)
    }
    fn paddr(&self) -> PhysAddr {
        PhysAddr::from_usize((self.0 & ADDRESS) as usize)
    }
    fn flags(&self) -> MappingFlags {
        let mut flags = MappingFlags::empty();
        flags.set(MappingFlags::READ, self.0 & 1 << 6 != 0);
        flags.set(MappingFlags::WRITE, self.0 & 1 << 7 != 0);
        flags.set(MappingFlags::EXECUTE, self.0 & 1 << 54 == 0);
        flags
    }
    fn set_paddr(&mut self, paddr: PhysAddr) {
        self.0 = self.0 & !ADDRESS | paddr.as_usize() as u64 & ADDRESS;
    }
    fn set_flags(&mut self, flags: MappingFlags, is_huge: bool) {
        self.0 = self.0 & ADDRESS | bits(flags, is_huge);
    }
    fn bits(self) -> usize {
        self.0 as usize
    }
    fn is_unused(&self) -> bool {
        self.0 == 0
    }
    fn is_present(&self) -> bool {
        self.0 & 1 != 0
    }
    fn is_huge(&self) -> bool {
        self.0 & 0b11 == 0b01
    }
    fn clear(&mut self) {
        self.0 = 0;
    }
}

pub struct Multiarch(PageTable64<Meta, Pte, Frames>);

impl Multiarch {
    pub fn new() -> Self {
        Self(PageTable64::try_new().unwrap())
    }
}

impl Engine for Multiarch {
    fn map(&mut self, ipa: u64, len: u64) {
        let flags = MappingFlags::READ | MappingFlags::WRITE | MappingFlags::EXECUTE;
        let at = VirtAddr::from_usize(ipa as usize);
        let to = |va: VirtAddr| PhysAddr::from_usize(va.as_usize());
        if len == PageSize::Size4K as u64 {
            self.0
                .cursor()
                .map(at, to(at), PageSize::Size4K, flags)
                .unwrap();
        } else {
            self.0
                .cursor()
                .map_region(at, to, len as usize, flags, true)
                .unwrap();
        }
        barrier();
    }

    fn unmap(&mut self, ipa: u64, len: u64) {
        let at = VirtAddr::from_usize(ipa as usize);
        if len == PageSize::Size4K as u64 {
            self.0.cursor().unmap(at).unwrap();
        } else {
            self.0.cursor().unmap_region(at, len as usize).unwrap();
        }
        barrier();
    }

    type Attrs = MappingFlags;

    #[inline(always)]
    fn translate(&self, ipa: u64) -> Option<(u64, MappingFlags, u64)> {
        let found = self.0.query(VirtAddr::from_usize(ipa as usize));
        let (pa, flags, size) = found.ok()?;
        Some((pa.as_usize() as u64, flags, size as u64))
    }
}
