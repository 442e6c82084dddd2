//! What the identification registers say (IHI 0062, 10.6.7 to 10.6.14).

use super::implementation::Quirks;
use super::spec::{bits, gr0};
use crate::error::Error;
use crate::outside::Registers;
use core::fmt;
use pgtable::decode_size;

/// The identification registers, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRegisters {
    /// ID0 to ID2.
    pub id: [u32; 3],
    /// ID7.
    pub id7: u32,
}

impl IdRegisters {
    /// Reads them. They lie in the first page whatever its size.
    pub(super) fn read(regs: &impl Registers) -> Self {
        Self {
            id: [
                regs.read32(gr0::ID0),
                regs.read32(gr0::ID1),
                regs.read32(gr0::ID2),
            ],
            id7: regs.read32(gr0::ID7),
        }
    }
}

/// The findings that the driver acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// As read.
    pub id: IdRegisters,
    /// SMMUv2; false for SMMUv1.
    pub v2: bool,
    /// log2 of a register page: 12 or 16 (ID1.PAGESIZE).
    pub page_shift: u8,
    /// Pages before the context banks (ID1.NUMPAGENDXB).
    pub global_pages: u32,
    /// Context banks that may be used (ID1.NUMCB, less where known to lie).
    pub banks: u16,
    /// Stream mapping entries (ID0.NUMSMRG, or one for each stream).
    pub entries: u16,
    /// Entries match by id and mask (ID0.SMS); otherwise the id is the index.
    pub matching: bool,
    /// Extended, 16-bit StreamIDs (ID0.EXIDS).
    pub extended: bool,
    /// StreamID bits (ID0.NUMSIDB, or 16).
    pub stream_bits: u8,
    /// Context interrupts (ID0.NUMIRPT).
    pub interrupts: u8,
    /// 16-bit VMIDs (ID2.VMID16).
    pub vmid16: bool,
    /// Walks are coherent (ID0.CTTW, unless the board says otherwise).
    pub coherent: bool,
    /// Takes part in broadcast maintenance (ID0.BTM). Not relied upon.
    pub broadcast: bool,
    /// Tables and registers of AArch64 (ID2.PTFSv8*).
    pub wide: bool,
    /// Granules; bit n set means 2^n bytes.
    pub granules: u32,
    /// Input address bits of stage 2 (ID2.IAS).
    pub ipa_bits: u8,
    /// Output address bits (ID2.OAS).
    pub pa_bits: u8,
}

/// Room for SMRs and for S2CRs in their page.
const ENTRIES_MAX: u32 = 256;

impl Features {
    /// Makes sense of the registers, or says what is missing. `coherent` is
    /// what the board says of the walks, if it does.
    pub(super) fn decode(
        id: IdRegisters,
        quirks: &Quirks,
        coherent: Option<bool>,
    ) -> Result<Self, Error> {
        let [id0, id1, id2] = id.id;
        Error::unless(id0 != 0, "an SMMU at this address (its ID0 reads as zero)")?;
        Error::unless(
            id0 != u32::MAX,
            "an SMMU at this address (its ID0 reads as ones)",
        )?;
        Error::unless(bits(id0, 29, 29) == 1, "stage 2 (ID0.S2TS)")?;
        let matching = bits(id0, 27, 27) == 1;
        let extended = bits(id0, 8, 8) == 1;
        let stream_bits = if extended { 16 } else { bits(id0, 12, 9) };
        let entries = if matching {
            bits(id0, 7, 0)
        } else {
            1u32.wrapping_shl(stream_bits)
        };
        let entries = entries.min(ENTRIES_MAX).min(quirks.entries_max.into());
        Error::unless(entries != 0, "stream mapping entries (ID0.NUMSMRG)")?;
        let banks = quirks.banks(bits(id1, 7, 0) as u16);
        Error::unless(banks != 0, "context banks (ID1.NUMCB)")?;
        let wide = quirks.v2 && bits(id2, 14, 12) != 0 && !quirks.narrow;
        let narrow = bits(id0, 25, 25) == 0;
        Error::unless(wide || narrow, "long descriptors (ID0.PTFS, ID2.PTFSv8)")?;
        let mut granules = 1 << 12;
        if wide {
            granules = 0;
            for (bit, shift) in [(12, 12), (13, 14), (14, 16)] {
                granules |= bits(id2, bit, bit) << shift;
            }
        }
        let most = if wide { 48 } else { 40 };
        Ok(Self {
            id,
            v2: quirks.v2,
            page_shift: if bits(id1, 31, 31) == 1 { 16 } else { 12 },
            global_pages: 2u32.wrapping_shl(bits(id1, 30, 28)),
            banks,
            entries: entries as u16,
            matching,
            extended,
            stream_bits: stream_bits as u8,
            interrupts: bits(id0, 23, 16) as u8,
            vmid16: quirks.v2 && bits(id2, 15, 15) == 1,
            coherent: coherent.unwrap_or(bits(id0, 14, 14) == 1),
            broadcast: bits(id0, 13, 13) == 1,
            wide,
            granules,
            ipa_bits: decode_size(bits(id2, 3, 0)).min(most),
            pa_bits: decode_size(bits(id2, 7, 4)).min(most),
        })
    }

    /// Bytes of the whole window.
    pub fn window(&self) -> u64 {
        u64::from(self.global_pages)
            .wrapping_mul(2)
            .wrapping_shl(self.page_shift.into())
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |b| if b { "yes" } else { "no" };
        let [id0, id1, id2] = self.id.id;
        writeln!(
            f,
            "SMMUv{}, ID0..2 {id0:#010x} {id1:#010x} {id2:#010x} ID7 {:#x}",
            if self.v2 { 2 } else { 1 },
            self.id.id7,
        )?;
        writeln!(
            f,
            "{} banks, {} stream entries ({}), {}-bit StreamIDs, {}-bit VMIDs, {} KiB pages",
            self.banks,
            self.entries,
            if self.matching {
                "matching"
            } else {
                "one for each stream"
            },
            self.stream_bits,
            if self.vmid16 { 16 } else { 8 },
            if self.page_shift == 16 { 64 } else { 4 },
        )?;
        write!(
            f,
            "stage 2, {}-bit input, {}-bit output, AArch{} tables",
            self.ipa_bits,
            self.pa_bits,
            if self.wide { 64 } else { 32 },
        )?;
        for (shift, name) in [(12, " 4K"), (14, " 16K"), (16, " 64K")] {
            if self.granules & (1u32 << shift) != 0 {
                f.write_str(name)?;
            }
        }
        write!(
            f,
            "; coherent {}, broadcast {}, by address {}",
            yes(self.coherent),
            yes(self.broadcast),
            yes(self.v2),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::Implementation;

    /// ZynqMP's MMU-500: 48 entries, 16 banks (UG1087, SMMU_GPV).
    fn zynqmp() -> IdRegisters {
        IdRegisters {
            id: [0xfc01_3e30, 0x3000_0f10, 0x0000_f555],
            id7: 0x21,
        }
    }

    fn decode(id: IdRegisters, model: Implementation) -> Result<Features, Error> {
        Features::decode(id, &model.quirks(), None)
    }

    #[test]
    fn an_mmu_500_is_understood() {
        let f = decode(zynqmp(), Implementation::Mmu500).unwrap();
        assert_eq!((f.banks, f.entries, f.stream_bits), (16, 48, 15));
        assert_eq!((f.page_shift, f.global_pages), (12, 16));
        assert_eq!(f.window(), 0x2_0000);
        assert!(f.matching && f.wide && f.vmid16 && !f.extended);
        assert_eq!((f.ipa_bits, f.pa_bits), (48, 48));
        assert_eq!(f.granules, 0x1_5000);
        let text = std::format!("{f}");
        assert!(
            text.contains("16 banks, 48 stream entries (matching)"),
            "{text}"
        );
    }

    #[test]
    fn both_page_sizes() {
        let mut id = zynqmp();
        id.id[1] |= 1 << 31;
        let f = decode(id, Implementation::Mmu500).unwrap();
        assert_eq!((f.page_shift, f.window()), (16, 0x20_0000));
    }

    #[test]
    fn a_window_that_reads_as_zero_is_refused() {
        let id = IdRegisters { id: [0; 3], id7: 0 };
        let error = decode(id, Implementation::Mmu500).unwrap_err();
        assert_eq!(
            std::format!("{error}"),
            "hardware lacks an SMMU at this address (its ID0 reads as zero)"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut id = zynqmp();
        id.id[0] &= !(1 << 29);
        assert_eq!(
            decode(id, Implementation::Mmu500),
            Err(Error::Unsupported("stage 2 (ID0.S2TS)"))
        );
        let mut id = zynqmp();
        id.id[1] &= !0xff;
        assert!(decode(id, Implementation::Mmu500).is_err());
    }

    #[test]
    fn v1_and_marvell_have_narrow_tables() {
        for model in [Implementation::Mmu400, Implementation::MarvellAp806] {
            let f = decode(zynqmp(), model).unwrap();
            assert!(!f.wide);
            assert_eq!((f.ipa_bits, f.pa_bits, f.granules), (40, 40, 1 << 12));
        }
    }

    #[test]
    fn qualcomm_counts_are_not_believed() {
        let mut id = zynqmp();
        id.id[0] = id.id[0] & !0xff | 0xa0;
        id.id[1] = id.id[1] & !0xff | 13;
        let f = decode(id, Implementation::QcomV2).unwrap();
        assert_eq!((f.entries, f.banks), (128, 12));
    }

    #[test]
    fn streams_may_be_indices() {
        let mut id = zynqmp();
        id.id[0] = id.id[0] & !(1 << 27 | 0xf << 9) | 6 << 9;
        let f = decode(id, Implementation::GenericV2).unwrap();
        assert_eq!((f.matching, f.entries), (false, 64));
    }
}
