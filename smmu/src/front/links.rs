//! Links between a master and the SMMU (and TBU) in front of it (D1, P7):
//! made when the master is assigned, gone when it is taken back.

use super::tbu::Tbu;
use super::{DomainId, Smmu, Whole};
use crate::error::Error;
use crate::hardware::{Hardware, StreamAction};
use crate::mutation::Step;
use crate::power::{Meter, State, Who};
use crate::sync::{AtomicU64, Lock, Ordering};
use crate::types::StreamId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use litemap::LiteMap;

/// A link of one SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub usize);

/// What a master has done, as far as its SMMU knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// It may issue transactions now.
    pub active: bool,
    /// Nanoseconds active.
    pub active_ns: u64,
    /// Nanoseconds idle.
    pub idle_ns: u64,
    /// Faults attributed to it.
    pub faults: u64,
}

/// What becomes of a master's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// They terminate.
    Nowhere,
    /// The domain's tables translate them.
    Domain(DomainId),
    /// They pass, because the operator wrote so.
    Bypass,
}

impl Route {
    fn domain(self) -> Option<DomainId> {
        match self {
            Route::Domain(domain) => Some(domain),
            Route::Nowhere | Route::Bypass => None,
        }
    }
}

struct Link {
    streams: Vec<StreamId>,
    route: Route,
    tbu: Option<usize>,
    active: bool,
    meter: Meter,
}

#[derive(Default)]
struct Slot {
    link: Lock<Option<Link>>,
    faults: AtomicU64,
    /// The domain's number plus one, for those who must not wait for `link`.
    domain: AtomicU64,
}

pub(super) struct Links {
    slots: Box<[Slot]>,
    /// Whose stream is it?
    owners: Lock<LiteMap<StreamId, usize>>,
}

impl Links {
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity).map(|_| Slot::default()).collect(),
            owners: Lock::new(LiteMap::new()),
        }
    }

    /// The link and domain of a stream; counts a fault for it.
    pub fn blame(&self, stream: StreamId) -> (Option<LinkId>, Option<DomainId>) {
        let Some(index) = self.owners.lock().get(&stream).copied() else {
            return (None, None);
        };
        let domain = self.slots.get(index).and_then(|slot| {
            slot.faults.fetch_add(1, Ordering::Relaxed);
            let number = slot.domain.load(Ordering::Relaxed);
            number.checked_sub(1).map(|n| DomainId(n as usize))
        });
        (Some(LinkId(index)), domain)
    }

    /// Calls `f` for each stream attached to the domain. Takes no link's
    /// lock: a CPU that holds one may be waiting for what the caller holds.
    pub fn each_of(&self, domain: usize, mut f: impl FnMut(StreamId)) {
        let number = (domain as u64).wrapping_add(1);
        for (stream, index) in self.owners.lock().iter() {
            let slot = self.slots.get(*index);
            if slot.is_some_and(|s| s.domain.load(Ordering::Relaxed) == number) {
                f(*stream);
            }
        }
    }

    fn slot(&self, id: LinkId) -> Result<&Slot, Error> {
        self.slots.get(id.0).ok_or(Error::LinkUnknown(id.0))
    }
}

impl<'a, H: Hardware> Smmu<'a, H> {
    /// Links a master, with all its streams, to this SMMU and to the TBU it
    /// stands behind. Its streams terminate until it is attached; it is idle.
    ///
    /// # Errors
    /// A stream is out of range or already linked; no slot is free. Nothing
    /// was changed.
    pub fn link(&self, streams: &[StreamId], tbu: Option<usize>) -> Result<LinkId, Error> {
        if let Some(index) = tbu {
            self.tbus.get(index).ok_or(Error::TbuUnknown(index))?;
        }
        let limit = self.hardware.limits().streams;
        if let Some(stream) = streams.iter().find(|s| u64::from(s.0) >= limit) {
            return Err(Error::StreamRange(*stream));
        }
        for (index, slot) in self.links.slots.iter().enumerate() {
            let mut link = slot.link.lock();
            if link.is_some() {
                continue;
            }
            let mut owners = self.links.owners.lock();
            if let Some(stream) = streams.iter().find(|s| owners.contains_key(s)) {
                return Err(Error::StreamBusy(*stream));
            }
            for stream in streams {
                owners.insert(*stream, index);
            }
            slot.faults.store(0, Ordering::Relaxed);
            *link = Some(Link {
                streams: streams.to_vec(),
                route: Route::Nowhere,
                tbu,
                active: false,
                meter: Meter::new(State::Idle, self.time.now_ns()),
            });
            return Ok(LinkId(index));
        }
        Err(Error::Full(self.links.slots.len()))
    }

    /// Takes a master back: idle, detached, unlinked.
    ///
    /// # Errors
    /// As [`detach`](Self::detach), after which the link is gone all the
    /// same; or [`Error::LinkUnknown`].
    pub fn unlink(&self, id: LinkId) -> Result<(), Error> {
        self.master_idle(id)?;
        let outcome = self.detach(id);
        let slot = self.links.slot(id)?;
        let taken = slot.link.lock().take();
        let mut owners = self.links.owners.lock();
        for link in taken.iter() {
            for stream in &link.streams {
                owners.remove(stream);
                if let Some(index) = link.tbu {
                    self.forget_behind(index, *stream);
                }
            }
        }
        outcome
    }

    /// Puts the master's streams into the domain. On return they are
    /// translated by its tables, or will be when the SMMU is next on; it is
    /// not woken for this. From another domain they pass through termination.
    ///
    /// # Errors
    /// On any error the streams terminate and belong to no domain.
    pub fn attach(&self, id: LinkId, domain: DomainId) -> Result<(), Error> {
        self.reroute(id, Route::Domain(domain))
    }

    /// Takes the master's streams out of their domain, or ends their bypass. On
    /// return they terminate, and none of the domain's tables is walked for
    /// them.
    ///
    /// # Errors
    /// The SMMU could not be told; its old domain is fenced.
    pub fn detach(&self, id: LinkId) -> Result<(), Error> {
        self.reroute(id, Route::Nowhere)
    }

    /// Lets a master's streams pass untranslated. Only where the operator
    /// wrote so (C4).
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn bypass(&self, id: LinkId) -> Result<(), Error> {
        self.reroute(id, Route::Bypass)
    }

    fn reroute(&self, id: LinkId, to: Route) -> Result<(), Error> {
        let slot = self.links.slot(id)?;
        let mut guard = slot.link.lock();
        let link = guard.as_mut().ok_or(Error::LinkUnknown(id.0))?;
        let from = core::mem::replace(&mut link.route, Route::Nowhere);
        let mut outcome = Ok(());
        if from != Route::Nowhere {
            outcome = self.set_streams(link, StreamAction::Abort);
            slot.domain.store(0, Ordering::Relaxed);
        }
        if outcome.is_ok() {
            outcome = match to {
                Route::Nowhere => Ok(()),
                Route::Domain(domain) => self.enter(slot, link, domain),
                Route::Bypass => self.set_streams(link, StreamAction::Bypass),
            };
            if outcome.is_ok() {
                link.route = to;
            } else {
                // As far as it can still be told; a fence does the rest.
                let _ = self.set_streams(link, StreamAction::Abort);
            }
        }
        drop(guard);
        if let Some(from) = from.domain() {
            self.domains.part(from.0);
        }
        if let Err(error @ (Error::Timeout(_) | Error::Command(_))) = outcome {
            // No stream may stay as it was because a command got lost.
            let domain = from.domain().or(to.domain());
            self.fence(domain.map_or(usize::MAX, |d| d.0), error);
        }
        outcome
    }

    /// Lets the domain translate the streams.
    fn enter(&self, slot: &Slot, link: &Link, to: DomainId) -> Result<(), Error> {
        let domain = self.domains.join(to.0)?;
        let number = (to.0 as u64).wrapping_add(1);
        slot.domain.store(number, Ordering::Relaxed);
        let set = self.set_streams(link, StreamAction::Translate(domain.context));
        // Fenced meanwhile? Its streams were looked up before these were among
        // them.
        let outcome = match self.domains.get(to.0) {
            Ok(now) if now.fenced => set.and(Err(Error::Fenced(domain.vmid))),
            _ => set,
        };
        if outcome.is_err() {
            slot.domain.store(0, Ordering::Relaxed);
            self.domains.part(to.0);
        }
        outcome
    }

    fn set_streams(&self, link: &Link, action: StreamAction) -> Result<(), Error> {
        let mut outcome = Ok(());
        for stream in &link.streams {
            let set = match link.tbu.and_then(|index| self.tbus.get(index)) {
                Some(tbu) => self.set_behind(tbu, *stream, action),
                None => self.set_now(*stream, action),
            };
            // All of them are set even if one fails: memory at least.
            outcome = outcome.and(set);
        }
        outcome
    }

    /// Sets a stream, with power if there is some.
    pub(super) fn set_now(&self, stream: StreamId, action: StreamAction) -> Result<(), Error> {
        self.machine
            .settle(&mut |power| self.hardware.set_stream(power, stream, action))
    }

    /// The master is about to be active. Returns when its TBU and SMMU are on
    /// and its streams' entries are in force (P2).
    ///
    /// # Errors
    /// What kept them from coming up. The master is still idle and its
    /// streams terminate; its owner is to be told that it cannot run.
    #[inline]
    pub fn master_active(&self, id: LinkId) -> Result<(), Error> {
        if !self.managed && !self.mutation.skips(Step::PayNothing) {
            return Ok(());
        }
        self.wake_master(id)
    }

    #[inline(never)]
    fn wake_master(&self, id: LinkId) -> Result<(), Error> {
        let slot = self.links.slot(id)?;
        let mut guard = slot.link.lock();
        let link = guard.as_mut().ok_or(Error::LinkUnknown(id.0))?;
        if link.active {
            if self.serves(link) {
                return Ok(());
            }
            // It was on and is not any more (P9): from the beginning.
            self.count_down(id, link);
        }
        self.machine.activate(&Whole(self))?;
        if let Some(index) = link.tbu
            && let Err(error) = self.activate_tbu(index)
        {
            self.machine.deactivate(&Whole(self));
            return Err(error);
        }
        link.active = true;
        let now = self.time.now_ns();
        link.meter.enter(State::On, now);
        self.mark(Who::Master(id.0), State::On, now);
        Ok(())
    }

    fn serves(&self, link: &Link) -> bool {
        let tbu = link.tbu.and_then(|index| self.tbus.get(index));
        self.is_on() && tbu.is_none_or(Tbu::is_on)
    }

    fn is_on(&self) -> bool {
        !self.machine.switchable() || matches!(self.machine.state(), State::On | State::Idle)
    }

    /// The master is idle: it issues no transaction from now on until it is
    /// active again. Never fails for want of power, and waits for nothing
    /// unless the idle delay is zero.
    ///
    /// # Errors
    /// [`Error::LinkUnknown`].
    #[inline]
    pub fn master_idle(&self, id: LinkId) -> Result<(), Error> {
        if !self.managed {
            return Ok(());
        }
        self.rest_master(id)
    }

    #[inline(never)]
    fn rest_master(&self, id: LinkId) -> Result<(), Error> {
        let slot = self.links.slot(id)?;
        let mut guard = slot.link.lock();
        let link = guard.as_mut().ok_or(Error::LinkUnknown(id.0))?;
        if link.active {
            self.count_down(id, link);
        }
        drop(guard);
        match self.mutation.skips(Step::KeepLink) {
            true => self.detach(id),
            false => Ok(()),
        }
    }

    /// Consumer first: the TBU before the SMMU.
    fn count_down(&self, id: LinkId, link: &mut Link) {
        link.active = false;
        let now = self.time.now_ns();
        link.meter.enter(State::Idle, now);
        self.mark(Who::Master(id.0), State::Idle, now);
        if let Some(index) = link.tbu {
            self.deactivate_tbu(index);
        }
        self.machine.deactivate(&Whole(self));
    }

    /// What the master has done.
    ///
    /// # Errors
    /// [`Error::LinkUnknown`].
    pub fn link_stats(&self, id: LinkId) -> Result<LinkStats, Error> {
        let slot = self.links.slot(id)?;
        let guard = slot.link.lock();
        let link = guard.as_ref().ok_or(Error::LinkUnknown(id.0))?;
        let account = link.meter.read(self.time.now_ns());
        Ok(LinkStats {
            active: link.active || !self.managed,
            active_ns: account.on_ns,
            idle_ns: account.idle_ns,
            faults: slot.faults.load(Ordering::Relaxed),
        })
    }
}
