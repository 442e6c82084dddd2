//! Event records (IHI 0070, 7.3).

use super::bits;
use crate::fault::{FaultKind, FaultRecord};
use crate::types::StreamId;
use pgtable::Ipa;

/// Bytes in an event record.
pub const BYTES: u64 = 32;

/// Event numbers, bits 7:0 of the first word.
pub mod id {
    /// C_BAD_STREAMID, 7.3.3
    pub const C_BAD_STREAMID: u8 = 0x02;
    /// F_STE_FETCH, 7.3.4
    pub const F_STE_FETCH: u8 = 0x03;
    /// C_BAD_STE, 7.3.5
    pub const C_BAD_STE: u8 = 0x04;
    /// F_STREAM_DISABLED, 7.3.7
    pub const F_STREAM_DISABLED: u8 = 0x06;
    /// F_WALK_EABT, 7.3.12
    pub const F_WALK_EABT: u8 = 0x0b;
    /// F_TRANSLATION, 7.3.13
    pub const F_TRANSLATION: u8 = 0x10;
    /// F_ADDR_SIZE, 7.3.14
    pub const F_ADDR_SIZE: u8 = 0x11;
    /// F_ACCESS, 7.3.15
    pub const F_ACCESS: u8 = 0x12;
    /// F_PERMISSION, 7.3.16
    pub const F_PERMISSION: u8 = 0x13;
    /// F_TLB_CONFLICT, 7.3.17
    pub const F_TLB_CONFLICT: u8 = 0x20;
    /// F_CFG_CONFLICT, 7.3.18
    pub const F_CFG_CONFLICT: u8 = 0x21;
}

/// Reads a record. Addresses are present for events 0x10 to 0x13 and
/// F_WALK_EABT (word 2, InputAddr); RnW is bit 99.
pub fn decode(raw: [u64; 4]) -> FaultRecord {
    let [w0, w1, input, _] = raw;
    let number = bits(w0, 7, 0) as u8;
    let has_address = matches!(number, id::F_WALK_EABT | 0x10..=0x13 | id::F_TLB_CONFLICT);
    FaultRecord {
        stream: StreamId(bits(w0, 63, 32) as u32),
        address: has_address.then_some(Ipa(input)),
        kind: kind(number),
        write: has_address && bits(w1, 35, 35) == 0,
        raw,
    }
}

fn kind(number: u8) -> FaultKind {
    match number {
        id::C_BAD_STREAMID | id::F_STREAM_DISABLED => FaultKind::Stream,
        // V = 0 is how an unassigned stream looks.
        id::C_BAD_STE => FaultKind::Stream,
        id::F_STE_FETCH | id::F_WALK_EABT => FaultKind::External,
        id::F_TRANSLATION => FaultKind::Translation,
        id::F_ADDR_SIZE => FaultKind::AddressSize,
        id::F_ACCESS => FaultKind::Access,
        id::F_PERMISSION => FaultKind::Permission,
        id::F_TLB_CONFLICT | id::F_CFG_CONFLICT => FaultKind::Conflict,
        0x08..=0x0a => FaultKind::Configuration,
        other => FaultKind::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translation_fault_names_stream_address_and_direction() {
        let fault = decode([0x0000_0018_0000_0010, 0, 0xdead_b000, 0xdead_b000]);
        assert_eq!(fault.stream, StreamId(0x18));
        assert_eq!(fault.address, Some(Ipa(0xdead_b000)));
        assert_eq!(fault.kind, FaultKind::Translation);
        assert!(fault.write);
        assert!(!decode([0x10, 1 << 35, 0, 0]).write);
    }

    #[test]
    fn a_bad_stream_has_no_address() {
        let fault = decode([0x0000_0020_0000_0002, 0, 0x1000, 0]);
        assert_eq!((fault.kind, fault.address), (FaultKind::Stream, None));
    }
}
