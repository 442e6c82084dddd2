//! Registers of SMMUv1 and SMMUv2 (Arm IHI 0062, chapters 9 to 16). Only
//! layouts; no access happens here.

/// A page of the register window. Global space 0 and 1 come first; the
/// context banks fill the second half (IHI 0062, 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Global register space 0.
    Gr0,
    /// Global register space 1.
    Gr1,
    /// The context bank of this number.
    Bank(u16),
}

/// Global register space 0 (IHI 0062, 10.5).
pub mod gr0 {
    /// Configuration (non-secure sCR0).
    pub const CR0: usize = 0x0;
    /// Auxiliary configuration (sACR), implementation defined.
    pub const ACR: usize = 0x10;
    /// Identification 0; the others follow.
    pub const ID0: usize = 0x20;
    /// Identification 1.
    pub const ID1: usize = 0x24;
    /// Identification 2.
    pub const ID2: usize = 0x28;
    /// Identification 7: revision.
    pub const ID7: usize = 0x3c;
    /// Global fault address, 64 bits.
    pub const GFAR: usize = 0x40;
    /// Global fault status; written bits clear.
    pub const GFSR: usize = 0x48;
    /// Global fault syndrome 0.
    pub const GFSYNR0: usize = 0x50;
    /// Global fault syndrome 1: the stream.
    pub const GFSYNR1: usize = 0x54;
    /// Invalidate a VMID.
    pub const TLBIVMID: usize = 0x64;
    /// Invalidate all that is neither secure nor hypervisor's.
    pub const TLBIALLNSNH: usize = 0x68;
    /// Invalidate all that is the hypervisor's.
    pub const TLBIALLH: usize = 0x6c;
    /// Start a global sync.
    pub const TLBGSYNC: usize = 0x70;
    /// Bit 0: a global sync is under way.
    pub const TLBGSTATUS: usize = 0x74;

    /// Stream match register `n`.
    pub const fn smr(n: u16) -> usize {
        0x800usize.wrapping_add((n as usize).wrapping_mul(4))
    }

    /// Stream-to-context register `n`.
    pub const fn s2cr(n: u16) -> usize {
        0xc00usize.wrapping_add((n as usize).wrapping_mul(4))
    }
}

/// Fields of sCR0 (IHI 0062, 10.6.1).
pub mod cr0 {
    /// Clients are not translated at all: everything passes. Never set here.
    pub const CLIENTPD: u32 = 1 << 0;
    /// Global faults abort the transaction.
    pub const GFRE: u32 = 1 << 1;
    /// Global faults interrupt.
    pub const GFIE: u32 = 1 << 2;
    /// Extended, 16-bit StreamIDs.
    pub const EXIDENABLE: u32 = 1 << 3;
    /// Configuration faults abort the access.
    pub const GCFGFRE: u32 = 1 << 4;
    /// Configuration faults interrupt.
    pub const GCFGFIE: u32 = 1 << 5;
    /// Unidentified streams fault; without it they pass.
    pub const USFCFG: u32 = 1 << 10;
    /// VMIDs are private to this SMMU.
    pub const VMIDPNE: u32 = 1 << 11;
    /// TLB maintenance is private: broadcasts are not listened to.
    pub const PTM: u32 = 1 << 12;
    /// Streams that match twice fault.
    pub const SMCFCFG: u32 = 1 << 21;
    /// VMIDs have 16 bits.
    pub const VMID16EN: u32 = 1 << 31;
}

/// SMR and S2CR (IHI 0062, 10.6.15 and 10.6.16).
pub mod stream {
    /// SMR: the entry is valid; without extended StreamIDs.
    pub const VALID: u32 = 1 << 31;
    /// S2CR: the entry is valid; with extended StreamIDs.
    pub const EXIDVALID: u32 = 1 << 10;
    /// S2CR.TYPE, in place.
    pub const TYPE: u32 = 0b11 << 16;
    /// Translate by bank CBNDX.
    pub const TRANSLATE: u32 = 0 << 16;
    /// Pass untranslated.
    pub const BYPASS: u32 = 1 << 16;
    /// S2CR.CBNDX of an entry that needs no bank.
    pub const NO_BANK: u32 = 0xff;
    /// Terminate.
    pub const FAULT: u32 = 2 << 16;
}

/// sGFSR (IHI 0062, 10.6.6).
pub mod gfsr {
    /// Invalid context: an entry of type fault.
    pub const ICF: u32 = 1 << 0;
    /// Unidentified stream.
    pub const USF: u32 = 1 << 1;
    /// Two entries match.
    pub const SMCF: u32 = 1 << 2;
    /// More than one fault.
    pub const MULTI: u32 = 1 << 31;
    /// The bits that say what happened.
    pub const ALL: u32 = 0xff;
}

/// Global register space 1 (IHI 0062, chapter 11).
pub mod gr1 {
    /// What bank `n` is for.
    pub const fn cbar(n: u16) -> usize {
        (n as usize).wrapping_mul(4)
    }
    /// The stream of bank `n`'s fault.
    pub const fn cbfrsynra(n: u16) -> usize {
        0x400usize.wrapping_add((n as usize).wrapping_mul(4))
    }
    /// More of what bank `n` is for; from SMMUv2 on.
    pub const fn cba2r(n: u16) -> usize {
        0x800usize.wrapping_add((n as usize).wrapping_mul(4))
    }
    /// CBAR.TYPE: stage 2 only.
    pub const CBAR_STAGE2: u32 = 0 << 16;
    /// CBAR.TYPE: stage 1 with stage-2 bypass.
    pub const CBAR_STAGE1: u32 = 1 << 16;
    /// CBA2R.VA64: descriptors and registers of AArch64.
    pub const CBA2R_VA64: u32 = 1;
}

/// A context bank (IHI 0062, chapter 16).
pub mod bank {
    /// Control.
    pub const SCTLR: usize = 0x0;
    /// Auxiliary control, implementation defined.
    pub const ACTLR: usize = 0x4;
    /// Ends a stall.
    pub const RESUME: usize = 0x8;
    /// Table base, 64 bits.
    pub const TTBR0: usize = 0x20;
    /// Translation control.
    pub const TCR: usize = 0x30;
    /// Fault status; written bits clear.
    pub const FSR: usize = 0x58;
    /// Fault address, 64 bits.
    pub const FAR: usize = 0x60;
    /// Fault syndrome.
    pub const FSYNR0: usize = 0x68;
    /// Intermediate address of a fault, 64 bits.
    pub const IPAFAR: usize = 0x70;
    /// Invalidate by intermediate address (SMMUv2).
    pub const TLBIIPAS2: usize = 0x630;
    /// As before, last level only (SMMUv2).
    pub const TLBIIPAS2L: usize = 0x638;
    /// Start a sync of this bank.
    pub const TLBSYNC: usize = 0x7f0;
    /// Bit 0: a sync of this bank is under way.
    pub const TLBSTATUS: usize = 0x7f4;

    /// SCTLR.M: translate.
    pub const M: u32 = 1 << 0;
    /// SCTLR.TRE, .AFE: as the long descriptor format wants.
    pub const TRE_AFE: u32 = 0b110;
    /// SCTLR.AFFD: no access flag faults.
    pub const AFFD: u32 = 1 << 3;
    /// SCTLR.CFRE: context faults abort the transaction.
    pub const CFRE: u32 = 1 << 5;
    /// SCTLR.CFIE: context faults interrupt.
    pub const CFIE: u32 = 1 << 6;
    /// SCTLR.HUPCF: others go on while a fault is outstanding.
    pub const HUPCF: u32 = 1 << 8;

    /// RESUME: terminate what stalls.
    pub const TERMINATE: u32 = 1;

    /// FSR.TF: translation.
    pub const TF: u32 = 1 << 1;
    /// FSR.AFF: access flag.
    pub const AFF: u32 = 1 << 2;
    /// FSR.PF: permission.
    pub const PF: u32 = 1 << 3;
    /// FSR.EF: external.
    pub const EF: u32 = 1 << 4;
    /// FSR.TLBMCF: TLB conflict.
    pub const TLBMCF: u32 = 1 << 5;
    /// FSR.ASF: address size.
    pub const ASF: u32 = 1 << 7;
    /// FSR.SS: the transaction stalls.
    pub const SS: u32 = 1 << 30;
    /// FSR.MULTI: more than one fault.
    pub const MULTI: u32 = 1 << 31;
    /// The bits that say what happened.
    pub const FAULTS: u32 = 0x1fe;
    /// FSYNR0.WNR: a write.
    pub const WNR: u32 = 1 << 4;
}

/// The bits `high..=low` of a register.
pub const fn bits(value: u32, high: u32, low: u32) -> u32 {
    let width = high.wrapping_sub(low).wrapping_add(1);
    let mask = (1u64.wrapping_shl(width)).wrapping_sub(1) as u32;
    value.wrapping_shr(low) & mask
}
