//! Fills a VM's memory with what it boots from.

use alloc::vec::Vec;
use core::fmt;

use platform::config::GuestIommu;

use crate::arch::{regs, timer};
use crate::guest::dt::{
    Chosen, Device, DtError, Gic, GuestPlatform, Intx, Iommu, Msi, PassedDevice, PciHost, Property,
    Scmi,
};
use crate::guest::image::{self, GuestMemory, ImageError, Layout, OutsideRam};
use crate::guest::{Range, map};
use crate::machine::irq;
use crate::machine::vm::Vm;
use crate::machine::vm::passed::Passed;
use crate::machine::vm::ram::PIECE;
use crate::psci::Start;
use crate::scmi::SMC_ID;
use crate::vgic::SPI_BASE;

/// Why a VM cannot start.
#[derive(Debug)]
pub enum LoadError {
    /// The kernel or the RAM disk.
    Image(ImageError),
    /// The device tree.
    DeviceTree(DtError),
    /// The device tree ends beyond the VM's RAM, at this address.
    NoRoom(u64),
}

impl From<DtError> for LoadError {
    fn from(error: DtError) -> Self {
        Self::DeviceTree(error)
    }
}

impl From<ImageError> for LoadError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(f, "{error}"),
            Self::DeviceTree(error) => write!(f, "device tree: {error}"),
            Self::NoRoom(at) => write!(
                f,
                "its memory ends at {at:#x}, before the device tree does: give it more"
            ),
        }
    }
}

/// A VM's RAM as the loader writes it.
struct Destination<'a>(&'a crate::machine::vm::ram::GuestRam);

impl GuestMemory for Destination<'_> {
    fn write(&mut self, ipa: u64, bytes: &[u8]) -> Result<(), OutsideRam> {
        let at = (ipa..).step_by(PIECE as usize);
        for (piece, ipa) in bytes.chunks(PIECE as usize).zip(at) {
            let copied = self.0.copy_in(ipa, piece);
            copied.map_err(|error| OutsideRam(error.0))?;
            // As when memory is scrubbed: this takes long.
            irq::take_pending();
        }
        Ok(())
    }
}

/// Puts kernel, RAM disk and device tree into `vm`'s RAM.
///
/// # Errors
/// An image is damaged or does not fit; the VM must not run.
pub fn load(vm: &Vm) -> Result<Start, LoadError> {
    let ram = Range::new(map::RAM_BASE, vm.space.ram.len());
    let layout = image::load(
        vm.images.kernel,
        vm.images.ramdisk,
        ram,
        &mut Destination(&vm.space.ram),
    )?;
    let tree = device_tree(vm, ram, &layout)?;
    vm.space
        .ram
        .copy_in(layout.dtb.base, &tree)
        .map_err(|error| LoadError::NoRoom(error.0))?;
    Ok(Start {
        entry: layout.entry,
        context: layout.dtb.base,
    })
}

fn device_tree(vm: &Vm, ram: Range, layout: &Layout) -> Result<Vec<u8>, LoadError> {
    let mpidrs: Vec<u64> = vm.vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
    let intx = intx();
    let vcpus = u8::try_from(mpidrs.len()).unwrap_or(u8::MAX);
    let scmi = vm.scmi.as_ref();
    let given = || vm.passed.iter().filter(|device| device.is_installed());
    let properties: Vec<Vec<Property<'_>>> = given().map(Passed::properties).collect();
    let clocks: Vec<Vec<u32>> = given().map(|device| device.clocks(scmi)).collect();
    let parts = properties.iter().zip(&clocks);
    let passed: Vec<PassedDevice<'_>> = given()
        .zip(parts)
        .map(|(device, (list, clocks))| device.describe(scmi, list, clocks))
        .collect();
    let noise: Vec<u8> = (0..4).flat_map(|_| seed(vm).to_le_bytes()).collect();
    let platform = GuestPlatform {
        memory: &[ram],
        mpidrs: &mpidrs,
        gic: if vm.features.gicv3() {
            Gic::V3 {
                distributor: map::GICD,
                redistributors: map::gicr(vcpus),
            }
        } else {
            Gic::V2 {
                distributor: map::GICD,
                cpu_interface: map::GICC,
            }
        },
        msi: vm.messages.as_ref().map(|messages| Msi {
            frame: map::GICV2M,
            spi_base: messages.frame.first() - SPI_BASE,
            spi_count: messages.frame.count(),
        }),
        uart: Some(Device {
            reg: map::UART,
            spi: map::UART_SPI,
        }),
        pci: vm.devices.pci.as_ref().map(|_| pci_host(vm, &intx)),
        scmi: scmi.map(|_| Scmi {
            shmem: map::SCMI_SHMEM,
            function: SMC_ID,
            power_domains: true,
            clocks: true,
        }),
        iommu: iommu(vm),
        devices: &passed,
        chosen: Chosen {
            bootargs: &vm.images.bootargs,
            initrd: layout.initrd,
            kaslr_seed: Some(seed(vm)),
            rng_seed: &noise,
        },
    };
    Ok(platform.device_tree()?)
}

/// The wires of every slot: QEMU's swizzle.
fn intx() -> Vec<Intx> {
    let pins = (0..32).flat_map(|slot| (1..=4).map(move |pin| (slot, pin)));
    pins.map(|(slot, pin)| Intx {
        bus: 0,
        slot,
        pin,
        spi: map::intx_spi(slot, pin),
    })
    .collect()
}

/// The IOMMU that the guest may drive.
fn iommu(vm: &Vm) -> Option<Iommu> {
    match vm.iommu {
        GuestIommu::None => None,
        GuestIommu::Hypercall => Some(Iommu::Hypercall),
        GuestIommu::Virtio => Some(Iommu::Virtio(Device {
            reg: map::VIRTIO_IOMMU,
            spi: map::VIRTIO_IOMMU_SPI,
        })),
    }
}

fn pci_host<'a>(vm: &Vm, intx: &'a [Intx]) -> PciHost<'a> {
    PciHost {
        ecam: map::PCI_ECAM,
        buses: (0, map::PCI_BUSES - 1),
        mmio32: map::PCI_MMIO,
        mmio64: None,
        intx,
        probe_only: false,
        dma_coherent: true,
        iommu_map: (vm.iommu != GuestIommu::None).then_some((0, 0, 0x1_0000)),
        power_domain: None,
    }
}

/// The CPU's random number; without one, something that differs between boots
/// and VMs but is no secret. The guest's kernel mixes it with what else it has.
fn seed(vm: &Vm) -> u64 {
    if let Some(random) = regs::random() {
        return random;
    }
    let mut x = timer::ticks() ^ u64::from(vm.id) << 56;
    // The finaliser of SplitMix64 spreads the counter's few changing bits.
    for multiplier in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        x = (x ^ x >> 30).wrapping_mul(multiplier);
    }
    x ^ x >> 31
}
