//! EL2's own address space: identity mapped, nothing both writable and
//! executable, guards under the stacks, devices only as they are asked for.

use aarch64_paging::descriptor::El23Attributes as Attributes;
use aarch64_paging::idmap::IdMap;
use aarch64_paging::paging::{El2, MemoryRegion};
use core::arch::asm;
use spin::mutex::SpinMutex;

use super::boot::{self, ImageLayout, STACK_SIZE};

const COMMON: Attributes = Attributes::VALID
    .union(Attributes::ACCESSED)
    .union(Attributes::USER_RES1);
const NORMAL: Attributes = COMMON
    .union(Attributes::ATTRIBUTE_INDEX_1)
    .union(Attributes::INNER_SHAREABLE);
const CODE: Attributes = NORMAL.union(Attributes::READ_ONLY);
const READ_ONLY: Attributes = CODE.union(Attributes::XN);
const READ_WRITE: Attributes = NORMAL.union(Attributes::XN);

/// Who says that a write to a device is complete (DDI 0487, B2.10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteEnd {
    /// Any bridge on the way, so that a write may still be under way when a
    /// barrier is past: Device-nGnRE, for registers whose drivers read back.
    Bridge,
    /// The device alone: Device-nGnRnE, for PCI configuration space, where a
    /// write is to be complete before the next thing is done.
    Device,
}

impl WriteEnd {
    const fn attributes(self) -> Attributes {
        let index = match self {
            Self::Bridge => Attributes::ATTRIBUTE_INDEX_0,
            Self::Device => Attributes::ATTRIBUTE_INDEX_3,
        };
        COMMON.union(index).union(Attributes::XN)
    }
}

/// The crate's table type holds raw pointers and so is not `Send`.
struct Tables(IdMap<El2>);
// SAFETY: the tables are memory like any other; the mutex serialises changes.
unsafe impl Send for Tables {}

static TABLES: SpinMutex<Option<Tables>> = SpinMutex::new(None);

/// Builds the final tables and switches this CPU to them.
///
/// `ram` are the ranges `(start, end)` that the device tree calls memory;
/// `extra` are ranges outside them that hold data already in use (a device
/// tree that firmware put elsewhere).
pub fn activate(
    ram: impl Iterator<Item = (u64, u64)>,
    extra: (u64, u64),
) -> Result<(), aarch64_paging::MapError> {
    let image = boot::image();
    let mut map = IdMap::<El2>::new(0, El2);
    for (start, end) in ram {
        // The image's own pages get their own rights; a block that covers both
        // would be split at once.
        map_around(&mut map, start, end, &image)?;
    }
    let (start, end) = extra;
    map_around(&mut map, start & !0xfff, end.next_multiple_of(4096), &image)?;
    map_image(&mut map, &image)?;
    let tcr = tcr();
    let root = map.root_address().0 as u64;
    boot::publish_secondary_registers(boot::SecondaryRegisters {
        ttbr: root,
        tcr,
        mair: boot::MAIR,
        sctlr: boot::SCTLR | SCTLR_WXN,
    });
    *TABLES.lock() = Some(Tables(map));
    switch(root, tcr);
    Ok(())
}

/// `SCTLR_EL2.WXN`: whatever is writable is never executable.
const SCTLR_WXN: u64 = 1 << 19;

/// Maps what of `start..end` lies outside the image.
fn map_around(
    map: &mut IdMap<El2>,
    start: u64,
    end: u64,
    image: &ImageLayout,
) -> Result<(), aarch64_paging::MapError> {
    for (a, b) in [(start, end.min(image.start)), (start.max(image.end), end)] {
        if a < b {
            map.map_range(&region(a, b), READ_WRITE)?;
        }
    }
    Ok(())
}

fn map_image(map: &mut IdMap<El2>, image: &ImageLayout) -> Result<(), aarch64_paging::MapError> {
    map.map_range(&region(image.start, image.text_end), CODE)?;
    map.map_range(&region(image.text_end, image.rodata_end), READ_ONLY)?;
    map.map_range(&region(image.rodata_end, image.stacks_start), READ_WRITE)?;
    for index in 0..boot::MAX_CPUS {
        let top = boot::stack_top(index);
        map.map_range(&region(top - STACK_SIZE as u64, top), READ_WRITE)?;
    }
    Ok(())
}

/// Maps a device's registers, if they are not yet. Part of a page belongs to
/// whoever asks: EL2 trusts itself with its devices.
pub fn map_device(base: u64, len: u64, end_of_write: WriteEnd) {
    if let Some(tables) = TABLES.lock().as_mut() {
        let end = base.saturating_add(len.max(1)).next_multiple_of(4096);
        if tables
            .0
            .map_range(&region(base & !0xfff, end), end_of_write.attributes())
            .is_err()
        {
            log::error!(
                "cannot map device registers at {base:#x}: outside the 48-bit address space"
            );
        }
        super::cache::dsb_ish();
        super::cache::isb();
    }
    // Before `activate` everything but the image is device memory already.
}

fn region(start: u64, end: u64) -> MemoryRegion {
    MemoryRegion::new(start as usize, end as usize)
}

/// 48-bit addresses, 4 KiB granule, cacheable inner-shareable walks, and as
/// many physical bits as the CPU has (DDI 0487, D24.2.176).
fn tcr() -> u64 {
    let mmfr0: u64;
    // SAFETY: reads a constant register.
    unsafe {
        asm!("mrs {}, id_aa64mmfr0_el1", out(reg) mmfr0, options(nomem, nostack, preserves_flags))
    };
    let pa_range = (mmfr0 & 0xf).min(5);
    1 << 31 | 1 << 23 | pa_range << 16 | 3 << 12 | 1 << 10 | 1 << 8 | (64 - 48)
}

/// Replaces the tables that translate this very code. Sizes of mappings change,
/// so translation is off in between (DDI 0487, D8.16.1: break before make).
fn switch(root: u64, tcr: u64) {
    let sctlr = boot::SCTLR | SCTLR_WXN;
    // SAFETY: old and new tables both map the image, the stack and all RAM at
    // their physical addresses, so execution goes on where it was whether
    // translation is on or off; no memory is accessed while it is off.
    unsafe {
        asm!(
            "dsb sy",
            "msr sctlr_el2, {off}",
            "isb",
            "msr ttbr0_el2, {root}",
            "msr tcr_el2, {tcr}",
            "isb",
            "tlbi alle2",
            "dsb nsh",
            "isb",
            "msr sctlr_el2, {on}",
            "isb",
            off = in(reg) boot::SCTLR & !1,
            on = in(reg) sctlr,
            root = in(reg) root,
            tcr = in(reg) tcr,
            options(nostack, preserves_flags),
        );
    }
}
