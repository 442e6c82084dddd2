//! Commands (IHI 0070, chapter 4).

use super::place;
use crate::types::{StreamId, Vmid};

/// Bytes in a command.
pub const BYTES: u64 = 16;

/// A command as it stands in the queue.
pub type Words = [u64; 2];

/// [`Command::Sync`] as it stands in the queue.
pub const SYNC: Words = Command::Sync.encode();

/// Opcodes, bits 7:0 of the first word.
pub mod opcode {
    /// CFGI_STE, 4.3.1
    pub const CFGI_STE: u8 = 0x03;
    /// CFGI_STE_RANGE, 4.3.2; with Range 31 it is CFGI_ALL.
    pub const CFGI_STE_RANGE: u8 = 0x04;
    /// TLBI_EL2_ALL, 4.4.2
    pub const TLBI_EL2_ALL: u8 = 0x20;
    /// TLBI_S12_VMALL, 4.4.2
    pub const TLBI_S12_VMALL: u8 = 0x28;
    /// TLBI_S2_IPA, 4.4.3
    pub const TLBI_S2_IPA: u8 = 0x2a;
    /// TLBI_NSNH_ALL, 4.4.4
    pub const TLBI_NSNH_ALL: u8 = 0x30;
    /// CMD_SYNC, 4.7.3
    pub const SYNC: u8 = 0x46;
}

/// How a stage-2 range is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpaOperand {
    /// First address, granule aligned.
    pub ipa: u64,
    /// Only leaf entries were changed.
    pub leaf: bool,
    /// Level of the leaves, where known (1 to 3); 0 otherwise.
    pub ttl: u8,
    /// For a range: TG (1: 4K, 2: 16K, 3: 64K), NUM and SCALE, naming
    /// `(NUM + 1) << SCALE` granules. `None`: the one entry at `ipa`.
    pub range: Option<(u8, u8, u8)>,
}

/// A command in driver's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Forget a stream's entry; with `leaf` its level-1 descriptor may stay.
    CfgiSte(StreamId, bool),
    /// Forget all configuration.
    CfgiAll,
    /// Forget all EL2 translations.
    TlbiEl2All,
    /// Forget all translations of a VMID.
    TlbiS12Vmall(Vmid),
    /// Forget stage-2 translations of a VMID.
    TlbiS2Ipa(Vmid, IpaOperand),
    /// Forget all Non-secure EL1 and stage-2 translations.
    TlbiNsnhAll,
    /// Consumed when everything before it has completed (CS = SIG_NONE).
    Sync,
}

impl Command {
    /// The two words that go into the queue.
    pub const fn encode(&self) -> Words {
        match *self {
            Command::CfgiSte(stream, leaf) => [
                opcode::CFGI_STE as u64 | place(stream.0 as u64, 63, 32),
                leaf as u64,
            ],
            Command::CfgiAll => [opcode::CFGI_STE_RANGE as u64, 31],
            Command::TlbiEl2All => [opcode::TLBI_EL2_ALL as u64, 0],
            Command::TlbiS12Vmall(vmid) => [
                opcode::TLBI_S12_VMALL as u64 | place(vmid.0 as u64, 47, 32),
                0,
            ],
            Command::TlbiS2Ipa(vmid, operand) => encode_ipa(vmid, operand),
            Command::TlbiNsnhAll => [opcode::TLBI_NSNH_ALL as u64, 0],
            Command::Sync => [opcode::SYNC as u64, 0],
        }
    }
}

const fn encode_ipa(vmid: Vmid, operand: IpaOperand) -> Words {
    let mut low = opcode::TLBI_S2_IPA as u64 | place(vmid.0 as u64, 47, 32);
    let mut high = operand.ipa & place(u64::MAX, 51, 12)
        | place(operand.ttl as u64, 9, 8)
        | operand.leaf as u64;
    if let Some((tg, num, scale)) = operand.range {
        low |= place(num as u64, 16, 12) | place(scale as u64, 24, 20);
        high |= place(tg as u64, 11, 10);
    }
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_words() {
        let cases = [
            (
                Command::CfgiSte(StreamId(0x1234_5678), true),
                [0x1234_5678_0000_0003, 1],
            ),
            (Command::CfgiAll, [0x04, 0x1f]),
            (
                Command::TlbiS12Vmall(Vmid(0xabcd)),
                [0x0000_abcd_0000_0028, 0],
            ),
            (Command::TlbiNsnhAll, [0x30, 0]),
            (Command::Sync, [0x46, 0]),
            (
                Command::TlbiS2Ipa(
                    Vmid(3),
                    IpaOperand {
                        ipa: 0x8765_4000,
                        leaf: true,
                        ttl: 3,
                        range: Some((1, 31, 4)),
                    },
                ),
                [0x0000_0003_0041_f02a, 0x8765_4701],
            ),
        ];
        for (command, words) in cases {
            assert_eq!(command.encode(), words, "{command:?}");
        }
    }
}
