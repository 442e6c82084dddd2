//! Registers of an ITS (IHI 0069, 12.18 to 12.20): numbers only, to be held
//! against the manual.

/// `GITS_CTLR`.
pub const CTLR: usize = 0x0000;
/// `GITS_TYPER`.
pub const TYPER: usize = 0x0008;
/// `GITS_CBASER`.
pub const CBASER: usize = 0x0080;
/// `GITS_CWRITER`.
pub const CWRITER: usize = 0x0088;
/// `GITS_CREADR`.
pub const CREADR: usize = 0x0090;
/// `GITS_BASER0`; seven more follow.
pub const BASER: usize = 0x0100;
/// Number of `GITS_BASER`.
pub const BASERS: usize = 8;
/// Offset of the page that holds `GITS_TRANSLATER`, at 0x40 inside it.
pub const TRANSLATION_PAGE: u64 = 0x1_0000;

/// `GITS_CTLR.Enabled`.
pub const CTLR_ENABLED: u32 = 1;
/// `GITS_CTLR.Quiescent`.
pub const CTLR_QUIESCENT: u32 = 1 << 31;

/// `GITS_TYPER.Physical`: it serves physical LPIs.
pub const TYPER_PHYSICAL: u64 = 1;
/// `GITS_TYPER.PTA`: targets are redistributors' addresses.
pub const TYPER_PTA: u64 = 1 << 19;

/// `Valid` of the base registers.
pub const VALID: u64 = 1 << 63;
/// `GITS_BASER.Indirect`: two levels.
pub const INDIRECT: u64 = 1 << 62;
/// `InnerCache` of `GITS_BASER` and `GITS_CBASER`.
pub const INNER_CACHE_SHIFT: u32 = 59;
/// `Shareability` of both.
pub const SHAREABILITY_SHIFT: u32 = 10;
/// `Shareability`'s bits.
pub const SHAREABILITY: u64 = 0b11 << SHAREABILITY_SHIFT;
/// `GITS_BASER.Page_Size`.
pub const PAGE_SIZE_SHIFT: u32 = 8;
/// `GITS_BASER.Page_Size`'s bits.
pub const PAGE_SIZE: u64 = 0b11 << PAGE_SIZE_SHIFT;
/// Most pages of a table (`GITS_BASER.Size` is one less).
pub const MAX_PAGES: u64 = 256;
/// Physical addresses that fit a base register whatever the page size.
pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// `GITS_BASER.Type` of the device table.
pub const TYPE_DEVICES: u64 = 1;
/// `GITS_BASER.Type` of the collection table.
pub const TYPE_COLLECTIONS: u64 = 4;

/// `GITS_CREADR.Stalled`.
pub const STALLED: u64 = 1;

/// What `GITS_TYPER` says of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Bytes of an interrupt translation table's entry.
    pub itt_entry: u64,
    /// Bits of an EventID.
    pub event_bits: u32,
    /// Bits of a DeviceID.
    pub device_bits: u32,
    /// Targets are redistributors' addresses rather than processor numbers.
    pub by_address: bool,
    /// Collections that need no memory.
    pub own_collections: u64,
}

impl Features {
    /// Decodes `GITS_TYPER`.
    pub const fn read(typer: u64) -> Self {
        Self {
            itt_entry: (typer >> 4 & 0xf) + 1,
            event_bits: (typer >> 8 & 0x1f) as u32 + 1,
            device_bits: (typer >> 13 & 0x1f) as u32 + 1,
            by_address: typer & TYPER_PTA != 0,
            own_collections: typer >> 24 & 0xff,
        }
    }
}

/// `GITS_BASER.Type`.
pub const fn table_type(baser: u64) -> u64 {
    baser >> 56 & 0b111
}

/// Bytes of an entry by `GITS_BASER.Entry_Size`.
pub const fn entry_size(baser: u64) -> u64 {
    (baser >> 48 & 0x1f) + 1
}
