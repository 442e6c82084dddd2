//! Register writes.

use super::bank::{Bank, ROUTE_ANY, spi_word, take};
use super::flush::settle;
use super::read::{REDISTRIBUTOR_MASK, REDISTRIBUTOR_SHIFT, Whose};
use super::types::bits;
use super::{Effects, HwChanges, Kick, ListRegisters, Region, SPI_BASE, Version, Vgic};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A write to the part of a register that one bank holds.
struct Write<'a> {
    vcpu: usize,
    bank: &'a Bank,
    whose: Whose,
    offset: usize,
    size: usize,
    value: u64,
}

impl Vgic {
    /// A trapped write of the low `size` bytes (1, 2, 4 or 8) of `value` by
    /// `vcpu` at `offset` from the start of `region`. Writes to unknown
    /// registers are ignored and counted.
    pub fn write<L: ListRegisters>(
        &self,
        vcpu: usize,
        region: Region,
        offset: usize,
        size: usize,
        value: u64,
        lrs: &mut L,
    ) -> Effects {
        let value = match size {
            1 => value & 0xff,
            2 => value & 0xffff,
            4 => value & 0xffff_ffff,
            _ => value,
        };
        match region {
            Region::Distributor => self.write_distributor(vcpu, offset, size, value, lrs),
            Region::Redistributors => self.write_redistributor(vcpu, offset, size, value, lrs),
        }
    }

    fn write_distributor<L: ListRegisters>(
        &self,
        vcpu: usize,
        offset: usize,
        size: usize,
        value: u64,
        lrs: &mut L,
    ) -> Effects {
        match (offset, self.version) {
            (0x080..0xd00, _) => {
                let found = match (spi_word(offset), self.version) {
                    (Some(spi), _) => self.spis.get(spi).map(|b| (b, Whose::Spi(spi))),
                    (None, Version::V2) => self
                        .vcpus
                        .get(vcpu)
                        .map(|s| (&s.bank, Whose::Private(vcpu))),
                    (None, Version::V3) => None,
                };
                let Some((bank, whose)) = found else {
                    return Effects::default();
                };
                self.write_banked(
                    &Write {
                        vcpu,
                        bank,
                        whose,
                        offset,
                        size,
                        value,
                    },
                    lrs,
                )
            }
            (0x6100..0x8000, Version::V3) => self.write_router(offset, size, value),
            (0x000, _) => {
                self.ctlr.store(value as u32 & 3, SeqCst);
                kick(self.poke_all())
            }
            (0xf00, Version::V2) => kick(self.sgir(vcpu, value as u32)),
            (0xf10..0xf30, Version::V2) => {
                kick(self.write_sgi_pending_v2(vcpu, offset, size, value, lrs))
            }
            // Read-only, or there is nothing behind them to be set.
            (0x004..0x014 | 0x040..0x060 | 0xd00..0xf00, _) => Effects::default(),
            _ => self.unknown_write(),
        }
    }

    fn unknown_write(&self) -> Effects {
        self.unknown.fetch_add(1, Relaxed);
        Effects::default()
    }

    fn write_redistributor<L: ListRegisters>(
        &self,
        vcpu: usize,
        offset: usize,
        size: usize,
        value: u64,
        lrs: &mut L,
    ) -> Effects {
        let target = offset >> REDISTRIBUTOR_SHIFT;
        let Some(state) = self.vcpus.get(target) else {
            return self.unknown_write();
        };
        let (bank, whose) = (&state.bank, Whose::Private(target));
        let offset = offset & REDISTRIBUTOR_MASK;
        match offset {
            0x1_0080..0x1_0084
            | 0x1_0100..0x1_0104
            | 0x1_0180..0x1_0184
            | 0x1_0200..0x1_0204
            | 0x1_0280..0x1_0284
            | 0x1_0300..0x1_0304
            | 0x1_0380..0x1_0384
            | 0x1_0400..0x1_0420
            | 0x1_0c00..0x1_0c08 => {
                let offset = offset & 0xffff;
                self.write_banked(
                    &Write {
                        vcpu,
                        bank,
                        whose,
                        offset,
                        size,
                        value,
                    },
                    lrs,
                )
            }
            0x0014 => {
                state.sleep.store(value & 2 != 0, Relaxed);
                Effects::default()
            }
            0x0000..0x0014 | 0x1_0d00 | 0x1_0e00 => Effects::default(),
            _ => self.unknown_write(),
        }
    }

    fn write_banked<L: ListRegisters>(&self, write: &Write<'_>, lrs: &mut L) -> Effects {
        let bank = write.bank;
        // Bit registers are written whole; a narrower access reaches the bits
        // it covers of a set or clear register.
        let shift = (write.offset as u32 & 3).wrapping_shl(3);
        let bits = (write.value as u32).wrapping_shl(shift);
        match write.offset {
            0x080..0x100 if write.size >= 4 => {
                bank.group.store(bits, SeqCst);
                kick(self.touch_all(write.whose, bank, u32::MAX))
            }
            0x100..0x180 => self.write_enable(write, bits, true),
            0x180..0x200 => self.write_enable(write, bits, false),
            0x200..0x280 => kick(self.set_pending(write, bits)),
            0x280..0x300 => kick(self.clear_pending(write, bits, lrs)),
            0x300..0x380 => kick(self.set_active(write, bits, lrs)),
            0x380..0x400 => kick(self.clear_active(write, bits, lrs)),
            0x400..0x800 => {
                write_bytes(bank, write);
                Effects::default()
            }
            0x800..0xc00 => self.write_targets_v2(write),
            0xc00..0xd00 if write.size >= 4 => self.write_trigger(write, write.value as u32),
            _ => self.unknown_write(),
        }
    }

    fn write_enable(&self, write: &Write<'_>, mask: u32, on: bool) -> Effects {
        let bank = write.bank;
        let (changed, kick) = if on {
            let changed = mask & !bank.enable.fetch_or(mask, SeqCst);
            let ready = bank.deliverable(self.groups()) & changed;
            (changed, self.touch_all(write.whose, bank, ready))
        } else {
            let mask = match (self.version, write.whose) {
                // SGIs of a GICv2 cannot be disabled.
                (Version::V2, Whose::Private(_)) => mask & !0xffff,
                _ => mask,
            };
            let changed = mask & bank.enable.fetch_and(!mask, SeqCst);
            (changed, self.touch_all(write.whose, bank, changed))
        };
        Effects {
            kick,
            hw: hw_changes(write, changed),
        }
    }

    fn set_pending(&self, write: &Write<'_>, mask: u32) -> Kick {
        let mask = self.without_sgis_v2(write.whose, mask);
        write.bank.latch.fetch_or(mask, SeqCst);
        let ready = write.bank.deliverable(self.groups()) & mask;
        self.touch_all(write.whose, write.bank, ready)
    }

    fn clear_pending<L: ListRegisters>(&self, write: &Write<'_>, mask: u32, lrs: &mut L) -> Kick {
        let bank = write.bank;
        let mask = self.without_sgis_v2(write.whose, mask);
        let held = self.held_elsewhere(write, mask, lrs);
        let was = take(&bank.latch, mask);
        // A physical interrupt dismissed before the guest took it.
        let gone = was & !bank.active.load(SeqCst) & !held;
        if self.in_reach(write) {
            bits(gone).for_each(|bit| settle(bank, bit, lrs));
        }
        bank.ask_clear_pending.fetch_or(held, SeqCst);
        self.touch_all(write.whose, bank, held)
    }

    fn clear_active<L: ListRegisters>(&self, write: &Write<'_>, mask: u32, lrs: &mut L) -> Kick {
        let bank = write.bank;
        let held = self.held_elsewhere(write, mask, lrs);
        let mut kick = Kick::NONE;
        let ended = take(&bank.active, mask);
        for bit in bits(ended) {
            if self.in_reach(write) && bank.latch.load(SeqCst).wrapping_shr(bit) & 1 == 0 {
                settle(bank, bit, lrs);
            }
            if let Whose::Spi(word) = write.whose {
                bank.release(bit);
                kick |= self.offer(write.vcpu, spi_base(word) | bit, bank, bit);
            }
        }
        let held = held & !ended;
        bank.ask_clear_active.fetch_or(held, SeqCst);
        kick | self.touch_all(write.whose, bank, held | ended)
    }

    fn set_active<L: ListRegisters>(&self, write: &Write<'_>, mask: u32, lrs: &mut L) -> Kick {
        let bank = write.bank;
        let held = self.held_elsewhere(write, mask, lrs);
        bank.ask_set_active.fetch_or(held, SeqCst);
        let mut kick = self.touch_all(write.whose, bank, held);
        for bit in bits(mask & !held) {
            let mask = 1_u32.wrapping_shl(bit);
            if let Whose::Spi(_) = write.whose {
                // An active SPI is in some CPU's hands: the one it would go to.
                let Some(target) = self.target(bank, bit) else {
                    continue;
                };
                if bank.active.load(SeqCst) & mask != 0 || !bank.claim(bit, target) {
                    continue;
                }
                kick |= self.poke(target);
            }
            bank.active.fetch_or(mask, SeqCst);
        }
        if let Whose::Private(vcpu) = write.whose {
            kick |= self.poke(vcpu);
        }
        kick
    }

    /// Brings the writer's own list registers into memory; which of `mask`
    /// stand in those of other vCPUs.
    fn held_elsewhere<L: ListRegisters>(&self, write: &Write<'_>, mask: u32, lrs: &mut L) -> u32 {
        if let Some(state) = self.vcpus.get(write.vcpu) {
            self.fold_now(write.vcpu, state, lrs);
        }
        mask & write.bank.held()
    }

    /// Whether the writer's CPU may deactivate physical interrupts behind this
    /// bank: private ones only if its own.
    fn in_reach(&self, write: &Write<'_>) -> bool {
        match write.whose {
            Whose::Private(vcpu) => vcpu == write.vcpu,
            Whose::Spi(_) => true,
        }
    }

    /// `ISPENDR0`/`ICPENDR0` of a GICv2 do not reach SGIs (IHI 0048, 4.3.7).
    fn without_sgis_v2(&self, whose: Whose, mask: u32) -> u32 {
        match (self.version, whose) {
            (Version::V2, Whose::Private(_)) => mask & !0xffff,
            _ => mask,
        }
    }

    fn write_targets_v2(&self, write: &Write<'_>) -> Effects {
        let (Version::V2, Whose::Spi(_)) = (self.version, write.whose) else {
            return Effects::default();
        };
        let first = write.offset & 0x1f;
        let mut changed = 0;
        for ((slot, bit), byte) in write
            .bank
            .route
            .iter()
            .zip(0_u32..)
            .skip(first)
            .zip(write.value.to_le_bytes())
            .take(write.size)
        {
            slot.store(u64::from(byte) & u64::from(self.present()), SeqCst);
            changed |= 1_u32.wrapping_shl(bit);
        }
        let kick = self.touch_all(write.whose, write.bank, changed);
        Effects {
            kick,
            hw: hw_changes(write, changed),
        }
    }

    fn write_router(&self, offset: usize, size: usize, value: u64) -> Effects {
        /// Affinity bytes and Interrupt_Routing_Mode.
        const WRITABLE: u64 = 0xff << 32 | ROUTE_ANY | 0xff_ffff;
        let intid = (offset as u32 & 0x1fff) >> 3;
        let Some((bank, bit)) = self.locate(0, intid).filter(|_| size >= 4) else {
            return Effects::default();
        };
        let Some(slot) = bank.route.get(bit as usize) else {
            return Effects::default();
        };
        let before = slot.load(SeqCst);
        let route = match (size, offset & 4) {
            (4, 0) => before & !0xffff_ffff | value,
            (4, _) => before & 0xffff_ffff | value << 32,
            _ => value,
        };
        slot.store(route & WRITABLE, SeqCst);
        let whose = Whose::Spi((intid.wrapping_sub(SPI_BASE) >> 5) as usize);
        let mask = 1_u32.wrapping_shl(bit);
        let kick = self.touch_all(whose, bank, mask);
        let mask = mask & (bank.bound.load(SeqCst) | bank.watched.load(SeqCst));
        let base = if mask == 0 { 0 } else { intid & !31 };
        Effects {
            kick,
            hw: HwChanges { base, mask },
        }
    }

    fn write_trigger(&self, write: &Write<'_>, value: u32) -> Effects {
        let half = gather_odd(value);
        let (field, new) = match (write.offset & 4, write.whose) {
            // SGIs stay edge-triggered.
            (0, Whose::Private(_)) => return Effects::default(),
            (0, Whose::Spi(_)) => (0xffff, half),
            _ => (0xffff_0000, half << 16),
        };
        // Two halves of one word may be written by two CPUs at once.
        write.bank.edge.fetch_and(!field | new, SeqCst);
        write.bank.edge.fetch_or(new, SeqCst);
        let kick = self.touch_all(write.whose, write.bank, field);
        Effects {
            kick,
            hw: hw_changes(write, field),
        }
    }

    /// `GICD_CPENDSGIR<n>` (0xf10) and `GICD_SPENDSGIR<n>` (0xf20): a byte of
    /// senders per SGI, of the writer's own.
    fn write_sgi_pending_v2<L: ListRegisters>(
        &self,
        vcpu: usize,
        offset: usize,
        size: usize,
        value: u64,
        lrs: &mut L,
    ) -> Kick {
        let Some(state) = self.vcpus.get(vcpu) else {
            return Kick::NONE;
        };
        self.fold_now(vcpu, state, lrs);
        let mut kick = Kick::NONE;
        let first = (offset & 0xf) as u32;
        let bytes = (first..16).zip(value.to_le_bytes()).take(size);
        for (intid, senders) in bytes {
            if offset >= 0xf20 {
                kick |= self.send_v2(vcpu, intid, senders & self.present() as u8);
            } else if let Some(slot) = state.sgi_sources.get(intid as usize) {
                let left = slot.fetch_and(!senders, SeqCst) & !senders;
                if left == 0 {
                    take(&state.bank.latch, 1_u32.wrapping_shl(intid));
                }
            }
        }
        kick
    }

    /// [`Vgic::touch`] for each interrupt in `mask`.
    fn touch_all(&self, whose: Whose, bank: &Bank, mask: u32) -> Kick {
        if mask == 0 {
            return Kick::NONE;
        }
        match whose {
            Whose::Private(vcpu) => self.poke(vcpu),
            Whose::Spi(word) => bits(mask).fold(Kick::NONE, |kick, bit| {
                kick | self.touch(0, spi_base(word) | bit, bank, bit)
            }),
        }
    }
}

fn kick(kick: Kick) -> Effects {
    Effects {
        kick,
        hw: HwChanges::default(),
    }
}

fn spi_base(word: usize) -> u32 {
    (word as u32).wrapping_add(1).wrapping_shl(5)
}

/// Which of the `changed` interrupts are passthrough SPIs.
fn hw_changes(write: &Write<'_>, changed: u32) -> HwChanges {
    let mask = changed & write.bank.bound.load(SeqCst);
    match write.whose {
        Whose::Spi(word) if mask != 0 => HwChanges {
            base: spi_base(word),
            mask,
        },
        _ => HwChanges::default(),
    }
}

/// `IPRIORITYR`: five priority bits are implemented.
fn write_bytes(bank: &Bank, write: &Write<'_>) {
    const IMPLEMENTED: u32 = 0xf8f8_f8f8;
    let Some(word) = bank.priority.get(write.offset >> 2 & 7) else {
        return;
    };
    let shift = (write.offset as u32 & 3).wrapping_shl(3);
    let field = match write.size {
        1 => 0xff_u32,
        2 => 0xffff,
        _ => u32::MAX,
    };
    let field = field.wrapping_shl(shift);
    let new = (write.value as u32).wrapping_shl(shift) & field & IMPLEMENTED;
    let update = |old: u32| Some(old & !field | new);
    // Never fails: the closure always returns a value.
    let _ = word.fetch_update(Relaxed, Relaxed, update);
    if write.size == 8
        && let Some(word) = bank.priority.get((write.offset >> 2 & 7).wrapping_add(1))
    {
        word.store((write.value >> 32) as u32 & IMPLEMENTED, Relaxed);
    }
}

/// Bit 2n + 1 to bit n.
fn gather_odd(word: u32) -> u32 {
    let x = word >> 1 & 0x5555_5555;
    let x = (x | x >> 1) & 0x3333_3333;
    let x = (x | x >> 2) & 0x0f0f_0f0f;
    let x = (x | x >> 4) & 0x00ff_00ff;
    (x | x >> 8) & 0xffff
}
