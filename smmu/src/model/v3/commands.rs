//! The command queue's consumer.

use super::Inner;
use crate::v3::spec::bits;
use crate::v3::spec::command::opcode;
use crate::v3::spec::regs::{cmdq_cons, cr0, gerror};

impl Inner {
    fn command_error_active(&self) -> bool {
        (self.state.gerror ^ self.state.gerrorn) & gerror::CMDQ != 0
    }

    /// Consumes a few commands.
    pub(super) fn progress(&mut self) {
        for _ in 0..self.nature.rate {
            let on = self.state.cr0 & cr0::CMDQEN != 0;
            if !on || self.command_error_active() || !self.consume() {
                return;
            }
        }
    }

    /// One command, or false if there is none or it is not done.
    fn consume(&mut self) -> bool {
        let log2 = self.state.cmdq_base as u32 & 31;
        let cons = self.state.cmdq_cons & 0xf_ffff;
        if cons == self.state.cmdq_prod & 0xf_ffff {
            return false;
        }
        let index = u64::from(cons & ((1 << log2) - 1));
        let at = (self.state.cmdq_base & 0x000f_ffff_ffff_ffe0) + index * 16;
        let words = [self.ram.device_load(at), self.ram.device_load(at + 8)];
        if let Some(reason) = self.fail_command.take() {
            self.stop_on(reason);
            return false;
        }
        if !self.legal(words) {
            self.stop_on(cmdq_cons::CERROR_ILL);
            return false;
        }
        if words[0] as u8 == opcode::SYNC {
            if !self.sync() {
                return false;
            }
        } else {
            self.pending.push(words);
        }
        self.state.cmdq_cons = (cons + 1) & ((2 << log2) - 1);
        true
    }

    fn stop_on(&mut self, reason: u8) {
        self.state.cmdq_cons = self.state.cmdq_cons & 0xf_ffff | u32::from(reason) << 24;
        self.global_error(gerror::CMDQ);
        // What came before need not have happened either.
        self.pending.clear();
    }

    fn legal(&self, [low, high]: [u64; 2]) -> bool {
        match low as u8 {
            opcode::CFGI_STE | opcode::TLBI_S12_VMALL | opcode::TLBI_NSNH_ALL | opcode::SYNC => {
                true
            }
            opcode::CFGI_STE_RANGE => bits(high, 4, 0) == 31,
            opcode::TLBI_S2_IPA => {
                let ranged = bits(high, 11, 10) != 0;
                let fields = bits(low, 16, 12) | bits(low, 24, 20);
                let reserved = ranged && fields == 0 && bits(high, 9, 8) == 0;
                !reserved && (self.nature.ranges || (!ranged && fields == 0))
            }
            _ => false,
        }
    }

    /// True when it has completed.
    fn sync(&mut self) -> bool {
        if !self.syncs {
            return false;
        }
        let looks = self.nature.sync_looks(&self.tbu_clocked);
        match &mut self.sync_wait {
            None if looks > 0 => {
                self.sync_wait = Some(looks);
                return false;
            }
            Some(left) if *left > 1 => {
                *left -= 1;
                return false;
            }
            _ => self.sync_wait = None,
        }
        // As late as may be: just before completion.
        self.prefetch();
        for command in std::mem::take(&mut self.pending) {
            self.apply(command);
        }
        self.land();
        true
    }

    fn apply(&mut self, [low, high]: [u64; 2]) {
        match low as u8 {
            opcode::TLBI_NSNH_ALL => self.bindings.clear(),
            opcode::TLBI_S12_VMALL => {
                self.bindings.remove(&(bits(low, 47, 32) as u16));
            }
            _ => {}
        }
        let clocked = self.tbu_clocked.clone();
        let live = self.tbus.iter_mut().zip(clocked);
        let hearing = live.filter(|(_, on)| *on).map(|(cache, _)| cache);
        for cache in hearing.chain(core::iter::once(&mut self.tcu)) {
            let vmid = bits(low, 47, 32) as u16;
            match low as u8 {
                opcode::CFGI_STE => {
                    let stream = bits(low, 63, 32) as u32;
                    cache.forget_configuration(Some(stream), high & 1 != 0);
                }
                opcode::CFGI_STE_RANGE => cache.forget_configuration(None, false),
                opcode::TLBI_NSNH_ALL => cache.tlb.forget_all(),
                opcode::TLBI_S12_VMALL => cache.tlb.forget_tag(vmid),
                opcode::TLBI_S2_IPA => {
                    let address = high & 0x000f_ffff_ffff_f000;
                    let granule = [12u32, 12, 14, 16][bits(high, 11, 10) as usize];
                    let count = (bits(low, 16, 12) + 1) << bits(low, 24, 20);
                    let bytes = if bits(high, 11, 10) == 0 {
                        1
                    } else {
                        count << granule
                    };
                    cache.tlb.forget_range(vmid, address, bytes, high & 1 != 0);
                }
                _ => {}
            }
        }
    }
}
