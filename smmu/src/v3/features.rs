//! What the identification registers say (IHI 0070, 6.3.1 to 6.3.8).

use super::spec::{bits, regs};
use crate::error::Error;
use crate::outside::Registers;
use core::fmt;
use pgtable::decode_size;

/// The identification registers, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRegisters {
    /// IDR0 to IDR5.
    pub idr: [u32; 6],
    /// IIDR.
    pub iidr: u32,
    /// AIDR.
    pub aidr: u32,
}

impl IdRegisters {
    /// Reads them all.
    pub(super) fn read(regs: &impl Registers) -> Self {
        Self {
            idr: [
                regs.read32(regs::IDR0),
                regs.read32(regs::IDR1),
                regs.read32(regs::IDR2),
                regs.read32(regs::IDR3),
                regs.read32(regs::IDR4),
                regs.read32(regs::IDR5),
            ],
            iidr: regs.read32(regs::IIDR),
            aidr: regs.read32(regs::AIDR),
        }
    }

    /// Whether the registers still say this. Word by word: arrays would be
    /// compared byte by byte, by a call.
    pub(super) fn still_read(&self, regs: &impl Registers) -> bool {
        let now = Self::read(regs);
        let mut words = now.idr.iter().zip(&self.idr);
        words.all(|(now, then)| now == then) && now.iidr == self.iidr && now.aidr == self.aidr
    }
}

/// The findings that the driver acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// As read.
    pub id: IdRegisters,
    /// Walks and queue accesses are coherent (IDR0.COHACC).
    pub coherent: bool,
    /// Takes part in broadcast TLB maintenance (IDR0.BTM).
    pub broadcast: bool,
    /// Has EL2 translations (IDR0.HYP), which resume must invalidate too.
    pub hyp: bool,
    /// Writes MSIs (IDR0.MSI).
    pub msi: bool,
    /// 16-bit VMIDs (IDR0.VMID16).
    pub vmid16: bool,
    /// Two-level stream tables (IDR0.ST_LEVEL).
    pub two_level: bool,
    /// StreamID bits (IDR1.SIDSIZE).
    pub stream_bits: u8,
    /// log2 of the largest command queue (IDR1.CMDQS).
    pub cmdq_log2: u8,
    /// log2 of the largest event queue (IDR1.EVENTQS).
    pub evtq_log2: u8,
    /// Invalidation by range (IDR3.RIL).
    pub range_invalidation: bool,
    /// Forced write-back (IDR3.FWB).
    pub fwb: bool,
    /// Output address bits (IDR5.OAS).
    pub pa_bits: u8,
    /// Granules; bit n set means 2^n bytes (IDR5.GRAN*).
    pub granules: u32,
}

impl Features {
    /// Makes sense of the registers, or says what is missing.
    pub fn decode(id: IdRegisters) -> Result<Self, Error> {
        let [idr0, idr1, _, idr3, _, idr5] = id.idr.map(u64::from);
        // All ones or zeros: nothing answers at this address.
        if idr0 == 0 || idr0 == u64::from(u32::MAX) {
            return Err(Error::Unsupported("an answer at this address"));
        }
        Error::unless(bits(idr0, 0, 0) == 1, "stage 2 (IDR0.S2P)")?;
        Error::unless(bits(idr0, 3, 2) & 0b10 != 0, "AArch64 tables (IDR0.TTF)")?;
        Error::unless(
            bits(idr0, 22, 21) != 0b11,
            "little-endian tables (IDR0.TTENDIAN)",
        )?;
        Error::unless(
            bits(idr1, 30, 29) == 0,
            "movable tables and queues (IDR1.*_PRESET)",
        )?;
        let mut granules = 0;
        for (bit, shift) in [(4, 12), (5, 14), (6, 16)] {
            granules |= (bits(idr5, bit, bit) as u32) << shift;
        }
        Ok(Self {
            id,
            coherent: bits(idr0, 4, 4) == 1,
            broadcast: bits(idr0, 5, 5) == 1,
            hyp: bits(idr0, 9, 9) == 1,
            msi: bits(idr0, 13, 13) == 1,
            vmid16: bits(idr0, 18, 18) == 1,
            two_level: bits(idr0, 28, 27) == 0b01,
            stream_bits: bits(idr1, 5, 0).min(32) as u8,
            cmdq_log2: bits(idr1, 25, 21).min(19) as u8,
            evtq_log2: bits(idr1, 20, 16).min(19) as u8,
            range_invalidation: bits(idr3, 10, 10) == 1,
            fwb: bits(idr3, 8, 8) == 1,
            pa_bits: decode_size(bits(idr5, 2, 0) as u32),
            granules,
        })
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |b| if b { "yes" } else { "no" };
        let Self { id, .. } = self;
        writeln!(
            f,
            "SMMUv3.{} IIDR {:#010x} IDR0..5 {:#010x} {:#010x} {:#010x} {:#010x} {:#010x} {:#010x}",
            id.aidr & 0xf,
            id.iidr,
            id.idr[0],
            id.idr[1],
            id.idr[2],
            id.idr[3],
            id.idr[4],
            id.idr[5],
        )?;
        write!(
            f,
            "stage 2, {}-bit VMIDs, {}-bit StreamIDs ({}), {}-bit output,",
            if self.vmid16 { 16 } else { 8 },
            self.stream_bits,
            if self.two_level {
                "two-level table"
            } else {
                "linear table"
            },
            self.pa_bits,
        )?;
        for (shift, name) in [(12, " 4K"), (14, " 16K"), (16, " 64K")] {
            if self.granules & (1u32 << shift) != 0 {
                f.write_str(name)?;
            }
        }
        write!(
            f,
            "; coherent {}, ranges {}, MSI {}, broadcast {}, EL2 {}",
            yes(self.coherent),
            yes(self.range_invalidation),
            yes(self.msi),
            yes(self.broadcast),
            yes(self.hyp),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qemu() -> IdRegisters {
        IdRegisters {
            idr: [0x0d44_101b, 0x0273_0010, 0, 0x0000_1414, 0, 0x0000_0074],
            iidr: 0,
            aidr: 1,
        }
    }

    #[test]
    fn qemu_virt_is_understood() {
        let f = Features::decode(qemu()).unwrap();
        assert!(f.coherent && f.vmid16 && f.two_level && f.range_invalidation);
        assert!(!f.msi && !f.hyp && !f.broadcast);
        assert_eq!((f.stream_bits, f.pa_bits, f.granules), (16, 44, 0x1_5000));
        let text = std::format!("{f}");
        assert!(
            text.contains(
                "16-bit VMIDs, 16-bit StreamIDs (two-level table), 44-bit output, 4K 16K 64K"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut id = qemu();
        id.idr[0] &= !1;
        assert_eq!(
            Features::decode(id),
            Err(Error::Unsupported("stage 2 (IDR0.S2P)"))
        );
        id.idr[0] = u32::MAX;
        assert!(Features::decode(id).is_err());
        let mut id = qemu();
        id.idr[1] |= 1 << 30;
        assert!(Features::decode(id).is_err());
    }
}
