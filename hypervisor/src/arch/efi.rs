//! Started by UEFI: the image is a PE file too, whose entry leaves the firmware
//! and goes on as if a boot loader had followed the arm64 Image protocol.
//!
//! Firmware, or GRUB through it, loads the image somewhere at a page boundary,
//! with caches and an identity map. Here it is copied to where the protocol
//! allows it, the device tree from the firmware's configuration table gets the
//! memory that the firmware keeps as reservations, boot services end, and caches
//! and MMU are switched off. Files packed behind the image come along: the
//! writer of packs has told the PE header of them.
//!
//! UEFI 2.10: 4.3 (system table), 7.2 (memory), 7.4.6 (`ExitBootServices`),
//! 2.3.6 (AArch64). Headers: Microsoft PE/COFF specification.

use core::arch::global_asm;
use core::ffi::c_void;
use core::ptr;

use platform::efi::{MemoryMap, PAGE, reserve, room};
use platform::fdt::Blob;

use super::{cache, ram};

global_asm!(
    r#"
    .section .text.efi_header, "ax"
    .global efi_header
efi_header:
    .ascii  "PE\0\0"
    .short  0xaa64                  // ARM64
    .short  2                       // sections
    .long   0, 0, 0
    .short  efi_sections - efi_optional
    .short  0x206                   // executable, no line numbers or symbols
efi_optional:
    .short  0x20b                   // PE32+
    .byte   0, 0
    .long   _efi_code_size, _efi_data_file_size, 0
    .long   _efi_entry
    .long   0x1000                  // base of code
    .quad   0                       // runs anywhere
    .long   0x1000, 0x200           // alignment in memory and in the file
    .short  0, 0
    .short  3, 0                    // as Linux: may be given files by protocol
    .short  0, 0
    .long   0
    .long   _image_size
    .long   0x1000                  // headers
    .long   0
    .short  10                      // EFI application
    .short  0x100                   // no section is written and executed
    .quad   0, 0, 0, 0
    .long   0
    .long   6
    .quad   0, 0, 0, 0, 0, 0
efi_sections:
    .ascii  ".text\0\0\0"
    .long   _efi_code_size, 0x1000, _efi_code_size, 0x1000
    .long   0, 0, 0
    .long   0x60000020              // code, execute, read
    .ascii  ".data\0\0\0"
    .long   _efi_data_size, _efi_data, _efi_data_file_size, _efi_data
    .long   0, 0, 0
    .long   0xc0000040              // data, read, write

    .section .text.boot, "ax"
    // x0: handle of the image, x1: system table. Firmware's stack and map.
    .global efi_entry
efi_entry:
    stp     x29, x30, [sp, #-16]!
    mov     x29, sp
    adrp    x2, _start
    bl      relocate
    bl      {leave}
    cbz     x0, 4f
    // x0: the image where it is to run, x1: the device tree.
    mov     x19, x0
    mov     x0, x1
    mrs     x2, CurrentEL
    cmp     x2, #8
    mov     x4, #0x1005             // M, C and I (DDI 0487, D24.2.152)
    b.eq    2f
    mrs     x3, sctlr_el1
    bic     x3, x3, x4
    msr     sctlr_el1, x3
    b       3f
2:  mrs     x3, sctlr_el2
    bic     x3, x3, x4
    msr     sctlr_el2, x3
3:  isb
    ic      iallu
    dsb     sy
    isb
    br      x19
4:  mov     x0, x1                  // why not
    ldp     x29, x30, [sp], #16
    ret
    "#,
    leave = sym leave,
);

/// What the entry goes on with. With `image` 0, `tree` is the status to return.
#[repr(C)]
struct Handover {
    image: u64,
    tree: u64,
}

/// `EFI_STATUS`: 0 is success, errors have bit 63.
type Status = usize;
const LOAD_ERROR: Status = 1 << 63 | 1;

/// A table entry (4.6).
#[repr(C)]
struct Table {
    guid: [u32; 4],
    table: *const c_void,
}

/// `EFI_DTB_TABLE_GUID`, b1b621d5-f19c-41a5-830b-d9152c69aae0, as words.
const DEVICE_TREE: [u32; 4] = [0xb1b6_21d5, 0x41a5_f19c, 0x15d9_0b83, 0xe0aa_692c];

/// `EFI_SYSTEM_TABLE` (4.3).
#[repr(C)]
struct SystemTable {
    header: [u64; 3],
    vendor: *const u16,
    revision: u32,
    in_handle: *const c_void,
    input: *const c_void,
    out_handle: *const c_void,
    output: *const Output,
    error_handle: *const c_void,
    error: *const c_void,
    runtime: *const c_void,
    boot: *const BootServices,
    tables: usize,
    table: *const Table,
}

/// `EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL` (12.4), as far as it is used.
#[repr(C)]
struct Output {
    reset: *const c_void,
    string: extern "efiapi" fn(*const Self, *const u16) -> Status,
}

/// `EFI_BOOT_SERVICES` (4.4), as far as it is used.
#[repr(C)]
struct BootServices {
    header: [u64; 3],
    priorities: [*const c_void; 2],
    allocate_pages: extern "efiapi" fn(u32, u32, usize, *mut u64) -> Status,
    free_pages: *const c_void,
    memory_map: extern "efiapi" fn(*mut usize, *mut u8, *mut usize, *mut usize, *mut u32) -> Status,
    rest: [*const c_void; 21],
    exit: extern "efiapi" fn(*const c_void, usize) -> Status,
}
const _: () = assert!(core::mem::offset_of!(BootServices, exit) == 232);
const _: () = assert!(core::mem::offset_of!(SystemTable, table) == 112);

/// `AllocateMaxAddress` and `EfiLoaderData` (7.2.1).
const BELOW: u32 = 1;
const LOADER_DATA: u32 = 2;
/// The image starts with a map of this many bytes.
const REACH: u64 = 512 << 30;
/// The Image protocol wants the image at a multiple of this.
const IMAGE_ALIGN: u64 = 2 << 20;
/// Bytes for the memory map, and regions in it that the firmware may keep.
const MAP_ROOM: usize = 64 << 10;
const MOST_KEPT: usize = 1024;

/// Where everything goes, in one allocation.
struct Room {
    image: u64,
    len: u64,
    map: u64,
    tree: u64,
    end: u64,
}

/// Prepares the new image and ends boot services.
extern "C" fn leave(handle: *const c_void, table: *const SystemTable) -> Handover {
    // SAFETY: UEFI passes its system table, whose parts stay until boot
    // services end; nothing of it is used afterwards.
    let system = unsafe { &*table };
    // SAFETY: as above.
    let boot = unsafe { &*system.boot };
    let say = |text: &str| {
        let mut wide = [0_u16; 200];
        for (to, byte) in wide.iter_mut().take(199).zip(text.bytes()) {
            *to = byte.into();
        }
        // SAFETY: as above; the text ends with a zero.
        let output = unsafe { &*system.output };
        (output.string)(system.output, wide.as_ptr());
        Handover {
            image: 0,
            tree: LOAD_ERROR as u64,
        }
    };
    let Some(tree) = device_tree(system) else {
        return say(
            "[stagegate] error: UEFI offers no device tree: let it use one instead of ACPI \
             (QEMU: -M virt,acpi=off), or name one in GRUB (devicetree)\r\n",
        );
    };
    let Some(room) = Room::take(boot, tree) else {
        return say("[stagegate] error: UEFI has no memory for the image\r\n");
    };
    room.copy_image();
    let Some(len) = room.exit(boot, handle, tree) else {
        return say("[stagegate] error: UEFI does not end its boot services\r\n");
    };
    let loaded = ram::own();
    cache::clean_invalidate(loaded.base, loaded.size);
    cache::clean_invalidate(room.image, room.end - room.image);
    Handover {
        image: room.image,
        tree: if len > 0 { room.tree } else { 0 },
    }
}

fn device_tree(system: &SystemTable) -> Option<Blob<'static>> {
    // SAFETY: the table has as many entries as the system table says.
    let tables = unsafe { core::slice::from_raw_parts(system.table, system.tables) };
    let found = tables.iter().find(|entry| entry.guid == DEVICE_TREE)?;
    Blob::check(ram::device_tree(found.table.addr() as u64)?).ok()
}

impl Room {
    fn take(boot: &BootServices, tree: Blob<'_>) -> Option<Self> {
        let len = ram::own().size.next_multiple_of(PAGE);
        let tree_room = room(tree.bytes().len(), MOST_KEPT) as u64;
        let all = len + MAP_ROOM as u64 + tree_room + IMAGE_ALIGN;
        let mut base = REACH - 1;
        let pages = all.div_ceil(PAGE) as usize;
        if (boot.allocate_pages)(BELOW, LOADER_DATA, pages, &raw mut base) != 0 {
            return None;
        }
        let image = base.next_multiple_of(IMAGE_ALIGN);
        let map = image + len;
        let tree = map + MAP_ROOM as u64;
        Some(Self {
            image,
            len,
            map,
            tree,
            end: tree + tree_room,
        })
    }

    fn copy_image(&self) {
        let loaded = ram::own();
        // SAFETY: the firmware loaded that many bytes, and `take` has as many
        // that are nobody else's.
        unsafe {
            ptr::copy_nonoverlapping(
                loaded.base as *const u8,
                self.image as *mut u8,
                loaded.size.min(self.len) as usize,
            );
        }
    }

    /// Ends boot services and writes the device tree; its length, or 0 if that
    /// went wrong when nobody could be told any more.
    fn exit(&self, boot: &BootServices, handle: *const c_void, tree: Blob<'_>) -> Option<usize> {
        // The map may change while it is asked for; then its key is refused
        // (7.4.6). More than a few times is no accident.
        for _ in 0..8 {
            let (mut size, mut key, mut stride, mut version) = (MAP_ROOM, 0, 0, 0);
            let map = self.map as *mut u8;
            let status = (boot.memory_map)(
                &raw mut size,
                map,
                &raw mut key,
                &raw mut stride,
                &raw mut version,
            );
            if status != 0 {
                return None;
            }
            if (boot.exit)(handle, key) == 0 {
                // SAFETY: the firmware wrote `size` bytes there, within our own.
                let bytes = unsafe { core::slice::from_raw_parts(map, size.min(MAP_ROOM)) };
                let len = (self.end - self.tree) as usize;
                // SAFETY: our own memory, which nothing else refers to.
                let out = unsafe { core::slice::from_raw_parts_mut(self.tree as *mut u8, len) };
                let kept = MemoryMap::new(bytes, stride).kept();
                return Some(reserve(&tree, kept, out).unwrap_or(0));
            }
        }
        None
    }
}
