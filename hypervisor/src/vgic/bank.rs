//! State of 32 interrupts: a private bank of one vCPU or a word of SPIs.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// `GICD_IROUTER.Interrupt_Routing_Mode`: any CPU will do.
pub(super) const ROUTE_ANY: u64 = 1 << 31;

/// Index in `Vgic::spis` of the bank that holds a distributor's register in
/// 0x080 to 0xcff; `None`: the private interrupts' own. One word of bits covers
/// 32 interrupts, a word of bytes four, a word of two-bit fields sixteen.
#[inline(always)]
pub(super) const fn spi_word(offset: usize) -> Option<usize> {
    let word = match offset {
        ..0x400 => (offset & 0x7f) >> 2,
        0x400..0xc00 => (offset & 0x3ff) >> 5,
        _ => (offset & 0xff) >> 3,
    };
    word.checked_sub(1)
}

/// One bit, or one field, per interrupt. Everything is atomic: guest accesses
/// from several CPUs, device emulation and physical interrupts all write here
/// without a lock. `docs/interrupts.md` argues why nothing gets lost.
#[derive(Debug, Default)]
pub(super) struct Bank {
    /// Group 1 rather than group 0.
    pub group: AtomicU32,
    /// Enabled by the guest.
    pub enable: AtomicU32,
    /// Edge-triggered (`GICD_ICFGR` bit 2n+1).
    pub edge: AtomicU32,
    /// Pending by an edge, an SGI, a physical interrupt or `ISPENDR`.
    pub latch: AtomicU32,
    /// Software input line is high.
    pub level: AtomicU32,
    /// Active and not (or no longer) in a list register.
    pub active: AtomicU32,
    /// In a list register, and pending when it was put there. Together with
    /// `latch` this is what a reader is shown.
    pub held_pending: AtomicU32,
    /// In a list register, and active when it was put there.
    pub held_active: AtomicU32,
    /// Bound to a physical interrupt, in `physical`.
    pub bound: AtomicU32,
    /// Somebody wants to know when the guest routes it elsewhere.
    pub watched: AtomicU32,
    /// The bound physical interrupt is active, and deactivating it is still
    /// to be handed to a list register or done by hand.
    pub owed: AtomicU32,
    /// Guest asked to clear the pending state of an interrupt that sits in
    /// another CPU's list register.
    pub ask_clear_pending: AtomicU32,
    /// Likewise for clearing the active state.
    pub ask_clear_active: AtomicU32,
    /// Likewise for setting the active state.
    pub ask_set_active: AtomicU32,
    /// `GICD_IPRIORITYR`: four to a word.
    pub priority: [AtomicU32; 8],
    /// GICv3 `GICD_IROUTER`; GICv2 `GICD_ITARGETSR` in the low byte.
    pub route: [AtomicU64; 32],
    /// SPIs: 0 = free, n + 1 = in vCPU n's hands (a list register, or active).
    pub owner: [AtomicU8; 32],
    /// Physical interrupt ids, valid where `bound`.
    pub physical: [AtomicU32; 32],
}

impl Bank {
    /// Priority of interrupt `bit`; lower is more urgent.
    pub fn priority(&self, bit: u32) -> u8 {
        let word = self
            .priority
            .get((bit >> 2) as usize)
            .map_or(0, |w| w.load(Relaxed));
        (word >> ((bit & 3) << 3)) as u8
    }

    /// Physical interrupt bound to `bit`.
    pub fn physical(&self, bit: u32) -> Option<u32> {
        let bound = self.bound.load(Relaxed) >> (bit & 31) & 1 != 0;
        self.physical
            .get(bit as usize)
            .filter(|_| bound)
            .map(|p| p.load(Relaxed))
    }

    /// Binds `bit` to a physical interrupt.
    pub fn bind(&self, bit: u32, physical: u32) {
        if let Some(slot) = self.physical.get(bit as usize) {
            slot.store(physical, Relaxed);
            self.bound.fetch_or(1 << (bit & 31), SeqCst);
        }
    }

    /// Level-sensitive interrupts whose line is high.
    pub fn asserted(&self) -> u32 {
        self.level.load(SeqCst) & !self.edge.load(SeqCst)
    }

    /// Pending interrupts, enabled or not.
    pub fn pending(&self) -> u32 {
        self.latch.load(SeqCst) | self.asserted()
    }

    /// Pending and enabled interrupts of the enabled groups.
    pub fn deliverable(&self, groups: Groups) -> u32 {
        self.pending() & self.enable.load(SeqCst) & self.open(groups)
    }

    /// Interrupts of the enabled groups.
    pub fn open(&self, groups: Groups) -> u32 {
        let group = self.group.load(SeqCst);
        group & groups.one | !group & groups.zero
    }

    /// Interrupts that stand in a list register of some CPU.
    pub fn held(&self) -> u32 {
        self.held_pending.load(SeqCst) | self.held_active.load(SeqCst)
    }

    /// Forgets requests to change what a list register says about `mask`; for
    /// before it is given one. What was asked of an earlier occupant must not
    /// befall this one.
    pub fn forget_asked(&self, mask: u32) {
        for asked in [
            &self.ask_clear_pending,
            &self.ask_clear_active,
            &self.ask_set_active,
        ] {
            take(asked, mask);
        }
    }

    /// Who has SPI `bit` in hand: 0 nobody, n + 1 vCPU n.
    pub fn owner(&self, bit: u32) -> u8 {
        self.owner.get(bit as usize).map_or(0, |o| o.load(SeqCst))
    }

    /// Takes SPI `bit` into hand for `vcpu`, if nobody has it.
    pub fn claim(&self, bit: u32, vcpu: usize) -> bool {
        let mine = (vcpu as u8).wrapping_add(1);
        let slot = self.owner.get(bit as usize);
        slot.is_some_and(|o| o.compare_exchange(0, mine, SeqCst, SeqCst).is_ok())
    }

    /// Lets go of SPI `bit`.
    pub fn release(&self, bit: u32) {
        if let Some(owner) = self.owner.get(bit as usize) {
            owner.store(0, SeqCst);
        }
    }

    /// Back to what a guest finds at start. Bindings and input lines stay,
    /// they belong to the outside.
    pub fn reset(&self, group: u32, edge: u32, route: u64) {
        self.group.store(group, Relaxed);
        self.edge.store(edge, Relaxed);
        for word in [
            &self.enable,
            &self.latch,
            &self.active,
            &self.held_pending,
            &self.held_active,
            &self.owed,
            &self.ask_clear_pending,
            &self.ask_clear_active,
            &self.ask_set_active,
        ] {
            word.store(0, SeqCst);
        }
        self.priority.iter().for_each(|w| w.store(0, Relaxed));
        self.route.iter().for_each(|r| r.store(route, Relaxed));
        self.owner.iter().for_each(|o| o.store(0, SeqCst));
    }
}

/// `GICD_CTLR` group enables as masks to apply to [`Bank::group`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups {
    /// All ones if group 0 is enabled.
    pub zero: u32,
    /// All ones if group 1 is enabled.
    pub one: u32,
}

impl Groups {
    /// From `GICD_CTLR` (both versions: bit 0 group 0, bit 1 group 1).
    pub const fn from_ctlr(ctlr: u32) -> Self {
        Self {
            zero: if ctlr & 1 != 0 { u32::MAX } else { 0 },
            one: if ctlr & 2 != 0 { u32::MAX } else { 0 },
        }
    }
}

/// Clears the bits `mask` of `word`; which of them were set.
pub(super) fn take(word: &AtomicU32, mask: u32) -> u32 {
    if word.load(SeqCst) & mask == 0 {
        return 0;
    }
    word.fetch_and(!mask, SeqCst) & mask
}
