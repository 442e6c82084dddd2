//! A small machine with one VM on it, for the tests of the virtual side.

use super::physical::WINDOWS;
use crate::pci::fake::{FakeEffects, FakeFn, FakePci, Happened};
use crate::pci::regs::{self, pcie};
use crate::pci::virt::{Access, HostConfig, MsiPolicy, VirtualHost};
use crate::pci::{PciError, PowerDenied, Rid, Topology, Width, bring_up};

pub const V2M: MsiPolicy = MsiPolicy::V2m {
    frame_ipa: 0x0802_0000,
    first_spi: 64,
    count: 32,
};

pub const CONFIG: HostConfig = HostConfig {
    window_ipa: 0x1000_0000,
    window_size: 0x2eff_0000,
    page: 4096,
    first_spi: 3,
    msi: MsiPolicy::None,
};

pub const NIC: Rid = Rid::new(0, 1, 0);
pub const NVME: Rid = Rid::new(0, 2, 0);
pub const EDU: Rid = Rid::new(0, 4, 0);

/// A NIC that loses its context in D3hot, an NVMe disk that keeps it, a
/// multi-function device, a device without capabilities, one behind a port.
pub fn machine() -> FakePci {
    let mut pci = FakePci::new(0);
    let nic = FakeFn::endpoint(0x10d3_8086)
        .bar32(0, 0x2_0000)
        .io(2, 32)
        .bar32(3, 0x4000)
        .pin(1);
    pci.add(
        None,
        1,
        0,
        nic.pm(0xc8, false)
            .msi64(0xd0)
            .pcie(pcie::ENDPOINT, true)
            .msix(0xa0, 5),
    );
    let nvme = FakeFn::endpoint(0x0010_1b36).bar64(0, 0x4000, false).pin(1);
    pci.add(
        None,
        2,
        0,
        nvme.msix(0x40, 65)
            .pcie(pcie::RC_ENDPOINT, true)
            .pm(0x60, true)
            .acs(),
    );
    pci.add(
        None,
        3,
        0,
        FakeFn::endpoint(0xaaaa_1234)
            .bar32(0, 0x1000)
            .pin(1)
            .multi(),
    );
    pci.add(
        None,
        3,
        1,
        FakeFn::endpoint(0xbbbb_1234)
            .bar32(0, 0x10)
            .bar32(1, 0x10)
            .pin(2),
    );
    pci.add(
        None,
        4,
        0,
        FakeFn::endpoint(0x11e8_1234).bar32(0, 0x10_0000).pin(1),
    );
    let port = pci.add(None, 5, 0, FakeFn::root_port());
    let virtio = FakeFn::endpoint(0x1042_1af4)
        .bar32(1, 0x1000)
        .bar64(4, 0x4000, true)
        .pin(1);
    let common = [0x10, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0];
    pci.add(
        Some(port),
        0,
        0,
        virtio.cap(0x40, 9, &common).cap(0x50, 0x0b, &[8; 14]),
    );
    pci
}

pub fn virt_spi(slot: u8, pin: u8) -> Option<u32> {
    Some(3 + (u32::from(slot) + u32::from(pin) - 1) % 4)
}

/// Machine, VM and effects, all writing to one log.
pub struct Vm {
    pub pci: FakePci,
    pub topology: Topology,
    pub host: VirtualHost,
    pub fx: FakeEffects,
}

pub fn build(rids: &[Rid], config: HostConfig) -> Result<Vm, PciError> {
    over(machine(), rids, config)
}

pub fn over(pci: FakePci, rids: &[Rid], config: HostConfig) -> Result<Vm, PciError> {
    let topology = bring_up(&pci, (0, 15), &WINDOWS, config.page)?;
    let host = VirtualHost::new(&pci, config, &topology, rids, virt_spi)?;
    let fx = FakeEffects::new(&pci.log);
    pci.take_log();
    Ok(Vm {
        pci,
        topology,
        host,
        fx,
    })
}

impl Vm {
    pub fn new(rids: &[Rid]) -> Self {
        build(rids, CONFIG).unwrap()
    }
    pub fn r32(&self, rid: Rid, offset: u16) -> u32 {
        self.host.read(
            &self.pci,
            Access {
                rid,
                offset,
                width: Width::Word,
            },
        )
    }
    pub fn r16(&self, rid: Rid, offset: u16) -> u16 {
        self.host.read(
            &self.pci,
            Access {
                rid,
                offset,
                width: Width::Half,
            },
        ) as u16
    }
    pub fn r8(&self, rid: Rid, offset: u16) -> u8 {
        self.host.read(
            &self.pci,
            Access {
                rid,
                offset,
                width: Width::Byte,
            },
        ) as u8
    }
    pub fn w32(&mut self, rid: Rid, offset: u16, value: u32) {
        let access = Access {
            rid,
            offset,
            width: Width::Word,
        };
        self.host
            .write(&self.pci, access, value, &mut self.fx)
            .unwrap();
    }
    pub fn try16(&mut self, rid: Rid, offset: u16, value: u16) -> Result<(), PowerDenied> {
        let access = Access {
            rid,
            offset,
            width: Width::Half,
        };
        self.host
            .write(&self.pci, access, value.into(), &mut self.fx)
    }
    pub fn w16(&mut self, rid: Rid, offset: u16, value: u16) {
        self.try16(rid, offset, value).unwrap();
    }
    /// What happened since last asked.
    pub fn log(&self) -> Vec<Happened> {
        self.pci.take_log()
    }
    /// The offsets of the capability list as a guest walks it.
    pub fn list(&self, rid: Rid) -> Vec<(u8, u8)> {
        let mut found = Vec::new();
        let mut at = self.r8(rid, regs::CAPABILITIES);
        while at != 0 {
            let header = self.r16(rid, at.into()).to_le_bytes();
            found.push((header[0], at));
            at = header[1];
            assert!(found.len() < 48, "list in a circle");
        }
        found
    }
}
