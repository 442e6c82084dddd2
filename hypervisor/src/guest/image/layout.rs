//! Where kernel, device tree and ramdisk go.

use super::{Header, ImageError};
use crate::guest::Range;

const MIB_2: u64 = 2 << 20;
/// Where raw code and Images older than 3.17 go, from the start of RAM: the
/// place QEMU `virt` gives them too.
const DEFAULT_OFFSET: u64 = 0x8_0000;
/// A device tree may take 2 MiB at most, and no 2 MiB block may hold both it
/// and memory with other attributes.
const DTB_ROOM: u64 = MIB_2;

/// Where everything is, in guest physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First instruction; x0 holds [`Layout::dtb`]'s base there.
    pub entry: u64,
    /// The kernel, BSS included.
    pub kernel: Range,
    /// Room for the device tree: it starts at the base.
    pub dtb: Range,
    /// The ramdisk, exactly as long as its file.
    pub initrd: Option<Range>,
}

/// What the first bytes of a kernel decide.
#[derive(Clone, Copy)]
pub(super) struct Placement {
    /// Address of the first byte.
    pub(super) load: u64,
    /// Bytes from there to the end of RAM.
    pub(super) room: u64,
    /// Bytes of memory the kernel wants, BSS included; 0 if it does not say.
    memory: u64,
    /// Bytes the file must have; 0 if it does not say.
    pub(super) file_size: u64,
}

fn align_up(value: u64, align: u64) -> Option<u64> {
    value.checked_next_multiple_of(align)
}

impl Placement {
    pub(super) fn of(first: &[u8], ram: Range) -> Result<Self, ImageError> {
        let (offset, memory, file_size) = match Header::parse(first) {
            Some(header) if header.flags & 1 != 0 => {
                return Err(ImageError::BigEndian {
                    flags: header.flags,
                });
            }
            // Before 3.17 text_offset was in the kernel's own endianness.
            Some(header) if header.image_size == 0 => (DEFAULT_OFFSET, 0, header.file_size),
            Some(header) => (header.text_offset, header.image_size, header.file_size),
            None => (DEFAULT_OFFSET, 0, 0),
        };
        let load = align_up(ram.base, MIB_2).and_then(|base| base.checked_add(offset));
        let room = match (load, ram.end()) {
            (Some(load), Some(end)) => end.saturating_sub(load),
            _ => 0,
        };
        if room == 0 || memory > room {
            return Err(ImageError::DoesNotFit {
                need: offset.saturating_add(memory),
                have: ram.size,
            });
        }
        Ok(Self {
            load: load.unwrap_or(ram.base),
            room,
            memory,
            file_size,
        })
    }

    pub(super) fn finish(
        self,
        written: u64,
        initrd_size: u64,
        ram: Range,
    ) -> Result<Layout, ImageError> {
        let size = written.max(self.memory);
        let ends = self.ends(size, initrd_size);
        let (dtb, initrd, end) = ends.ok_or(ImageError::DoesNotFit {
            need: u64::MAX,
            have: ram.size,
        })?;
        if !ram.covers(ram.base, end.saturating_sub(ram.base)) {
            return Err(ImageError::DoesNotFit {
                need: end.saturating_sub(ram.base),
                have: ram.size,
            });
        }
        Ok(Layout {
            entry: self.load,
            kernel: Range::new(self.load, size),
            dtb: Range::new(dtb, DTB_ROOM),
            initrd: (initrd_size != 0).then_some(Range::new(initrd, initrd_size)),
        })
    }

    /// Device tree, ramdisk and the end of all.
    fn ends(self, kernel: u64, initrd_size: u64) -> Option<(u64, u64, u64)> {
        let dtb = align_up(self.load.checked_add(kernel)?, MIB_2)?;
        let initrd = dtb.checked_add(DTB_ROOM)?;
        Some((dtb, initrd, initrd.checked_add(initrd_size)?))
    }
}
