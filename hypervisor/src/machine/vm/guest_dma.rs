//! Guests' own DMA domains: joins the core of `dma` to the VM's tables and the
//! board's SMMUs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pgtable::{Config, Ipa, Pa, Stale};
use smmu::power::State;
use smmu::{DomainId, IpaRange};
use spin::Once;
use spin::mutex::SpinMutex;
use stagegate_abi::{Event as Report, EventFlags, EventReason, PowerState, SmmuPower, StatsPage};

use super::masters::{Link, Master};
use super::ram::GuestRam;
use super::space::AddressSpace;
use crate::arch::regs;
use crate::arch::tables::TableMemory;
use crate::dma::{
    DomainKey, EndpointInfo, Extent, ExtentKind, Fixed, GuestMemory, HardwareError, Join, Joins,
    NotRam, Outside, Piece, Policy, PowerReport, Target, VmDma,
};
use crate::guest::map;
use crate::hypercall::Calls;
use crate::machine::board::smmus::{self, Unit};
use crate::power::evidence::{Event, Word};
use crate::viommu::Viommu;

/// Bytes of tables that one VM's domains may take.
const QUOTA: usize = 2 << 20;

/// A VM's side of DMA: hypercalls, and a virtio-iommu if it has one.
pub struct GuestDma {
    /// What both front ends call.
    pub core: &'static VmDma<Side>,
    calls: Calls<'static, Side, GuestRam>,
    /// For guests that load no driver of ours.
    pub viommu: Option<Viommu<'static, Side, GuestRam>>,
}

impl GuestDma {
    /// The front ends of the VM of this address space and with these masters,
    /// all of whose domains have its message `doorbell`, if there is one.
    #[must_use]
    pub fn new(
        space: &'static AddressSpace,
        masters: &'static [Master],
        doorbell: Option<Fixed>,
        policy: Policy,
        viommu: bool,
    ) -> Self {
        let endpoints: Vec<u32> = masters.iter().map(|master| master.endpoint).collect();
        let units: Vec<_> = smmus::slots().iter().map(smmus::Slot::get).collect();
        let side = Side {
            space,
            masters,
            tables: TableMemory::bounded(QUOTA),
            joins: Joins::new(units.len()),
            units,
            joining: SpinMutex::new(()),
        };
        let shape = space.dma_shape();
        let fixed = doorbell.as_slice();
        let core = VmDma::new(side, space.vmid(), shape, &endpoints, fixed, policy);
        let core: &'static VmDma<Side> = Box::leak(Box::new(core));
        Self {
            core,
            calls: Calls::new(core, &space.ram),
            viommu: viommu.then(|| Viommu::new(core, &space.ram)),
        }
    }

    /// The decoder of hypercalls.
    #[inline]
    pub const fn calls(&self) -> &Calls<'static, Side, GuestRam> {
        &self.calls
    }

    /// A fault of one of the VM's masters, for the VM itself: what it is told by. `line` puts the line
    /// of its virtio-iommu high or low.
    pub fn fault(&self, endpoint: u32, fault: &smmu::Fault, line: impl FnMut(bool)) -> Told {
        let record = &fault.record;
        let mut flags = if record.write {
            EventFlags::WRITE
        } else {
            EventFlags::READ
        };
        if record.address.is_some() {
            flags |= EventFlags::ADDRESS;
        }
        let iova = record.address.map_or(0, |address| address.0);
        let raise = self.core.events.push(Report {
            reason: EventReason::Mapping,
            flags,
            endpoint,
            iova,
        });
        match &self.viommu {
            Some(viommu) => viommu.deliver(line),
            None if raise => return Told::Event,
            None => {}
        }
        Told::Nothing
    }
}

/// How a VM learns of a fault.
pub enum Told {
    /// By the interrupt for events.
    Event,
    /// By its virtio-iommu; or it knows that there are faults, and has not fetched them yet.
    Nothing,
}

/// The machine as the core sees it, for one VM.
pub struct Side {
    space: &'static AddressSpace,
    masters: &'static [Master],
    tables: TableMemory,
    /// The board's SMMUs that were there when the VM was made: others are looked
    /// up, which takes longer.
    units: Vec<Option<&'static Unit>>,
    /// The domains of the core at each SMMU that they are attached to.
    joins: Joins,
    /// Held while a domain is made at an SMMU.
    joining: SpinMutex<()>,
}

impl Side {
    /// Bytes that the tables of the VM's domains take.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.tables.used()
    }

    #[inline(always)]
    fn unit(&self, index: usize) -> Option<&'static Unit> {
        match self.units.get(index) {
            Some(Some(unit)) => Some(unit),
            _ => late(index),
        }
    }

    fn master(&self, endpoint: usize) -> Option<&'static Master> {
        self.masters.get(endpoint)
    }

    /// The domain for `key` at SMMU `index`, made if need be.
    fn domain(
        &self,
        index: usize,
        unit: &Unit,
        key: DomainKey,
        root: Pa,
        config: &Config,
    ) -> Result<DomainId, HardwareError> {
        let _joining = self.joining.lock();
        match self.joins.at(index, key.slot) {
            Join::Known(domain) => return Ok(DomainId(domain)),
            Join::Lost => return Err(HardwareError::Timeout),
            Join::None => {}
        }
        let made = unit
            .smmu
            .create_domain(&smmu::Stage2::of(root, config), None);
        let domain = made.map_err(|_| HardwareError::NoContext)?;
        self.joins.set(index, key.slot, Join::Known(domain.0));
        Ok(domain)
    }

    /// Calls `each` for the SMMUs that know `key`. One that may remember it, but
    /// cannot be asked any more, is an error.
    #[inline(always)]
    fn everywhere(
        &self,
        key: DomainKey,
        mut each: impl FnMut(usize, &Unit, DomainId) -> Result<(), HardwareError>,
    ) -> Result<(), HardwareError> {
        let mut result = Ok(());
        for (index, join) in self.joins.of(key.slot) {
            let done = match (join, self.unit(index)) {
                (Join::None, _) => Ok(()),
                (Join::Known(domain), Some(unit)) => each(index, unit, DomainId(domain)),
                _ => Err(HardwareError::Timeout),
            };
            result = result.and(done);
        }
        result
    }

    /// Has the SMMUs from number `first` on forget what was unmapped.
    #[inline(never)]
    fn forget(&self, first: usize, key: DomainKey, stale: &[Stale]) -> Result<(), HardwareError> {
        // One range, the usual case, needs no memory from the heap.
        let (one, more): ([IpaRange; 1], Vec<IpaRange>);
        let ranges: &[IpaRange] = if let [stale] = stale {
            one = [smmus::range(stale)];
            &one
        } else {
            more = stale.iter().map(smmus::range).collect();
            &more
        };
        self.everywhere(key, |index, unit, domain| {
            if index < first {
                return Ok(());
            }
            let done = unit.smmu.invalidate(domain, ranges);
            done.map(drop).map_err(|_| HardwareError::Timeout)
        })
    }
}

/// An SMMU that was not there when the VM was made.
#[cold]
#[inline(never)]
fn late(index: usize) -> Option<&'static Unit> {
    smmus::unit(index)
}

impl Outside for Side {
    type Frames = TableMemory;

    fn frames(&self) -> TableMemory {
        self.tables
    }

    #[inline]
    fn ram(&self, ipa: Ipa) -> Option<Piece> {
        self.space.ram.around(ipa.0).map(|(at, extent)| Piece {
            ipa: Ipa(at),
            pa: Pa(extent.start()),
            len: extent.len(),
        })
    }

    #[inline(always)]
    fn interrupted(&self) -> bool {
        regs::interrupt_waits()
    }

    fn lookup(&self, ipa: Ipa) -> Option<Extent> {
        if let Some((pa, len)) = self.space.ram.stretch(ipa.0) {
            return Some(Extent {
                pa: Pa(pa),
                len,
                kind: ExtentKind::Ram,
                writable: true,
            });
        }
        // Only BARs and registers of the VM's own devices are for DMA; the rest
        // of its map is the virtual machine's furniture.
        if !map::is_given_device(ipa.0) {
            return None;
        }
        let (pa, attrs, size) = self.space.stage2.translate(ipa)?;
        let left = size - (ipa.0 & (size - 1));
        Some(Extent {
            pa,
            len: left,
            kind: ExtentKind::Device,
            writable: attrs.writable(),
        })
    }

    fn attach(&self, endpoint: usize, target: Target) -> Result<(), HardwareError> {
        let Some(master) = self.master(endpoint) else {
            return Ok(());
        };
        for &Link { unit, index, id } in master.links() {
            let done = match target {
                Target::Blocked => unit.smmu.detach(id),
                // What the operator wrote is not the guest's to change.
                Target::Vm | Target::Domain { .. } if master.bypass => unit.smmu.bypass(id),
                Target::Vm => match self.space.place(index) {
                    Some(place) => unit.smmu.attach(id, place.domain),
                    None => unit.smmu.detach(id),
                },
                Target::Domain { key, root, config } => {
                    let domain = self.domain(index, unit, key, root, &config)?;
                    unit.smmu.attach(id, domain)
                }
            };
            done.map_err(|_| HardwareError::Timeout)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn invalidate(&self, key: DomainKey, stale: &[Stale]) -> Result<(), HardwareError> {
        // An SMMU that came late is left to `forget`, which looks it up.
        let elided = |(index, join): (usize, Join)| match (join, self.units.get(index)) {
            (Join::None, _) => true,
            (Join::Known(_), Some(Some(unit))) => unit.smmu.elide(),
            _ => false,
        };
        match self.joins.of(key.slot).position(|place| !elided(place)) {
            None => Ok(()),
            Some(first) => self.forget(first, key, stale),
        }
    }

    fn close(&self, key: DomainKey) -> Result<(), HardwareError> {
        self.everywhere(key, |index, unit, domain| {
            let (now, result) = match unit.smmu.destroy_domain(domain) {
                Ok(_) => (Join::None, Ok(())),
                // It knows the domain as before.
                Err(smmu::Error::DomainBusy(_)) => (Join::Known(domain.0), Err(())),
                Err(_) => (Join::Lost, Err(())),
            };
            self.joins.set(index, key.slot, now);
            result.map_err(|()| HardwareError::Timeout)
        })
    }

    fn info(&self, endpoint: usize) -> EndpointInfo {
        let Some(master) = self.master(endpoint) else {
            return EndpointInfo::default();
        };
        let coherent = |link: &Link| link.unit.coherent();
        EndpointInfo {
            coherent: master.links().iter().all(coherent),
            power_tracked: master.is_tracked(),
        }
    }

    fn power_set(&self, endpoint: usize, state: PowerState) -> Result<(), HardwareError> {
        let Some(master) = self.master(endpoint) else {
            return Ok(());
        };
        match state {
            PowerState::On => master
                .before(Event::Hypercall(Word::Active))
                .map_err(|_| HardwareError::Power),
            PowerState::Off => {
                master.after(Event::Hypercall(Word::Idle));
                Ok(())
            }
        }
    }

    fn power_get(&self, endpoint: usize) -> PowerReport {
        let master = self.master(endpoint);
        let active = master.is_some_and(|master| master.verdict().0 == Word::Active);
        let unit = master.and_then(|master| Some(master.links().first()?.unit));
        let smmu = match unit.map(|unit| unit.smmu.state()) {
            Some(State::On | State::Resuming) => SmmuPower::On,
            Some(State::Idle | State::Suspending) => SmmuPower::OffPending,
            _ => SmmuPower::Off,
        };
        PowerReport {
            endpoint: if active {
                PowerState::On
            } else {
                PowerState::Off
            },
            smmu,
        }
    }

    fn stats(&self, endpoint: usize, page: StatsPage) -> [u64; 3] {
        let Some(&Link { unit, id, .. }) = self
            .master(endpoint)
            .and_then(|master| master.links().first())
        else {
            return [0; 3];
        };
        let account = unit.smmu.stats().account;
        match page {
            StatsPage::Endpoint => {
                let stats = unit.smmu.link_stats(id).unwrap_or_default();
                [stats.active_ns / 1000, stats.idle_ns / 1000, stats.faults]
            }
            StatsPage::SmmuTime => [
                account.on_ns / 1000,
                account.idle_ns / 1000,
                account.gated_ns / 1000,
            ],
            StatsPage::SmmuSwitches => [account.off_ns / 1000, account.wakes, account.gates],
            StatsPage::SmmuWork => [
                account.deferrals_cancelled,
                account.invalidations_elided,
                account.sync_timeouts,
            ],
        }
    }
}

impl GuestMemory for GuestRam {
    fn read(&self, ipa: u64, buffer: &mut [u8]) -> Result<(), NotRam> {
        self.copy_out(ipa, buffer).map_err(|error| NotRam(error.0))
    }

    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), NotRam> {
        self.copy_in(ipa, bytes).map_err(|error| NotRam(error.0))
    }
}

/// A VM's front ends, made once it is complete.
pub type Slot = Once<GuestDma>;
