//! A small machine for tests: RAM, a device, and an SMMU that records what it is told.

use super::outside::*;
use super::{DomainKey, Policy, VmDma};
use pgtable::{Arena, Config, Granule, Ipa, Pa, Stale};
use stagegate_abi::{PowerState, SmmuPower, StatsPage};
use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec;
use std::vec::Vec;

pub const PAGE: u64 = 0x1000;
pub const BLOCK: u64 = 0x20_0000;
/// Guest RAM: 16 MiB in two pieces that lie apart in the machine.
pub const RAM: u64 = 0x4000_0000;
pub const RAM_SIZE: u64 = 0x100_0000;
pub const RAM_SPLIT: u64 = RAM + 0x80_0000;
pub const RAM_PA: u64 = 0x8000_0000;
pub const RAM_PA2: u64 = 0x9000_0000;
/// A page in RAM that the guest may only read.
pub const READ_ONLY: u64 = RAM + RAM_SIZE;
pub const DEVICE: u64 = 0x1000_0000;
pub const DEVICE_PA: u64 = 0x2_0000_0000;
pub const DOORBELL: u64 = 0x0802_0000;
pub const ENDPOINTS: [u32; 3] = [0x8, 0x10, 0x2000];

/// What the SMMU was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Attach(usize, &'static str, Option<u16>),
    Invalidate(u16, Vec<(u64, u64)>),
    Close(u16),
    Power(usize, PowerState),
}

#[derive(Debug, Default)]
pub struct Machine {
    pub told: Mutex<Vec<Told>>,
    /// Invalidations and closes time out.
    pub stuck: AtomicBool,
    /// Powering up fails.
    pub dead: AtomicBool,
    /// After so many questions an interrupt waits, and then always; with zero, never.
    pub patience: AtomicUsize,
    /// Frames that each new table may take, if not zero.
    pub frames: AtomicUsize,
}

impl Machine {
    fn tell(&self, what: Told) {
        self.told.lock().unwrap().push(what);
    }

    pub fn take(&self) -> Vec<Told> {
        core::mem::take(&mut *self.told.lock().unwrap())
    }

    fn answer(&self) -> Result<(), HardwareError> {
        if self.stuck.load(Ordering::Relaxed) {
            Err(HardwareError::Timeout)
        } else {
            Ok(())
        }
    }
}

impl Outside for Machine {
    type Frames = Arena;

    fn frames(&self) -> Arena {
        let arena = Arena::new(Pa(0xc000_0000), 0x4_0000);
        let frames = self.frames.load(Ordering::Relaxed);
        if frames != 0 {
            arena.limit(Some(frames));
        }
        arena
    }

    /// For the first of the two pieces, so that both ways are taken.
    fn ram(&self, ipa: Ipa) -> Option<Piece> {
        (RAM..RAM_SPLIT).contains(&ipa.0).then_some(Piece {
            ipa: Ipa(RAM),
            pa: Pa(RAM_PA),
            len: RAM_SPLIT - RAM,
        })
    }

    fn lookup(&self, ipa: Ipa) -> Option<Extent> {
        let pieces = [
            (RAM, RAM_SPLIT, RAM_PA, ExtentKind::Ram, true),
            (RAM_SPLIT, RAM + RAM_SIZE, RAM_PA2, ExtentKind::Ram, true),
            (
                READ_ONLY,
                READ_ONLY + PAGE,
                0xa000_0000,
                ExtentKind::Ram,
                false,
            ),
            (
                DEVICE,
                DEVICE + 4 * PAGE,
                DEVICE_PA,
                ExtentKind::Device,
                true,
            ),
        ];
        pieces
            .into_iter()
            .find(|(start, end, ..)| (*start..*end).contains(&ipa.0))
            .map(|(start, end, pa, kind, writable)| Extent {
                pa: Pa(pa + ipa.0 - start),
                len: end - ipa.0,
                kind,
                writable,
            })
    }

    fn attach(&self, endpoint: usize, target: Target) -> Result<(), HardwareError> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(HardwareError::Power);
        }
        self.tell(match target {
            Target::Blocked => Told::Attach(endpoint, "blocked", None),
            Target::Vm => Told::Attach(endpoint, "vm", None),
            Target::Domain { key, .. } => Told::Attach(endpoint, "domain", Some(key.slot)),
        });
        Ok(())
    }

    fn invalidate(&self, domain: DomainKey, stale: &[Stale]) -> Result<(), HardwareError> {
        let ranges = stale.iter().map(|stale| (stale.ipa().0, stale.len()));
        self.tell(Told::Invalidate(domain.slot, ranges.collect()));
        self.answer()
    }

    fn close(&self, domain: DomainKey) -> Result<(), HardwareError> {
        self.tell(Told::Close(domain.slot));
        self.answer()
    }

    fn interrupted(&self) -> bool {
        let relaxed = Ordering::Relaxed;
        let less = |left: usize| (left > 1).then(|| left - 1);
        match self.patience.load(relaxed) {
            0 => false,
            _ => self.patience.fetch_update(relaxed, relaxed, less).is_err(),
        }
    }

    fn info(&self, endpoint: usize) -> EndpointInfo {
        EndpointInfo {
            coherent: endpoint == 0,
            power_tracked: true,
        }
    }

    fn power_set(&self, endpoint: usize, state: PowerState) -> Result<(), HardwareError> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(HardwareError::Power);
        }
        self.tell(Told::Power(endpoint, state));
        Ok(())
    }

    fn power_get(&self, _: usize) -> PowerReport {
        PowerReport {
            endpoint: PowerState::On,
            smmu: SmmuPower::OffPending,
        }
    }

    fn stats(&self, endpoint: usize, page: StatsPage) -> [u64; 3] {
        [endpoint as u64, page as u64, 7]
    }
}

pub fn config() -> Config {
    Config::new(Granule::K4, 39, 40).unwrap()
}

pub fn vm_with(policy: Policy) -> VmDma<Machine> {
    let doorbell = Fixed {
        iova: DOORBELL,
        pa: Pa(0x0809_0000),
        size: PAGE,
    };
    VmDma::new(
        Machine::default(),
        1,
        config(),
        &ENDPOINTS,
        &[doorbell],
        policy,
    )
}

pub fn vm() -> VmDma<Machine> {
    vm_with(Policy::default())
}

/// Where the tables of a domain lead.
pub fn translate(vm: &VmDma<Machine>, id: u32, iova: u64) -> Option<(u64, pgtable::Attrs, u64)> {
    let held = vm.hold(id).unwrap();
    let table = held.as_ref().unwrap().table().unwrap();
    table
        .translate(Ipa(iova))
        .map(|(pa, attrs, size)| (pa.0, attrs, size))
}

/// Frames that the tables of a domain hold.
pub fn frames(vm: &VmDma<Machine>, id: u32) -> usize {
    let held = vm.hold(id).unwrap();
    held.as_ref().unwrap().table().unwrap().memory().in_use()
}

/// Pages of [`Ram`].
pub const RAM_PAGES: usize = 16;

/// Guest RAM of a few pages at [`RAM`]. Each read may be followed by a change, as if by another vCPU.
pub struct Ram {
    bytes: RefCell<Vec<u8>>,
    pub reads: Cell<usize>,
    pub scribble: Cell<bool>,
}

impl Ram {
    pub fn new() -> Self {
        Self {
            bytes: RefCell::new(vec![0; RAM_PAGES * PAGE as usize]),
            reads: Cell::new(0),
            scribble: Cell::new(false),
        }
    }

    fn range(&self, ipa: u64, len: usize) -> Result<core::ops::Range<usize>, NotRam> {
        let start = ipa.checked_sub(RAM).ok_or(NotRam(ipa))? as usize;
        let end = start.checked_add(len).ok_or(NotRam(ipa))?;
        if end > self.bytes.borrow().len() {
            return Err(NotRam(ipa));
        }
        Ok(start..end)
    }

    pub fn put(&self, ipa: u64, bytes: &[u8]) {
        let range = self.range(ipa, bytes.len()).unwrap();
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
    }

    pub fn get(&self, ipa: u64, len: usize) -> Vec<u8> {
        self.bytes.borrow()[self.range(ipa, len).unwrap()].to_vec()
    }
}

impl GuestMemory for Ram {
    fn read(&self, ipa: u64, buffer: &mut [u8]) -> Result<(), NotRam> {
        let range = self.range(ipa, buffer.len())?;
        let mut bytes = self.bytes.borrow_mut();
        buffer.copy_from_slice(&bytes[range.clone()]);
        self.reads.set(self.reads.get() + 1);
        if self.scribble.get() {
            bytes[range].fill(0xff);
        }
        Ok(())
    }

    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), NotRam> {
        let range = self.range(ipa, bytes.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }
}
