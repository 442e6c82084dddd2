//! Software-generated interrupts.

use super::types::bits;
use super::{Kick, Vgic};
use core::sync::atomic::Ordering::SeqCst;

/// Which system register of a GICv3 the guest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SgiKind {
    /// `ICC_SGI1R_EL1`: reaches targets that have this SGI in group 1.
    Group1,
    /// `ICC_SGI0R_EL1`: reaches targets that have it in group 0.
    Group0,
    /// `ICC_ASGI1R_EL1`: names the other security state's group 1, which a VM
    /// has not; reaches nobody.
    Alias,
}

impl Vgic {
    /// GICv3: a write of `value` to one of the SGI registers by `vcpu`
    /// (IHI 0069, 12.2.20 `ICC_SGI1R_EL1`).
    pub fn sgi(&self, vcpu: usize, kind: SgiKind, value: u64) -> Kick {
        let want_group1 = match kind {
            SgiKind::Group1 => true,
            SgiKind::Group0 => false,
            SgiKind::Alias => return Kick::NONE,
        };
        let intid = (value >> 24 & 0xf) as u32;
        let mask = 1_u32.wrapping_shl(intid);
        let mut kick = Kick::NONE;
        for target in bits(self.sgi_targets(vcpu, value)) {
            let Some(state) = self.vcpus.get(target as usize) else {
                break;
            };
            if (state.bank.group.load(SeqCst) & mask != 0) == want_group1 {
                state.bank.latch.fetch_or(mask, SeqCst);
                kick |= self.offer(target as usize, intid, &state.bank, intid);
            }
        }
        kick
    }

    /// The vCPUs named by an SGI register value.
    fn sgi_targets(&self, vcpu: usize, value: u64) -> u32 {
        const IRM: u64 = 1 << 40;
        /// Aff3 55:48, RS 47:44, Aff2 39:32, Aff1 23:16: all zero for the one
        /// cluster there is. RS counts because GICD_TYPER.RSS is 0.
        const ELSEWHERE: u64 = 0xff << 48 | 0xf << 44 | 0xff << 32 | 0xff << 16;
        if value & IRM != 0 {
            return self.present() & !Kick::one(vcpu).0;
        }
        if value & ELSEWHERE != 0 {
            return 0;
        }
        value as u32 & 0xffff & self.present()
    }

    /// GICv2: a write to `GICD_SGIR` by `vcpu` (IHI 0048, 4.3.15).
    pub(super) fn sgir(&self, vcpu: usize, value: u32) -> Kick {
        let me = Kick::one(vcpu).0;
        let targets = match value >> 24 & 3 {
            0 => value >> 16 & 0xff,
            1 => self.present() & !me,
            2 => me,
            _ => 0,
        };
        let intid = value & 0xf;
        let mut kick = Kick::NONE;
        for target in bits(targets & self.present()) {
            kick |= self.send_v2(target as usize, intid, me as u8);
        }
        kick
    }

    /// Makes SGI `intid` pending at `target`, from each CPU in `sources`.
    pub(super) fn send_v2(&self, target: usize, intid: u32, sources: u8) -> Kick {
        let Some(state) = self.vcpus.get(target) else {
            return Kick::NONE;
        };
        let Some(slot) = state
            .sgi_sources
            .get(intid as usize)
            .filter(|_| sources != 0)
        else {
            return Kick::NONE;
        };
        // Senders first: who takes the latch must find at least one.
        slot.fetch_or(sources, SeqCst);
        state.bank.latch.fetch_or(1_u32.wrapping_shl(intid), SeqCst);
        self.offer(target, intid, &state.bank, intid)
    }
}
