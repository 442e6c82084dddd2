//! A VM with RAM, a device and three endpoints, two of which are in domains of their own.

use super::smmu::Smmu;
use hypervisor::dma::{
    DomainKey, DomainKind, EndpointInfo, Extent, ExtentKind, Fixed, GuestMemory, HardwareError,
    NotRam, Outside, Piece, Policy, PowerReport, Target, VmDma,
};
use pgtable::{Arena, Config, Granule, Ipa, Pa, Stale};
use stagegate_abi::{PowerState, SmmuPower, StatsPage};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const PAGE: u64 = 0x1000;
pub const BLOCK: u64 = 0x20_0000;
pub const RAM: u64 = 0x4000_0000;
pub const RAM_SIZE: u64 = 0x40_0000;
pub const RAM_PA: u64 = 0x8000_0000;
pub const ENDPOINTS: [u32; 3] = [8, 16, 0x2000];
/// RAM that has bytes behind it; the rest only has addresses.
pub const BACKED: usize = 16 * 4096;

/// Bytes for the tables of a domain.
pub const FRAMES: usize = 0x2_0000;
pub const DOORBELL: Fixed = Fixed {
    iova: 0x0802_0000,
    pa: Pa(0x0809_0000),
    size: PAGE,
};

/// Stage 2 and SMMU of the VM.
#[derive(Debug, Default)]
pub struct Machine(Mutex<Smmu>);

impl Machine {
    /// The SMMU. If a check of its has failed, the run is over anyway.
    pub fn smmu(&self) -> MutexGuard<'_, Smmu> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outside for Machine {
    type Frames = Arc<Arena>;

    fn frames(&self) -> Arc<Arena> {
        self.smmu().arena()
    }

    fn ram(&self, ipa: Ipa) -> Option<Piece> {
        (RAM..RAM + RAM_SIZE).contains(&ipa.0).then_some(Piece {
            ipa: Ipa(RAM),
            pa: Pa(RAM_PA),
            len: RAM_SIZE,
        })
    }

    fn lookup(&self, ipa: Ipa) -> Option<Extent> {
        let offset = ipa.0.checked_sub(RAM)?;
        let len = RAM_SIZE.checked_sub(offset).filter(|len| *len != 0)?;
        Some(Extent {
            pa: Pa(RAM_PA + offset),
            len,
            kind: ExtentKind::Ram,
            writable: true,
        })
    }

    fn attach(&self, endpoint: usize, target: Target) -> Result<(), HardwareError> {
        assert!(endpoint < ENDPOINTS.len());
        if let Target::Domain { key, root, .. } = target {
            self.smmu().attach(key.slot, root);
        }
        Ok(())
    }

    fn invalidate(&self, domain: DomainKey, stale: &[Stale]) -> Result<(), HardwareError> {
        self.smmu().invalidate(domain.slot, stale);
        Ok(())
    }

    fn close(&self, domain: DomainKey) -> Result<(), HardwareError> {
        self.smmu().close(domain.slot);
        Ok(())
    }

    fn info(&self, _: usize) -> EndpointInfo {
        EndpointInfo::default()
    }

    fn power_set(&self, _: usize, _: PowerState) -> Result<(), HardwareError> {
        Ok(())
    }

    fn power_get(&self, _: usize) -> PowerReport {
        PowerReport {
            endpoint: PowerState::On,
            smmu: SmmuPower::On,
        }
    }

    fn stats(&self, _: usize, _: StatsPage) -> [u64; 3] {
        [0; 3]
    }
}

/// Memory of the VM. After each read the bytes read may change, as if by another vCPU.
pub struct Ram {
    bytes: RefCell<Vec<u8>>,
    scribble: bool,
}

impl Ram {
    /// RAM that starts with `bytes`.
    pub fn new(bytes: &[u8], scribble: bool) -> Self {
        let mut ram = bytes.to_vec();
        ram.resize(BACKED, 0);
        Self {
            bytes: RefCell::new(ram),
            scribble,
        }
    }

    fn range(&self, ipa: u64, len: usize) -> Result<std::ops::Range<usize>, NotRam> {
        let start = ipa.checked_sub(RAM).ok_or(NotRam(ipa))?;
        let start = usize::try_from(start).map_err(|_| NotRam(ipa))?;
        let end = start.checked_add(len).ok_or(NotRam(ipa))?;
        if end <= BACKED {
            Ok(start..end)
        } else {
            Err(NotRam(ipa))
        }
    }
}

impl Ram {
    /// Writes numbers one after the other, as the guest does before it calls.
    pub fn put(&self, ipa: u64, numbers: impl IntoIterator<Item = u64>) {
        for (place, number) in (ipa..).step_by(8).zip(numbers) {
            self.write(place, &number.to_le_bytes()).expect("backed");
        }
    }
}

impl GuestMemory for Ram {
    fn read(&self, ipa: u64, buffer: &mut [u8]) -> Result<(), NotRam> {
        let range = self.range(ipa, buffer.len())?;
        let bytes = &mut self.bytes.borrow_mut()[range];
        buffer.copy_from_slice(bytes);
        if self.scribble {
            bytes.iter_mut().for_each(|byte| *byte ^= 0xa5);
        }
        Ok(())
    }

    fn write(&self, ipa: u64, bytes: &[u8]) -> Result<(), NotRam> {
        let range = self.range(ipa, bytes.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }
}

/// A VM with two paging domains, 0 and 1, and an endpoint in each.
pub fn vm() -> VmDma<Machine> {
    let config = Config::new(Granule::K4, 39, 40).expect("a usual shape");
    let vm = VmDma::new(
        Machine::default(),
        1,
        config,
        &ENDPOINTS,
        &[DOORBELL],
        Policy::default(),
    );
    for endpoint in &ENDPOINTS[..2] {
        let id = vm.alloc(DomainKind::Paging).expect("room for two");
        vm.attach(id, *endpoint).expect("both exist");
    }
    vm
}

/// The VM ends: when nothing is deferred any more, the SMMU remembers nothing that is gone; and then
/// there is nothing left.
pub fn end(vm: &VmDma<Machine>) {
    for id in 0..vm.domains() {
        let _ = vm.sync(id);
        vm.outside().smmu().settled(id as u16);
    }
    vm.stop(|| ()).expect("the SMMU answers");
    vm.outside().smmu().end();
}
