//! Virtual GIC registers.

use super::input::Input;
use hypervisor::vgic::{Config, ListRegisters, Lr, Maintenance, Region, SgiKind, Version, Vgic};

/// Four list registers.
#[derive(Default)]
struct Lists([Lr; 4]);

impl ListRegisters for Lists {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn read(&self, index: usize) -> Lr {
        self.0[index]
    }
    fn write(&mut self, index: usize, value: Lr) {
        self.0[index] = value;
    }
    fn empty(&self) -> u32 {
        // State in bits 63:62 (GICv3 layout).
        (0..4)
            .filter(|n| self.0[*n as usize].0 >> 62 == 0)
            .map(|n| 1 << n)
            .sum()
    }
    fn set_maintenance(&mut self, _: Maintenance) {}
    fn take_eoi_count(&mut self) -> u32 {
        0
    }
    fn deactivate(&mut self, _: u32) {}
}

/// The first byte chooses the version; then accesses of two vCPUs, SGIs, interrupts and entries.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let version = if input.byte() & 1 == 0 {
        Version::V3
    } else {
        Version::V2
    };
    let config = Config {
        version,
        vcpus: 2,
        spis: 64,
    };
    let gic = Vgic::new(&config).expect("a usual shape");
    let mut lists = [Lists::default(), Lists::default()];
    for vcpu in 0..2 {
        let _ = gic.set_online(vcpu, true);
    }
    for _ in 0..256 {
        if input.is_empty() {
            break;
        }
        let [what, size] = input.bytes();
        let vcpu = usize::from(what & 1);
        let region = if what & 2 == 0 {
            Region::Distributor
        } else {
            Region::Redistributors
        };
        let offset = input.word() as usize % 0x4_0000;
        let size = 1 << (size % 4);
        let lrs = &mut lists[vcpu];
        match what >> 2 & 7 {
            0 | 1 => {
                let _ = gic.read(vcpu, region, offset, size, lrs);
            }
            2..=4 => {
                let _ = gic.write(vcpu, region, offset, size, input.long(), lrs);
            }
            5 => {
                let _ = gic.sgi(vcpu, SgiKind::Group1, input.long());
            }
            6 => {
                let _ = gic.inject(vcpu, input.word() % 128, None);
                let _ = gic.set_level(vcpu, input.word() % 128, what & 64 != 0);
            }
            _ => {
                // The guest takes and ends an interrupt.
                let slot = &mut lrs.0[usize::from(what >> 6)];
                *slot = Lr(slot.0 & !(1 << 62) | u64::from(what & 32) << 58);
            }
        }
        let _ = gic.before_enter(vcpu, &mut lists[vcpu]);
    }
}
