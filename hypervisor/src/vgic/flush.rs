//! Between memory and list registers, on the vCPU's own CPU: from there to
//! here. `refill` goes the other way.
//!
//! An interrupt whose state is in a list register has no pending latch and no
//! active bit in memory.

use super::bank::{Bank, take};
use super::refill::{Best, NOT_PRESENT};
use super::types::bits;
use super::{Kick, ListRegisters, Lr, SPI_BASE, State, Vcpu, Version, Vgic};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

impl Vgic {
    #[inline(never)]
    pub(super) fn flush<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) -> Kick {
        // Cleared before anything is looked at: what changes from here on sets
        // it again.
        state.work.swap(false, SeqCst);
        let kick = Kick(state.kick_later.swap(0, SeqCst)) | self.fold(vcpu, state, lrs);
        kick | self.refill(vcpu, state, lrs)
    }

    /// Takes all list registers' contents into memory. The hardware registers
    /// keep their stale values until [`Vgic::refill`] or
    /// [`Vgic::empty_hardware`].
    pub(super) fn fold<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) -> Kick {
        let mut kick = Kick::NONE;
        // First, while `active` still means "active and in no list register".
        if state.maintenance.load(Relaxed) & NOT_PRESENT != 0 {
            for _ in 0..lrs.take_eoi_count() {
                kick |= self.end_set_aside(vcpu, state, lrs);
            }
        }
        let used = state.used.load(Relaxed);
        let empty = if used == 0 { 0 } else { lrs.empty() };
        for index in bits(used) {
            let Some(wrote) = state
                .shadow
                .get(index as usize)
                .map(|s| Lr(s.load(Relaxed)))
            else {
                continue;
            };
            let now = if empty.wrapping_shr(index) & 1 != 0 {
                Lr::EMPTY
            } else {
                lrs.read(index as usize)
            };
            kick |= self.fold_one(vcpu, state, index, wrote, now, lrs);
        }
        state.used.store(0, Relaxed);
        state.stale.fetch_or(used & !empty, Relaxed);
        state.folds.fetch_add(1, SeqCst);
        kick
    }

    fn fold_one<L: ListRegisters>(
        &self,
        vcpu: usize,
        state: &Vcpu,
        index: u32,
        wrote: Lr,
        now: Lr,
        lrs: &mut L,
    ) -> Kick {
        let intid = wrote.intid();
        let Some((bank, bit)) = self.locate(vcpu, intid) else {
            return Kick::NONE;
        };
        let mask = 1_u32.wrapping_shl(bit);
        let mut pending = now.is_pending();
        let mut active = now.is_active();
        take(&bank.held_pending, mask);
        take(&bank.held_active, mask);
        if take(&bank.ask_clear_pending, mask) != 0 {
            pending = false;
        }
        if take(&bank.ask_clear_active, mask) != 0 {
            active = false;
        }
        if take(&bank.ask_set_active, mask) != 0 {
            active = true;
        }
        let was = |word: u32| word.wrapping_shr(index) & 1 != 0;
        if pending && was(state.latched.load(Relaxed)) {
            self.return_latch(state, intid, now, bank, mask);
        }
        if let Some(physical) = wrote.physical() {
            // Invalid: the guest's deactivation has deactivated both.
            if pending || active {
                bank.owed.fetch_or(mask, SeqCst);
            } else if now.state() != State::Invalid {
                lrs.deactivate(physical);
            }
        }
        // Over, and no other signal waits that the debt could belong to.
        let again = bank.latch.load(SeqCst) & mask != 0;
        if !pending && !active && (!again || was(state.by_hand.load(Relaxed))) {
            settle(bank, bit, lrs);
        }
        if active {
            bank.active.fetch_or(mask, SeqCst);
            if let Some(source) = state.sgi_active_source.get(intid as usize) {
                source.store(wrote.source(), Relaxed);
            }
            return Kick::NONE;
        }
        self.let_go(vcpu, intid, bank, bit)
    }

    /// Puts back the pending state that a list register was given and the
    /// guest did not acknowledge.
    fn return_latch(&self, state: &Vcpu, intid: u32, now: Lr, bank: &Bank, mask: u32) {
        if self.version == Version::V2
            && let Some(sources) = state.sgi_sources.get(intid as usize)
        {
            sources.fetch_or(1_u8.wrapping_shl(now.source().into()), SeqCst);
        }
        bank.latch.fetch_or(mask, SeqCst);
    }

    /// An interrupt of `vcpu` is neither in a list register nor active: an SPI
    /// is free for any vCPU again.
    pub(super) fn let_go(&self, vcpu: usize, intid: u32, bank: &Bank, bit: u32) -> Kick {
        if intid < SPI_BASE {
            return Kick::NONE;
        }
        bank.release(bit);
        let mask = 1_u32.wrapping_shl(bit);
        // The caller refills this vCPU's list registers itself.
        if bank.deliverable(self.groups()) & mask == 0 {
            return Kick::NONE;
        }
        match self.target(bank, bit) {
            Some(target) if target != vcpu => self.poke(target),
            _ => Kick::NONE,
        }
    }

    /// The guest deactivated an interrupt that had no list register: it can
    /// only have been the most urgent of those it has active.
    fn end_set_aside<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) -> Kick {
        let mut best = Best::new();
        self.each_bank(state, |base, bank| {
            for bit in bits(bank.active.load(SeqCst)) {
                if base == 0 || usize::from(bank.owner(bit)) == vcpu.wrapping_add(1) {
                    best.offer(bank.priority(bit), base | bit);
                }
            }
        });
        let Some(intid) = best.intids().next() else {
            return Kick::NONE;
        };
        let Some((bank, bit)) = self.locate(vcpu, intid) else {
            return Kick::NONE;
        };
        take(&bank.active, 1_u32.wrapping_shl(bit));
        settle(bank, bit, lrs);
        self.let_go(vcpu, intid, bank, bit)
    }

    pub(super) fn each_bank(&self, state: &Vcpu, mut visit: impl FnMut(u32, &Bank)) {
        visit(0, &state.bank);
        for (bank, word) in self.spis.iter().zip(1_u32..) {
            visit(word.wrapping_shl(5), bank);
        }
    }
}

/// Deactivates the physical interrupt behind `bit`, if that is still owed.
pub(super) fn settle<L: ListRegisters>(bank: &Bank, bit: u32, lrs: &mut L) {
    if let Some(physical) = bank.physical(bit)
        && take(&bank.owed, 1_u32.wrapping_shl(bit)) != 0
    {
        lrs.deactivate(physical);
    }
}
