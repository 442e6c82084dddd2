//! Invalidation, and the waits for its end (IHI 0062, 4.7 and 4.8).
//!
//! An invalidation by address belongs to its bank and is complete with a
//! sync of that bank; all others are global and are complete with a global
//! sync. A sync that a second CPU starts while a first one polls makes the
//! first wait for the second's invalidations too, and enough CPUs doing so
//! starve each other: each sync register has a lock, held over the wait.

use super::V2;
use super::implementation::qualcomm::TbuStatus;
use super::spec::{Page, bank, gr0};
use crate::error::{Error, Wait};
use crate::hardware::Ticket;
use crate::mutation::Step;
use crate::outside::Registers;
use crate::poll;
use crate::power::Powered;
use crate::sync::{AtomicBool, Lock, Ordering};
use crate::types::{ContextId, IpaRange, Vmid};

/// Above this many addresses the whole VMID is invalidated instead: refilling
/// a TLB then costs less than spelling out what to drop.
const WHOLE_VMID_ABOVE: u64 = 64;

/// Ticket of a global sync; any other is the number of a bank.
const GLOBAL: Ticket = Ticket(u64::MAX);
/// Ticket of nothing.
const NOTHING: Ticket = Ticket(u64::MAX - 1);

/// The sync of one bank.
#[derive(Default)]
pub(super) struct BankSync {
    turn: Lock<()>,
    /// Invalidations were begun that no sync is known to have completed.
    outstanding: AtomicBool,
}

impl<R: Registers> V2<'_, R> {
    pub(super) fn forget_ranges(
        &self,
        power: &Powered,
        context: ContextId,
        ranges: &[IpaRange],
    ) -> Result<Ticket, Error> {
        let held = self.contexts.lock().get(context)?;
        if self.mutation.skips(Step::SendInvalidation) {
            return Ok(NOTHING);
        }
        let granule = u64::from(held.tables.granule_shift).min(63) as u32;
        // A bank that is not set up knows no VMID to invalidate for.
        let by_address = self.features.v2 && held.programmed;
        if !by_address || count(ranges, granule) > WHOLE_VMID_ABOVE {
            self.forget_vmid(power, held.vmid);
            return Ok(GLOBAL);
        }
        if let Some(bank) = self.bank_syncs.get(usize::from(context.0)) {
            bank.outstanding.store(true, Ordering::Relaxed);
        }
        for range in ranges {
            self.forget_range(power, context, range, granule);
        }
        Ok(Ticket(context.0.into()))
    }

    fn forget_range(&self, power: &Powered, context: ContextId, range: &IpaRange, granule: u32) {
        let leaf = range.leaf_only || self.mutation.skips(Step::ForgetTables);
        let register = if leaf {
            bank::TLBIIPAS2L
        } else {
            bank::TLBIIPAS2
        };
        let step = stride(range, granule);
        let page = Page::Bank(context.0);
        let mut at = range.ipa.0;
        for _ in 0..range.size.div_ceil(step) {
            self.issued.fetch_add(1, Ordering::Relaxed);
            let operand = at.wrapping_shr(12);
            if self.features.wide {
                self.window.write64(power, page, register, operand);
            } else {
                self.window.write(power, page, register, operand as u32);
            }
            at = at.wrapping_add(step);
            if self.mutation.skips(Step::CoverRange) {
                return;
            }
        }
    }

    pub(super) fn forget_context(
        &self,
        power: &Powered,
        context: ContextId,
    ) -> Result<Ticket, Error> {
        let vmid = self.contexts.lock().get(context)?.vmid;
        self.forget_vmid(power, vmid);
        Ok(GLOBAL)
    }

    fn forget_vmid(&self, power: &Powered, vmid: Vmid) {
        self.issued.fetch_add(1, Ordering::Relaxed);
        let value = u32::from(vmid.0);
        self.window.write(power, Page::Gr0, gr0::TLBIVMID, value);
    }

    /// Starts to forget every translation of either world that is ours.
    pub(super) fn forget_all(&self, power: &Powered) {
        self.issued.fetch_add(2, Ordering::Relaxed);
        let value = self.quirks.dummy;
        self.window.write(power, Page::Gr0, gr0::TLBIALLH, value);
        self.window.write(power, Page::Gr0, gr0::TLBIALLNSNH, value);
    }

    pub(super) fn await_ticket(&self, power: &Powered, ticket: Ticket) -> Result<(), Error> {
        match ticket {
            GLOBAL => self.sync_global(power),
            NOTHING => Ok(()),
            Ticket(number) => {
                let bank = self.bank_syncs.get(number as usize);
                let bank = bank.ok_or(Error::DomainUnknown(number as usize))?;
                self.sync_bank(power, number as u16, bank)
            }
        }
    }

    fn sync_bank(&self, power: &Powered, number: u16, sync: &BankSync) -> Result<(), Error> {
        // Before the sync: it may not cover what another CPU begins now.
        sync.outstanding.store(false, Ordering::Relaxed);
        let registers = (bank::TLBSYNC, bank::TLBSTATUS);
        self.sync(power, &sync.turn, Page::Bank(number), registers)
            .inspect_err(|_| sync.outstanding.store(true, Ordering::Relaxed))
    }

    /// Everything that was ever begun is complete: a global sync, and one of
    /// each bank whose own did not complete, or was not waited for.
    pub(super) fn sync_all(&self, power: &Powered) -> Result<(), Error> {
        self.sync_global(power)?;
        for (number, sync) in (0u16..).zip(self.bank_syncs.iter()) {
            if sync.outstanding.load(Ordering::Relaxed) {
                self.sync_bank(power, number, sync)?;
            }
        }
        Ok(())
    }

    /// Every global invalidation, and every transaction that began before, is
    /// complete.
    pub(super) fn sync_global(&self, power: &Powered) -> Result<(), Error> {
        let registers = (gr0::TLBGSYNC, gr0::TLBGSTATUS);
        self.sync(power, &self.global_sync, Page::Gr0, registers)
    }

    fn sync(
        &self,
        power: &Powered,
        turn: &Lock<()>,
        page: Page,
        (start, status): (usize, usize),
    ) -> Result<(), Error> {
        let _turn = turn.lock();
        self.issued.fetch_add(1, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.window.write(power, page, start, self.quirks.dummy);
        let busy = || {
            let value = if self.quirks.status_of_all {
                self.window.read_any(power, page, status)
            } else {
                self.window.read(power, page, status)
            };
            value & 1 != 0
        };
        let outcome = poll::until(self.time, self.config.bound_ns, Wait::Sync, || Ok(!busy()));
        if outcome.is_err() && self.quirks.tbu_status {
            *self.stuck_tbus.lock() = Some(TbuStatus::read(power, &self.window));
        }
        outcome
    }
}

/// Bytes that one invalidation covers for certain.
fn stride(range: &IpaRange, granule: u32) -> u64 {
    let page = 1u64.wrapping_shl(granule);
    if range.stride.is_power_of_two() {
        range.stride.max(page)
    } else {
        page
    }
}

fn count(ranges: &[IpaRange], granule: u32) -> u64 {
    let each = |range: &IpaRange| range.size.div_ceil(stride(range, granule));
    ranges.iter().map(each).fold(0, u64::saturating_add)
}
