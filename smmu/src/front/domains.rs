//! Domains: a set of tables and the context that stands for it.

use super::Smmu;
use crate::error::Error;
use crate::hardware::{Hardware, Ticket};
use crate::power::Hold;
use crate::sync::Lock;
use crate::types::{ContextId, IpaRange, Stage2, Vmid};
use alloc::boxed::Box;

/// A domain of one SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub usize);

/// How an invalidation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The SMMU has forgotten.
    Completed,
    /// The SMMU is off and forgets everything before it walks again.
    Elided,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Domain {
    pub context: ContextId,
    pub vmid: Vmid,
    pub fenced: bool,
    pub masters: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Slot {
    #[default]
    Free,
    Live(Domain),
    /// Destroyed while its invalidation failed: the context is free again
    /// once the epoch has passed this one.
    Dying(ContextId, u64),
}

pub(super) struct Domains {
    slots: Box<[Lock<Slot>]>,
}

impl Domains {
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity).map(|_| Lock::new(Slot::Free)).collect(),
        }
    }

    pub fn get(&self, index: usize) -> Result<Domain, Error> {
        self.change(index, |domain| Ok(*domain))
    }

    pub fn fence(&self, index: usize) {
        // An unknown domain has nothing to fence.
        let _ = self.change(index, |domain| {
            domain.fenced = true;
            Ok(())
        });
    }

    /// One master more.
    pub fn join(&self, index: usize) -> Result<Domain, Error> {
        self.change(index, |domain| {
            if domain.fenced {
                return Err(Error::Fenced(domain.vmid));
            }
            domain.masters = domain.masters.saturating_add(1);
            Ok(*domain)
        })
    }

    /// One master less.
    pub fn part(&self, index: usize) {
        let _ = self.change(index, |domain| {
            domain.masters = domain.masters.saturating_sub(1);
            Ok(())
        });
    }

    fn change<T>(
        &self,
        index: usize,
        f: impl FnOnce(&mut Domain) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let slot = self.slots.get(index).ok_or(Error::DomainUnknown(index))?;
        match &mut *slot.lock() {
            Slot::Live(domain) => f(domain),
            _ => Err(Error::DomainUnknown(index)),
        }
    }
}

/// An invalidation under way. Several SMMUs' can be begun before the first is
/// finished; they then proceed at the same time.
#[must_use = "an invalidation is complete only when finished"]
pub struct Pending<'s, 'a, H: Hardware> {
    smmu: &'s Smmu<'a, H>,
    domain: usize,
    work: Option<(Hold<'s>, Ticket)>,
}

impl<H: Hardware> Pending<'_, '_, H> {
    /// Waits for the end.
    ///
    /// # Errors
    /// The invalidation did not complete: the domain is fenced, and what was
    /// unmapped must not be used again before [`Smmu::clean_epoch`] is above
    /// what [`Smmu::epoch`] says now.
    pub fn finish(self) -> Result<Done, Error> {
        let Some((hold, ticket)) = self.work else {
            self.smmu.machine.note_elided();
            return Ok(Done::Elided);
        };
        let outcome = self.smmu.hardware.wait(hold.power(), ticket);
        drop(hold);
        match outcome {
            Ok(()) => Ok(Done::Completed),
            Err(error) => {
                self.smmu.fence(self.domain, error);
                Err(error)
            }
        }
    }
}

impl<'a, H: Hardware> Smmu<'a, H> {
    /// Makes a domain of the tables, with this VMID or any. Needs no power.
    ///
    /// # Errors
    /// The tables do not suit the SMMU (the error says in what), or no
    /// context is free.
    pub fn create_domain(&self, tables: &Stage2, vmid: Option<Vmid>) -> Result<DomainId, Error> {
        self.reap();
        for (index, slot) in self.domains.slots.iter().enumerate() {
            let mut slot = slot.lock();
            if matches!(*slot, Slot::Free) {
                let (context, vmid) = self.hardware.open(tables, vmid)?;
                *slot = Slot::Live(Domain {
                    context,
                    vmid,
                    fenced: false,
                    masters: 0,
                });
                return Ok(DomainId(index));
            }
        }
        Err(Error::Full(self.domains.slots.len()))
    }

    /// The VMID that tags the domain's translations.
    ///
    /// # Errors
    /// [`Error::DomainUnknown`].
    pub fn vmid(&self, domain: DomainId) -> Result<Vmid, Error> {
        self.domains.get(domain.0).map(|d| d.vmid)
    }

    /// Whether the domain was fenced.
    ///
    /// # Errors
    /// [`Error::DomainUnknown`].
    pub fn is_fenced(&self, domain: DomainId) -> Result<bool, Error> {
        self.domains.get(domain.0).map(|d| d.fenced)
    }

    /// Ends a domain that no master is attached to. On return nothing of its
    /// tables is walked or cached.
    ///
    /// # Errors
    /// [`Error::DomainBusy`]: nothing was done. Otherwise the domain is gone,
    /// but its tables must be kept until [`clean_epoch`](Self::clean_epoch) is
    /// above what [`epoch`](Self::epoch) says now; its VMID is kept from reuse
    /// until then, too.
    pub fn destroy_domain(&self, domain: DomainId) -> Result<Done, Error> {
        let unknown = Error::DomainUnknown(domain.0);
        let slot = self.domains.slots.get(domain.0).ok_or(unknown)?;
        let epoch = self.epoch();
        let context = {
            let mut slot = slot.lock();
            match *slot {
                Slot::Live(d) if d.masters != 0 => return Err(Error::DomainBusy(domain.0)),
                Slot::Live(d) => {
                    *slot = Slot::Dying(d.context, epoch);
                    d.context
                }
                _ => return Err(unknown),
            }
        };
        let outcome = self.forget(context);
        match outcome {
            Ok(_) => {
                self.hardware.close(context);
                *slot.lock() = Slot::Free;
            }
            Err(error) => {
                self.machine.note_error(error);
                self.recovery.report(error);
            }
        }
        outcome
    }

    /// Invalidates the whole context.
    fn forget(&self, context: ContextId) -> Result<Done, Error> {
        let Some(hold) = self.machine.hold_or_elide()? else {
            self.machine.note_elided();
            return Ok(Done::Elided);
        };
        let ticket = self.hardware.invalidate_context(hold.power(), context)?;
        self.hardware.wait(hold.power(), ticket)?;
        Ok(Done::Completed)
    }

    /// Contexts of domains that died badly, once that is forgotten.
    fn reap(&self) {
        let now = self.clean_epoch();
        for slot in &self.domains.slots {
            let mut slot = slot.lock();
            if let Slot::Dying(context, since) = *slot
                && now > since
            {
                self.hardware.close(context);
                *slot = Slot::Free;
            }
        }
    }

    /// Whether the SMMU is off and forgets everything before it walks again
    /// what the caller has changed: the short way to [`Done::Elided`] for what
    /// [`begin_invalidate`](Self::begin_invalidate) is called for.
    #[inline]
    pub fn elide(&self) -> bool {
        let elides = self.machine.elides();
        if elides {
            self.machine.note_elided();
        }
        elides
    }

    /// Begins to make the SMMU forget what was unmapped from the domain's
    /// tables. The entries have been cleared, and cleaned where walks are not
    /// coherent, before the call. An SMMU that is off is not woken, and not
    /// touched (D7, P12).
    ///
    /// # Errors
    /// As [`Pending::finish`].
    pub fn begin_invalidate(
        &self,
        domain: DomainId,
        ranges: &[IpaRange],
    ) -> Result<Pending<'_, 'a, H>, Error> {
        let Domain {
            context,
            vmid,
            fenced,
            ..
        } = self.domains.get(domain.0)?;
        let pending = |work| Pending {
            smmu: self,
            domain: domain.0,
            work,
        };
        let Some(hold) = self.machine.hold_or_elide()? else {
            return Ok(pending(None));
        };
        if fenced || self.is_stuck() {
            let error = Error::Fenced(vmid);
            drop(hold);
            if !fenced {
                self.fence(domain.0, error);
            }
            return Err(error);
        }
        match self.hardware.invalidate(hold.power(), context, ranges) {
            Ok(ticket) => Ok(pending(Some((hold, ticket)))),
            Err(error) => {
                drop(hold);
                self.fence(domain.0, error);
                Err(error)
            }
        }
    }

    /// [`begin_invalidate`](Self::begin_invalidate) and its end.
    ///
    /// # Errors
    /// As [`Pending::finish`].
    pub fn invalidate(&self, domain: DomainId, ranges: &[IpaRange]) -> Result<Done, Error> {
        self.begin_invalidate(domain, ranges)?.finish()
    }
}
