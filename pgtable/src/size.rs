//! Address sizes as the architecture encodes them, the same everywhere:
//! `ID_AA64MMFR0_EL1.PARange` and `VTCR_EL2.PS` (DDI 0487, D24.2.64), `S2PS` of
//! an STE and `IDR5.OAS` (IHI 0070, 5.2 and 6.3.6), sizes in SMMUv2's ID2 and
//! TCR (IHI 0062, 10.6.9).

/// Address bits that `code` stands for.
#[must_use]
pub const fn decode_size(code: u32) -> u8 {
    match code {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        _ => 52,
    }
}

/// The code of so many address bits; of the next size where there is none for
/// them: a walker clips to its own.
#[must_use]
pub const fn encode_size(bits: u8) -> u32 {
    match bits {
        0..=32 => 0,
        33..=36 => 1,
        37..=40 => 2,
        41..=42 => 3,
        43..=44 => 4,
        45..=48 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for bits in [32, 36, 40, 42, 44, 48, 52] {
            assert_eq!(decode_size(encode_size(bits)), bits);
        }
    }

    #[test]
    fn sizes_in_between_round_up() {
        for bits in 0..=52 {
            let size = decode_size(encode_size(bits));
            assert!(size >= bits);
            assert!(bits <= 32 || encode_size(bits) == encode_size(size));
        }
        assert_eq!(decode_size(encode_size(41)), 42);
    }
}
