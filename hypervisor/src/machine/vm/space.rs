//! A VM's address space: its RAM and the stage 2 of its CPUs, which its SMMUs
//! walk too where they can, and mirrors of it for those that cannot.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

use pgtable::{Attrs, Config, Ipa, Lookup, Pa, Stale, Table, Walks};
use smmu::{DomainId, Mirror, Vmid, mirror};
use spin::Once;
use spin::mutex::SpinMutex;

use super::ram::GuestRam;
use crate::arch::cache;
use crate::arch::ram::Extent;
use crate::arch::tables::TableMemory;
use crate::guest::map;
use crate::machine::board::gic;
use crate::machine::board::smmus::{self, Unit};

/// A mirror of a VM's stage 2, and what was said about it.
struct Mirrored {
    mirror: Mirror<TableMemory>,
    told: AtomicU32,
}

/// Mappings that a mirror leaves out and the console shows: a guest may move
/// its BARs as often as it likes.
const SHOWN: u32 = 8;

/// A domain of an SMMU, by both.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the SMMU.
    pub unit: usize,
    /// Domain there.
    pub domain: DomainId,
    /// Which of the VM's mirrors it walks; `None`: the CPUs' own tables.
    mirror: Option<usize>,
}

/// Guest physical address, place, bytes and attributes.
type Mapping = (u64, u64, u64, Attrs);

/// Why an SMMU's masters cannot be given to the VM.
enum Refusal {
    /// The driver's reason.
    Smmu(smmu::Error),
    /// RAM at this guest physical address is not in the mirror.
    Ram(u64, pgtable::Error),
    /// RAM at this address is wider than the SMMU's so many bits.
    Beyond(u64, u8),
    /// A mirror cannot be made while the VM maps and unmaps.
    Runs,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smmu(error) => write!(f, "{error}"),
            Self::Ram(ipa, error) => write!(f, "RAM at {ipa:#x} cannot be mirrored: {error}"),
            Self::Runs => write!(f, "the VM runs"),
            Self::Beyond(pa, bits) => write!(
                f,
                "memory at {pa:#x} is beyond its {bits} bits: keep the VM below"
            ),
        }
    }
}

impl From<smmu::Error> for Refusal {
    fn from(error: smmu::Error) -> Self {
        Self::Smmu(error)
    }
}

/// Input address bits of every VM: 1 TiB, enough for its RAM and devices, and
/// one level less to walk than 48 bits.
pub const IPA_BITS: u32 = 40;

/// Stage-2 tables of CPUs and, where they can, SMMUs.
pub type Stage2 = Table<TableMemory>;

/// What a VM's CPUs and devices can reach, and where that is in the machine.
pub struct AddressSpace {
    /// Its memory.
    pub ram: GuestRam,
    /// Its translation, for CPUs and DMA.
    pub stage2: Stage2,
    /// Its domains at SMMUs: those that walk its tables or a mirror of them.
    /// By the index of the SMMU.
    places: Vec<Once<Place>>,
    /// Its tables in other shapes, for SMMUs that need one.
    mirrors: Vec<Once<Mirrored>>,
    /// What is mapped for good besides RAM, as [`fixed`](Self::fixed).
    kept: SpinMutex<Vec<Mapping>>,
    vmid: u16,
    /// Label of the VM, for the operator.
    owner: &'static str,
    /// An SMMU did not forget what was unmapped: that is out of use for good.
    torn: AtomicBool,
}

impl AddressSpace {
    /// That of the VM called `owner`, with its RAM in place.
    ///
    /// # Errors
    /// There is no memory for the tables.
    pub fn new(
        vmid: u16,
        owner: &'static str,
        ram: GuestRam,
        stage2: Stage2,
    ) -> Result<Self, pgtable::Error> {
        let space = Self {
            ram,
            stage2,
            places: smmus::slots().iter().map(|_| Once::new()).collect(),
            mirrors: smmus::slots().iter().map(|_| Once::new()).collect(),
            kept: SpinMutex::default(),
            vmid,
            owner,
            torn: AtomicBool::new(false),
        };
        for (ipa, pa, len, attrs) in space.fixed() {
            space.map(ipa, pa, len, attrs)?;
        }
        Ok(space)
    }

    /// The VM's number.
    pub const fn vmid(&self) -> u16 {
        self.vmid
    }

    /// Label of the VM.
    pub const fn owner(&self) -> &'static str {
        self.owner
    }

    /// (`VTCR_EL2`, `VTTBR_EL2`) of the VM's CPUs.
    #[must_use]
    pub fn registers(&self) -> (u64, u64) {
        (
            self.stage2.config().vtcr(),
            self.stage2.baddr() | u64::from(self.vmid) << 48,
        )
    }

    /// Guest physical address, place, bytes and attributes of what is mapped
    /// from the beginning: RAM first. With GICv2 its CPU interface is hardware.
    fn fixed(&self) -> impl Iterator<Item = Mapping> + '_ {
        let pieces = self.ram.pieces();
        let ram = pieces.map(|(ipa, extent)| (ipa, extent.start(), extent.len(), Attrs::RAM));
        let interface = gic::virtual_cpu_interface();
        ram.chain(interface.map(|pa| (map::GICC.base, pa, 0x2000, Attrs::DEVICE)))
    }

    /// Maps `len` bytes at `pa` into the VM, for its CPUs and its devices.
    ///
    /// # Errors
    /// The range does not fit or is taken; nothing is mapped.
    pub fn map(&self, ipa: u64, pa: u64, len: u64, attrs: Attrs) -> Result<(), pgtable::Error> {
        self.stage2.map(Ipa(ipa), Pa(pa), len, attrs)?;
        for mirrored in self.mirrors() {
            // The CPUs have it; the mirror says what it leaves out.
            let _ = mirrored.map(self.owner, ipa, pa, len, attrs);
        }
        Ok(())
    }

    /// As [`map`](Self::map), for good.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn keep(&self, ipa: u64, pa: u64, len: u64, attrs: Attrs) -> Result<(), pgtable::Error> {
        self.map(ipa, pa, len, attrs)?;
        self.kept.lock().push((ipa, pa, len, attrs));
        Ok(())
    }

    /// Unmaps what one [`map`](Self::map) mapped, and makes every walker
    /// forget it: this VM's CPUs, and its SMMUs unless they are off. If an SMMU
    /// does not answer, its domain is fenced, and the range and what was mapped
    /// there are kept from reuse.
    ///
    /// # Errors
    /// It is not mapped; nothing changed.
    pub fn unmap(&self, ipa: u64, len: u64) -> Result<(), pgtable::Error> {
        let detached = self.stage2.unmap(Ipa(ipa), len)?;
        let vttbr = self.registers().1;
        let mut done = self.stage2.release(detached, |stale| {
            cache::invalidate_stage2(vttbr, stale.ipa().0, stale.len(), stale.stride());
            self.forget(None, &stale)
        });
        for (index, mirrored) in self.mirrors().enumerate() {
            let forget = |stale| self.forget(Some(index), &stale);
            done = done.and(mirrored.mirror.unmap(Ipa(ipa), len, forget));
        }
        if let Err(error) = done {
            self.torn.store(true, Ordering::Relaxed);
            log::error!(
                "{}: an SMMU does not forget what was unmapped: {error}",
                self.owner
            );
        }
        Ok(())
    }

    /// Whether a CPU that faulted at `ipa` is only to try again, because another
    /// is mapping there or has just done so.
    pub fn changing(&self, ipa: u64) -> bool {
        match self.stage2.lookup(Ipa(ipa)) {
            Lookup::Absent => false,
            // A range that is out of use for good looks the same, and to try
            // again would be for ever.
            Lookup::Changing => !self.torn.load(Ordering::Relaxed),
            Lookup::Mapped(..) => true,
        }
    }

    /// Makes the SMMUs that walk the stage 2, or this mirror of it, forget what
    /// was unmapped. All are told before the first is waited for.
    fn forget(&self, mirror: Option<usize>, stale: &Stale) -> Result<(), smmu::Error> {
        let range = [smmus::range(stale)];
        // An SMMU that is not seen here has yet to walk the tables for the first
        // time: the other half is in `open_places`.
        fence(Ordering::SeqCst);
        let walking = self.places().filter(|place| place.mirror == mirror);
        let begun: Vec<_> = walking
            .filter_map(|place| Some((smmus::unit(place.unit)?, place.domain)))
            .map(|(unit, domain)| unit.smmu.begin_invalidate(domain, &range))
            .collect();
        begun
            .into_iter()
            .map(|pending| pending?.finish().map(drop))
            .fold(Ok(()), Result::and)
    }

    /// Its domains at SMMUs.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter_map(Once::get)
    }

    /// Its domain at SMMU `unit`.
    pub fn place(&self, unit: usize) -> Option<&Place> {
        self.places.get(unit)?.get()
    }

    fn mirrors(&self) -> impl Iterator<Item = &Mirrored> {
        self.mirrors.iter().map_while(Once::get)
    }

    /// Opens a domain for this VM at each SMMU in `units` where it has none: of
    /// its CPUs' tables, or of a mirror where the SMMU cannot walk those. An SMMU
    /// that can have neither is reported and left out. Unless the VM stands
    /// `still`, no mirror is made: whether one is missing.
    pub fn open_places(&self, units: &[usize], still: bool) -> bool {
        let mut missing = false;
        for &index in units.iter().filter(|unit| self.place(**unit).is_none()) {
            let (Some(unit), Some(place)) = (smmus::unit(index), self.places.get(index)) else {
                continue;
            };
            match self.open_place(index, unit, still) {
                Ok(made) => {
                    place.call_once(|| made);
                }
                Err(Refusal::Runs) => missing = true,
                Err(why) => log::error!(
                    "{}: {} cannot walk the VM's tables, nor a mirror: {why}",
                    self.owner,
                    unit.path
                ),
            }
        }
        fence(Ordering::SeqCst);
        missing
    }

    fn open_place(&self, index: usize, unit: &Unit, still: bool) -> Result<Place, Refusal> {
        let limits = unit.limits();
        let beyond = |pa: &u64| pa.checked_shr(limits.pa_bits.into()).unwrap_or(0) != 0;
        let last = |(_, extent): (u64, Extent)| extent.start() + (extent.len() - 1);
        if let Some(pa) = self.ram.pieces().map(last).find(beyond) {
            return Err(Refusal::Beyond(pa, limits.pa_bits));
        }
        let place = |domain, mirror| Place {
            unit: index,
            domain,
            mirror,
        };
        let own = smmu::Stage2::of(self.stage2.root(), self.stage2.config());
        let chosen = limits.granules & self.stage2.config().page_size() as u32 != 0;
        let why = match self.domain(unit, &own) {
            Ok(domain) if chosen => return Ok(place(domain, None)),
            // It could, but the operator chose other pages for it.
            Ok(domain) => {
                unit.smmu.destroy_domain(domain)?;
                smmu::Error::Granule(own.granule_shift)
            }
            Err(why) => why,
        };
        let shape = mirror::shape(self.stage2.config(), &limits).map_err(|_| why)?;
        let mirror = self.mirror(shape, still)?;
        let tables = self.mirrors().nth(mirror).map(|m| m.mirror.tables());
        let domain = self.domain(unit, &tables.ok_or(why)?)?;
        log::info!(
            "{}: {} does not walk its tables ({why}): a mirror of {} KiB pages, {}-bit input, {}-bit output, {}",
            self.owner,
            unit.path,
            shape.page_size() >> 10,
            shape.ipa_bits(),
            shape.pa_bits(),
            if shape.walks() == Walks::Coherent {
                "coherent"
            } else {
                "not coherent"
            },
        );
        Ok(place(domain, Some(mirror)))
    }

    /// A domain of these tables, with the VM's number as VMID where that is
    /// free.
    fn domain(&self, unit: &Unit, tables: &smmu::Stage2) -> Result<DomainId, smmu::Error> {
        match unit.smmu.create_domain(tables, Some(Vmid(self.vmid))) {
            Err(smmu::Error::VmidBusy(_)) => unit.smmu.create_domain(tables, None),
            outcome => outcome,
        }
    }

    /// The mirror of this shape, made if there is none. All RAM is in it.
    fn mirror(&self, shape: Config, still: bool) -> Result<usize, Refusal> {
        let same = |m: &Mirrored| *m.mirror.table().config() == shape;
        if let Some(index) = self.mirrors().position(same) {
            return Ok(index);
        }
        if !still {
            return Err(Refusal::Runs);
        }
        let at = crate::guest::map::RAM_BASE;
        let mirror = Mirror::new(shape, TableMemory::unbounded());
        let mirror = mirror.map_err(|error| Refusal::Ram(at, error))?;
        let mirrored = Mirrored {
            mirror,
            told: AtomicU32::new(0),
        };
        let kept = self.kept.lock().clone();
        for (ipa, pa, len, attrs) in self.fixed().chain(kept) {
            let fits = mirrored.map(self.owner, ipa, pa, len, attrs);
            if let (Err(error), true) = (fits, self.ram.contains(ipa, len)) {
                return Err(Refusal::Ram(ipa, error));
            }
        }
        // There is room for one at each SMMU.
        let index = self.mirrors().count();
        let room = self.mirrors.get(index).ok_or(Refusal::Runs)?;
        room.call_once(|| mirrored);
        Ok(index)
    }

    /// The shape of tables that all of the VM's SMMUs can walk, as far as there
    /// is one: for domains that the VM makes itself.
    #[must_use]
    pub fn dma_shape(&self) -> Config {
        let mirrored = self.places().filter(|place| place.mirror.is_some());
        let units = mirrored.filter_map(|place| smmus::unit(place.unit));
        units.fold(*self.stage2.config(), |shape, unit| {
            mirror::shape(&shape, &unit.limits()).unwrap_or(shape)
        })
    }
}

impl Mirrored {
    /// Maps what the VM's tables map; says so when it is left out.
    fn map(
        &self,
        vm: &str,
        ipa: u64,
        pa: u64,
        len: u64,
        attrs: Attrs,
    ) -> Result<(), pgtable::Error> {
        let outcome = self.mirror.map(Ipa(ipa), Pa(pa), len, attrs);
        if let Err(why) = outcome
            && self.told.fetch_add(1, Ordering::Relaxed) < SHOWN
        {
            log::warn!(
                "{vm}: {len:#x} bytes at {ipa:#x} are left out of the mirror for DMA: {why}"
            );
        }
        outcome
    }
}
