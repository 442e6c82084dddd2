//! Between memory and list registers, on the vCPU's own CPU: the most urgent
//! interrupts go to the list registers. `flush` comes the other way.

use super::bank::{Bank, Groups, take};
use super::flush::settle;
use super::types::bits;
use super::{Kick, ListRegisters, Lr, MAX_LRS, Maintenance, SPI_BASE, State, Vcpu, Version, Vgic};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Bits of `Vcpu::maintenance`.
pub(super) const NO_PENDING: u32 = 1;
pub(super) const NOT_PRESENT: u32 = 2;

/// The most urgent interrupts found, as `priority << 10 | intid`.
pub(super) struct Best {
    keys: [u32; MAX_LRS],
    len: usize,
    /// How many were offered.
    seen: usize,
}

impl Best {
    pub const fn new() -> Self {
        Self {
            keys: [0; MAX_LRS],
            len: 0,
            seen: 0,
        }
    }

    pub fn offer(&mut self, priority: u8, intid: u32) {
        self.seen = self.seen.saturating_add(1);
        let mut key = u32::from(priority) << 10 | intid & 0x3ff;
        for slot in self.keys.iter_mut().take(self.len) {
            if key < *slot {
                core::mem::swap(&mut key, slot);
            }
        }
        if let Some(slot) = self.keys.get_mut(self.len) {
            *slot = key;
            self.len = self.len.saturating_add(1);
        }
    }

    pub fn intids(&self) -> impl Iterator<Item = u32> {
        self.keys.iter().take(self.len).map(|key| key & 0x3ff)
    }
}

/// One interrupt on its way into a list register.
struct Load {
    lr: Lr,
    latched: bool,
    by_hand: bool,
}

impl Vgic {
    /// Fills the list registers from memory: the most urgent pending
    /// interrupt, then active ones, then more pending ones. Active before
    /// pending because their end must find them; one pending before all,
    /// because it may preempt.
    pub(super) fn refill<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) -> Kick {
        let groups = self.groups();
        let mut pending = Best::new();
        let mut active = Best::new();
        self.each_bank(state, |base, bank| {
            self.gather(vcpu, base, bank, groups, &mut pending, &mut active);
        });
        let mut kick = Kick::NONE;
        let mut next = 0_usize;
        let mut loaded = [0_usize; 2];
        let room = lrs.count().min(MAX_LRS);
        let all_fit = pending.seen.saturating_add(active.seen) <= room;
        state.latched.store(0, Relaxed);
        state.by_hand.store(0, Relaxed);
        let order = pending.intids().take(1).map(|i| (i, false));
        let order = order.chain(active.intids().map(|i| (i, true)));
        for (intid, is_active) in order.chain(pending.intids().skip(1).map(|i| (i, false))) {
            if next >= room {
                break;
            }
            let load = match is_active {
                true => self.load_active(vcpu, state, intid, all_fit, lrs),
                false => self.load_pending(vcpu, state, intid, &mut kick, lrs),
            };
            if let Some(n) = loaded.get_mut(usize::from(is_active)) {
                *n = n.saturating_add(1);
            }
            if let Some(load) = load {
                self.hold(vcpu, load.lr);
                put(state, next, &load, lrs);
                next = next.saturating_add(1);
            }
        }
        self.empty_hardware(state, lrs);
        let [pending_loaded, active_loaded] = loaded;
        let mut wanted = 0;
        if pending.seen > pending_loaded {
            wanted |= NO_PENDING;
        }
        if active.seen > active_loaded {
            wanted |= NOT_PRESENT;
        }
        choose_maintenance(state, wanted, lrs);
        kick
    }

    /// Whether an interrupt waits for `vcpu`, in a list register or in memory,
    /// whatever its priority: reason enough not to sleep on a trapped WFI.
    pub fn has_pending<L: ListRegisters>(&self, vcpu: usize, lrs: &L) -> bool {
        let Some(state) = self.vcpus.get(vcpu) else {
            return false;
        };
        let used = state.used.load(Relaxed);
        if bits(used).any(|index| lrs.read(index as usize).is_pending()) {
            return true;
        }
        let groups = self.groups();
        let mut found = false;
        self.each_bank(state, |base, bank| {
            let mut ready = bits(bank.deliverable(groups) & !bank.active.load(SeqCst));
            found |= ready.any(|bit| {
                base == 0 || bank.owner(bit) == 0 && self.target(bank, bit) == Some(vcpu)
            });
        });
        found
    }

    fn gather(
        &self,
        vcpu: usize,
        base: u32,
        bank: &Bank,
        groups: Groups,
        pending: &mut Best,
        active: &mut Best,
    ) {
        let in_progress = bank.active.load(SeqCst);
        let ready = bank.deliverable(groups);
        for bit in bits(in_progress | ready) {
            let is_active = in_progress.wrapping_shr(bit) & 1 != 0;
            if base != 0 {
                let owner = usize::from(bank.owner(bit));
                let mine = match is_active {
                    true => owner == vcpu.wrapping_add(1),
                    false => owner == 0 && self.target(bank, bit) == Some(vcpu),
                };
                if !mine {
                    continue;
                }
            }
            let list = if is_active {
                &mut *active
            } else {
                &mut *pending
            };
            list.offer(bank.priority(bit), base | bit);
        }
    }

    /// `may_repeat`: the list register may say "pending and active". Not while
    /// others wait in memory: it would be taken again before a more urgent one.
    fn load_active<L: ListRegisters>(
        &self,
        vcpu: usize,
        state: &Vcpu,
        intid: u32,
        may_repeat: bool,
        lrs: &L,
    ) -> Option<Load> {
        let (bank, bit) = self.locate(vcpu, intid)?;
        let mask = 1_u32.wrapping_shl(bit);
        let again = bank.deliverable(self.groups()) & mask != 0;
        let sgi_source = match self.version {
            Version::V2 => state.sgi_active_source.get(intid as usize),
            Version::V3 => None,
        };
        let line = bank.asserted() & mask != 0;
        let owed = bank.owed.load(SeqCst) & mask != 0;
        bank.forget_asked(mask);
        if take(&bank.active, mask) == 0 {
            // Another vCPU has just deactivated it (`ICACTIVER`).
            return None;
        }
        // Signalled again: say so in the list register if it can hold that,
        // else ask to be told when the guest is done with the first.
        let mine = intid < SPI_BASE || self.target(bank, bit) == Some(vcpu);
        let simple = may_repeat && mine && !line && !owed && sgi_source.is_none();
        let both = again && simple && take(&bank.latch, mask) != 0;
        let shown = if both {
            State::PendingActive
        } else {
            State::Active
        };
        let lr = self.lr(bank, bit, intid, shown);
        let lr = lr.with_source(sgi_source.map_or(0, |s| s.load(Relaxed)));
        let forward = !again && forwards(bank, mask, lrs);
        let lr = match bank.physical(bit).filter(|_| owed) {
            Some(physical) if forward && take(&bank.owed, mask) != 0 => lr.with_physical(physical),
            _ => lr.with_eoi(again && !both || owed),
        };
        Some(Load {
            lr,
            latched: both,
            by_hand: owed && lr.physical().is_none(),
        })
    }

    fn load_pending<L: ListRegisters>(
        &self,
        vcpu: usize,
        state: &Vcpu,
        intid: u32,
        kick: &mut Kick,
        lrs: &mut L,
    ) -> Option<Load> {
        let (bank, bit) = self.locate(vcpu, intid)?;
        let mask = 1_u32.wrapping_shl(bit);
        if intid >= SPI_BASE {
            if !bank.claim(bit, vcpu) {
                return None;
            }
            // Whoever changed something before the claim poked the previous
            // owner or nobody; whoever does from here on pokes this vCPU.
            let still = bank.deliverable(self.groups()) & mask != 0;
            if !still || self.target(bank, bit) != Some(vcpu) {
                *kick |= self.let_go(vcpu, intid, bank, bit);
                return None;
            }
        } else if withdrawn(bank, bit, lrs) {
            take(&bank.latch, mask);
            settle(bank, bit, lrs);
        }
        bank.forget_asked(mask);
        let latched = take(&bank.latch, mask) != 0;
        let line = bank.asserted() & mask != 0;
        if !latched && !line {
            *kick |= self.let_go(vcpu, intid, bank, bit);
            return None;
        }
        let mut lr = self.lr(bank, bit, intid, State::Pending);
        let mut more = line;
        if self.version == Version::V2
            && let Some(sources) = state.sgi_sources.get(intid as usize)
        {
            let waiting = sources.load(SeqCst);
            let source = waiting.trailing_zeros();
            if source >= 8 {
                return None;
            }
            let left =
                sources.fetch_and(!1_u8.wrapping_shl(source), SeqCst) & waiting.wrapping_sub(1);
            if left != 0 {
                bank.latch.fetch_or(mask, SeqCst);
                more = true;
            }
            lr = lr.with_source(source as u8);
        }
        let owed = bank.owed.load(SeqCst) & mask != 0;
        let forward = !more && forwards(bank, mask, lrs);
        let lr = match bank.physical(bit).filter(|_| owed) {
            Some(physical) if forward && take(&bank.owed, mask) != 0 => lr.with_physical(physical),
            _ => lr.with_eoi(more || owed),
        };
        Some(Load {
            lr,
            latched,
            by_hand: owed && lr.physical().is_none(),
        })
    }

    fn lr(&self, bank: &Bank, bit: u32, intid: u32, state: State) -> Lr {
        let group1 = bank.group.load(Relaxed).wrapping_shr(bit) & 1 != 0;
        Lr::new(intid, state)
            .with_priority(bank.priority(bit))
            .with_group1(group1)
    }

    /// Notes for readers what a list register is given.
    fn hold(&self, vcpu: usize, lr: Lr) {
        let Some((bank, bit)) = self.locate(vcpu, lr.intid()) else {
            return;
        };
        let mask = 1_u32.wrapping_shl(bit);
        if lr.is_pending() {
            bank.held_pending.fetch_or(mask, SeqCst);
        }
        if lr.is_active() {
            bank.held_active.fetch_or(mask, SeqCst);
        }
    }

    /// Clears what the last fold left behind in registers not refilled.
    pub(super) fn empty_hardware<L: ListRegisters>(&self, state: &Vcpu, lrs: &mut L) {
        for index in bits(state.stale.swap(0, Relaxed) & !state.used.load(Relaxed)) {
            lrs.write(index as usize, Lr::EMPTY);
        }
    }
}

/// Whether private interrupt `bit` came from a physical line that has fallen
/// since, without the guest having taken it: then it is not pending any more,
/// and whoever raises the line again must find it inactive.
fn withdrawn<L: ListRegisters>(bank: &Bank, bit: u32, lrs: &L) -> bool {
    let mask = 1_u32.wrapping_shl(bit);
    bank.owed.load(SeqCst) & !bank.edge.load(SeqCst) & mask != 0
        && bank
            .physical(bit)
            .is_some_and(|physical| !lrs.is_asserted(physical))
}

/// Whether hardware may deactivate the physical side of an interrupt.
fn forwards<L: ListRegisters>(bank: &Bank, mask: u32, lrs: &L) -> bool {
    bank.edge.load(SeqCst) & mask != 0 || lrs.signals_again()
}

fn put<L: ListRegisters>(state: &Vcpu, index: usize, load: &Load, lrs: &mut L) {
    let bit = 1_u32.wrapping_shl(index as u32);
    state.used.fetch_or(bit, Relaxed);
    if load.latched {
        state.latched.fetch_or(bit, Relaxed);
    }
    if load.by_hand {
        state.by_hand.fetch_or(bit, Relaxed);
    }
    if let Some(shadow) = state.shadow.get(index) {
        shadow.store(load.lr.0, Relaxed);
    }
    lrs.write(index, load.lr);
}

pub(super) fn choose_maintenance<L: ListRegisters>(state: &Vcpu, wanted: u32, lrs: &mut L) {
    let before = state.maintenance.load(Relaxed);
    if before == wanted {
        return;
    }
    if wanted & !before & NOT_PRESENT != 0 {
        // Nothing was set aside until now: any count is the guest's mistake.
        lrs.take_eoi_count();
    }
    state.maintenance.store(wanted, Relaxed);
    lrs.set_maintenance(Maintenance {
        no_pending: wanted & NO_PENDING != 0,
        entry_not_present: wanted & NOT_PRESENT != 0,
    });
}
