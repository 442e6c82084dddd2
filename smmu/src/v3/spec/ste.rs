//! Stream table entries (IHI 0070, 5.2) and level-1 descriptors (5.1).

use super::place;
use crate::types::{Stage2, Vmid};

/// 64-bit words in an entry.
pub const WORDS: usize = 8;
/// Bytes in an entry.
pub const BYTES: u64 = 64;

/// A stream table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ste(pub [u64; WORDS]);

/// STE.V: the entry is valid.
pub const V: u64 = 1;
/// STE.Config (bits 3:1): terminate without an event.
pub const CONFIG_ABORT: u64 = 0b000;
/// Pass untranslated.
pub const CONFIG_BYPASS: u64 = 0b100;
/// Stage 1 bypassed, stage 2 translates.
pub const CONFIG_S2: u64 = 0b110;

impl Ste {
    /// Terminates the stream; a fault of it is not recorded.
    pub const fn abort() -> Self {
        Ste([V | CONFIG_ABORT << 1, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Lets the stream pass with its own attributes (SHCFG = 0b01).
    pub const fn bypass() -> Self {
        let shcfg = place(0b01, 45, 44);
        Ste([V | CONFIG_BYPASS << 1, shcfg, 0, 0, 0, 0, 0, 0])
    }

    /// Translates by stage 2 alone. `s2ps` is the encoded output size.
    pub const fn stage2(tables: &Stage2, vmid: Vmid, s2ps: u8) -> Self {
        let (walk, share) = if tables.coherent {
            (0b01, 0b11)
        } else {
            (0b00, 0b10)
        };
        let w2 = place(vmid.0 as u64, 15, 0)
            | place(64u64.saturating_sub(tables.ipa_bits as u64), 37, 32) // S2T0SZ
            | place(sl0(tables), 39, 38) // S2SL0
            | place(walk, 41, 40) // S2IR0
            | place(walk, 43, 42) // S2OR0
            | place(share, 45, 44) // S2SH0
            | place(tg0(tables.granule_shift), 47, 46) // S2TG
            | place(s2ps as u64, 50, 48) // S2PS
            | 1 << 51 // S2AA64
            | 1 << 53 // S2AFFD: a clear access flag keeps CPUs out, not devices
            | 1 << 58; // S2R: record faults; S2S stays 0, faults terminate
        let w3 = tables.root.0 & place(u64::MAX, 51, 4);
        // SHCFG: the stream's own; S2FWB.
        let shcfg = place(0b01, 45, 44) | place(tables.fwb as u64, 25, 25);
        Ste([V | CONFIG_S2 << 1, shcfg, w2, w3, 0, 0, 0, 0])
    }
}

/// S2SL0: the start level, counted from the granule's lowest choice.
const fn sl0(tables: &Stage2) -> u64 {
    let lowest = if tables.granule_shift == 12 { 2 } else { 3 };
    (lowest as u64).saturating_sub(tables.start_level as u64)
}

/// S2TG.
const fn tg0(granule_shift: u8) -> u64 {
    match granule_shift {
        14 => 0b10,
        16 => 0b01,
        _ => 0b00,
    }
}

/// A level-1 descriptor: `1 << (span - 1)` entries at `l2`.
pub const fn l1_descriptor(l2: u64, span: u8) -> u64 {
    l2 & place(u64::MAX, 51, 6) | place(span as u64, 4, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgtable::Pa;

    const TABLES: Stage2 = Stage2 {
        root: Pa(0x4123_4000),
        ipa_bits: 40,
        pa_bits: 44,
        granule_shift: 12,
        start_level: 1,
        coherent: true,
        fwb: false,
    };

    #[test]
    fn stage2_words_match_the_manual() {
        let ste = Ste::stage2(&TABLES, Vmid(0x1234), 4);
        assert_eq!(ste.0[0], 0b1101);
        assert_eq!(ste.0[1], 1 << 44);
        // S2R, S2AFFD, S2AA64, S2PS 4, S2TG 0, SH0 3, OR0 1, IR0 1, SL0 1,
        // T0SZ 24, VMID.
        assert_eq!(ste.0[2], 0x042c_3558_0000_1234);
        assert_eq!(ste.0[3], 0x4123_4000);
        assert_eq!(ste.0[4..], [0; 4]);
    }

    #[test]
    fn granules_and_levels_encode() {
        for (shift, level, tg, sl) in [(12, 2, 0, 0), (12, 0, 0, 2), (14, 2, 2, 1), (16, 1, 1, 2)] {
            let t = Stage2 {
                granule_shift: shift,
                start_level: level,
                coherent: false,
                ..TABLES
            };
            let w = Ste::stage2(&t, Vmid(1), 0).0[2];
            assert_eq!(super::super::bits(w, 47, 46), tg);
            assert_eq!(super::super::bits(w, 39, 38), sl);
            assert_eq!(super::super::bits(w, 45, 40), 0b10_00_00);
        }
    }
}
