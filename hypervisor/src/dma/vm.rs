//! The domains and endpoints of one VM.

use super::domain::{Domain, DomainKey, Progress, Request};
use super::events::EventRing;
use super::free::Control;
use super::map::{Leaves, ListProgress};
use super::outside::{EndpointInfo, Fixed, Outside, PowerReport, Target};
use super::{Error, attach::Endpoint};
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;
use pgtable::Config;
use spin::mutex::TicketMutex;
use spin::rwlock::{RwLock, RwLockReadGuard};
use stagegate_abi::{ListEntry, PowerState, Prot, StatsPage};

/// Domains that a VM may have at once; ids are `0..MAX_DOMAINS`.
pub const MAX_DOMAINS: u32 = 32;

/// What a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainKind {
    /// Has tables of its own.
    Paging,
    /// IOVA = IPA over all that the VM owns.
    Identity,
    /// Lets nothing through.
    Blocked,
}

/// What the operator allows this VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Unattached endpoints are blocked, and identity domains refused. Otherwise unattached endpoints
    /// use the VM's own tables.
    pub strict: bool,
    /// Most domains, at most [`MAX_DOMAINS`].
    pub domains: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strict: false,
            domains: MAX_DOMAINS,
        }
    }
}

pub(super) type Slot<O> = RwLock<Option<Domain<<O as Outside>::Frames>>>;

/// A domain, held so that it is not freed meanwhile. Holding is shared: holders do not wait for each
/// other.
pub(crate) type Held<'a, O> = RwLockReadGuard<'a, Option<Domain<<O as Outside>::Frames>>>;

/// DMA of one VM: what both front ends call.
///
/// Lock order: `control` (attach, detach, allocate, free) → a domain's slot → the domain's sync → SMMU.
pub struct VmDma<O: Outside> {
    pub(super) outside: O,
    pub(super) vm: u16,
    pub(super) config: Config,
    pub(super) fixed: Vec<Fixed>,
    leaves: Leaves,
    pub(super) policy: Policy,
    /// Whether endpoints in no domain use the VM's own tables. Changes under `control` only.
    pub(super) bypass: AtomicBool,
    /// The VM has started and not stopped. Changes under `control` only.
    pub(super) running: AtomicBool,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) slots: Vec<Slot<O>>,
    /// First come, first served, so that a CPU that wants it now and then keeps nobody out.
    pub(super) control: TicketMutex<Control<O>>,
    /// Faults of this VM's endpoints.
    pub events: EventRing,
}

impl<O: Outside> VmDma<O> {
    /// DMA for VM number `vm` with these endpoints (numbers as the guest knows them; their positions are
    /// the indices that [`Outside`] sees). Nothing is attached until [`start`](Self::start).
    ///
    /// `config` is the shape of domain tables, `fixed` what each of them contains from the start.
    pub fn new(
        outside: O,
        vm: u16,
        config: Config,
        endpoints: &[u32],
        fixed: &[Fixed],
        policy: Policy,
    ) -> Self {
        Self {
            outside,
            vm,
            // Guests unmap what they mapped, page by page: groups would only be in the way.
            config: config.with_contiguous(false),
            fixed: fixed.into(),
            leaves: Leaves::of(&config),
            policy,
            bypass: AtomicBool::new(!policy.strict),
            running: AtomicBool::new(false),
            endpoints: endpoints.iter().copied().map(Endpoint::new).collect(),
            slots: (0..policy.domains.min(MAX_DOMAINS))
                .map(|_| RwLock::new(None))
                .collect(),
            control: TicketMutex::new(Control::new(policy.domains.min(MAX_DOMAINS))),
            events: EventRing::new(),
        }
    }

    /// What the rest of the hypervisor offers.
    pub const fn outside(&self) -> &O {
        &self.outside
    }

    /// Shape of the domains' tables.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What the operator allows.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Most domains the VM may have; ids are below.
    pub fn domains(&self) -> u32 {
        self.policy.domains.min(MAX_DOMAINS)
    }

    /// The mappings that every paging domain has.
    pub fn fixed(&self) -> &[Fixed] {
        &self.fixed
    }

    /// Holds a domain.
    #[inline]
    pub(crate) fn hold(&self, id: u32) -> Result<Held<'_, O>, Error> {
        let slot = self.slots.get(id as usize).ok_or(Error::NoDomain(id))?;
        slot.try_read().ok_or(Error::Busy)
    }

    /// Maps up to `size` bytes at `iova` to `ipa` and says how many.
    pub fn map(&self, id: u32, iova: u64, ipa: u64, size: u64, prot: Prot) -> Progress {
        self.map_limited(id, iova, ipa, size, prot, stagegate_abi::LEAVES_PER_CALL)
    }

    /// The short way for the usual MAP, one page of RAM: whether it was mapped. If not, nothing has changed,
    /// and [`map`](Self::map) says why.
    #[inline(always)]
    pub fn map_page(&self, id: u32, iova: u64, ipa: u64, prot: Prot) -> bool {
        self.hold(id).is_ok_and(|held| match held.as_ref() {
            Some(domain) => domain.map_page(&self.outside, &self.leaves, iova, ipa, prot),
            None => false,
        })
    }

    /// The short way for the usual UNMAP, one page at once: what became of it. `None` if nothing has
    /// changed; [`unmap`](Self::unmap) says why.
    #[inline(always)]
    pub fn unmap_page(&self, id: u32, iova: u64) -> Option<Result<(), Error>> {
        let held = self.hold(id).ok()?;
        held.as_ref()?.unmap_page(&self.outside, iova)
    }

    /// As [`map`](Self::map), writing at most `leaves` leaves.
    pub fn map_limited(
        &self,
        id: u32,
        iova: u64,
        ipa: u64,
        size: u64,
        prot: Prot,
        leaves: u64,
    ) -> Progress {
        let request = Request { iova, size, leaves };
        self.within(id, |domain| {
            domain.map(&self.outside, &self.fixed, request, ipa, prot)
        })
    }

    /// What `work` does in a domain.
    fn within(&self, id: u32, work: impl FnOnce(&Domain<O::Frames>) -> Progress) -> Progress {
        match self.hold(id) {
            Ok(held) => match held.as_ref() {
                Some(domain) => work(domain),
                None => Progress::failed(Error::NoDomain(id)),
            },
            Err(error) => Progress::failed(error),
        }
    }

    /// Maps the pieces of a list (addresses are IPAs) one after the other from `iova` on, writing at most
    /// `leaves` leaves.
    pub fn map_list(
        &self,
        id: u32,
        iova: u64,
        list: &[ListEntry],
        prot: Prot,
        leaves: u64,
    ) -> ListProgress {
        let size = 0;
        let request = Request { iova, size, leaves };
        let held = match self.hold(id) {
            Ok(held) => held,
            Err(error) => return ListProgress::failed(error),
        };
        match held.as_ref() {
            Some(domain) => domain.map_list(&self.outside, &self.fixed, request, list, prot),
            None => ListProgress::failed(Error::NoDomain(id)),
        }
    }

    /// Unmaps up to `size` bytes at `iova` and says how many. Unless `lazy`, no SMMU uses them any more.
    pub fn unmap(&self, id: u32, iova: u64, size: u64, lazy: bool) -> Progress {
        self.unmap_limited(id, iova, size, lazy, stagegate_abi::LEAVES_PER_CALL)
    }

    /// As [`unmap`](Self::unmap), clearing at most `leaves` leaves.
    pub fn unmap_limited(
        &self,
        id: u32,
        iova: u64,
        size: u64,
        lazy: bool,
        leaves: u64,
    ) -> Progress {
        let request = Request { iova, size, leaves };
        self.within(id, |domain| {
            domain.unmap(&self.outside, &self.fixed, request, lazy)
        })
    }

    /// Remembers that a mapping begins at `iova`, until that page is unmapped.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::Busy`].
    pub fn begin(&self, id: u32, iova: u64) -> Result<(), Error> {
        let held = self.hold(id)?;
        held.as_ref().ok_or(Error::NoDomain(id))?.begin(iova);
        Ok(())
    }

    /// Whether an unmap of the range would cut a mapping in two, one that begins before it or ends
    /// after it. A mapping is a block, or what lies between a page that [began](Self::begin) one and
    /// the next such page or hole. Looks at what is mapped now.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::Busy`], [`Error::Cuts`] with the block's first address or the cut.
    pub fn check_cuts(&self, id: u32, iova: u64, size: u64) -> Result<(), Error> {
        let held = self.hold(id)?;
        let domain = held.as_ref().ok_or(Error::NoDomain(id))?;
        domain.check_cuts(iova, size)
    }

    /// Completes what lazy unmaps of the domain deferred.
    ///
    /// # Errors
    /// [`Error::Nothing`] if there was nothing, [`Error::Fenced`] if the SMMU did not complete.
    pub fn sync(&self, id: u32) -> Result<(), Error> {
        let held = self.hold(id)?;
        let domain = held.as_ref().ok_or(Error::NoDomain(id))?;
        domain.sync(&self.outside)
    }

    /// Makes a domain and returns its id.
    ///
    /// # Errors
    /// [`Error::NoMemory`] when all are in use, [`Error::Forbidden`] for an identity domain where the
    /// operator wants every access confined.
    pub fn alloc(&self, kind: DomainKind) -> Result<u32, Error> {
        let control = self.control.lock();
        for (id, slot) in (0u32..)
            .zip(&self.slots)
            .filter(|(id, _)| !control.is_going(*id))
        {
            let Some(mut slot) = slot.try_write() else {
                continue;
            };
            if slot.is_none() {
                *slot = Some(self.build(id, kind, false)?);
                return Ok(id);
            }
        }
        Err(Error::NoMemory)
    }

    pub(super) fn build(
        &self,
        id: u32,
        kind: DomainKind,
        implicit: bool,
    ) -> Result<Domain<O::Frames>, Error> {
        if kind == DomainKind::Identity && self.policy.strict {
            return Err(Error::Forbidden);
        }
        let key = DomainKey {
            vm: self.vm,
            slot: id as u16,
        };
        Domain::new(
            key,
            kind,
            implicit,
            self.config,
            self.outside.frames(),
            &self.fixed,
        )
    }

    /// What is known of an endpoint: facts and the domain it is in.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`].
    pub fn info(&self, endpoint: u32) -> Result<(EndpointInfo, Option<u32>), Error> {
        let (index, endpoint) = self.endpoint(endpoint)?;
        Ok((self.outside.info(index), endpoint.domain()))
    }

    /// The guest says whether an endpoint may issue transactions.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`], [`Error::Power`].
    pub fn power_set(&self, endpoint: u32, state: PowerState) -> Result<(), Error> {
        let (index, _) = self.endpoint(endpoint)?;
        self.outside
            .power_set(index, state)
            .map_err(|_| Error::Power)
    }

    /// Power states of an endpoint and its SMMU.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`].
    pub fn power_get(&self, endpoint: u32) -> Result<PowerReport, Error> {
        let (index, _) = self.endpoint(endpoint)?;
        Ok(self.outside.power_get(index))
    }

    /// Statistics of an endpoint and its SMMU.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`].
    pub fn stats(&self, endpoint: u32, page: StatsPage) -> Result<[u64; 3], Error> {
        let (index, _) = self.endpoint(endpoint)?;
        Ok(self.outside.stats(index, page))
    }

    pub(super) fn target(domain: &Domain<O::Frames>) -> Target {
        match domain.shape() {
            Ok((root, config)) => Target::Domain {
                key: domain.key(),
                root,
                config,
            },
            Err(DomainKind::Identity) => Target::Vm,
            Err(_) => Target::Blocked,
        }
    }
}
