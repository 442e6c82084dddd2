//! Writes the device tree a guest boots with.
//!
//! [`GuestPlatform`] says what the VM has; [`GuestPlatform::device_tree`]
//! turns it into a blob. Nothing of the host's tree shines through except
//! the raw properties of passed-through devices.

mod core_nodes;
mod fdt;
mod io_nodes;

use super::Range;
use alloc::vec::Vec;
use fdt::Fdt;

/// Numbers by which nodes refer to each other; a passed-through device's raw
/// properties may use them.
pub mod phandle {
    /// Interrupt controller.
    pub const GIC: u32 = 1;
    /// 24 MHz clock of the PL011.
    pub const UART_CLOCK: u32 = 2;
    /// GICv2m frame.
    pub const V2M: u32 = 3;
    /// SCMI power domains, one cell.
    pub const SCMI_POWER: u32 = 4;
    /// SCMI clocks, one cell.
    pub const SCMI_CLOCK: u32 = 5;
    /// SCMI shared memory.
    pub const SCMI_SHMEM: u32 = 6;
    /// The guest's IOMMU (of whichever kind), one cell.
    pub const IOMMU: u32 = 7;
    /// First number free for nodes of passed-through devices.
    pub const FREE: u32 = 0x100;
}

/// Everything a guest's device tree says.
#[derive(Clone, Debug)]
pub struct GuestPlatform<'a> {
    /// RAM, guest physical.
    pub memory: &'a [Range],
    /// VMPIDR_EL2 of each vCPU, boot vCPU first; only affinity fields count.
    pub mpidrs: &'a [u64],
    /// Interrupt controller.
    pub gic: Gic,
    /// GICv2m frame.
    pub msi: Option<Msi>,
    /// PL011 and its SPI.
    pub uart: Option<Device>,
    /// PCI host bridge.
    pub pci: Option<PciHost<'a>>,
    /// SCMI server.
    pub scmi: Option<Scmi>,
    /// IOMMU the guest may drive.
    pub iommu: Option<Iommu>,
    /// Passed-through platform devices.
    pub devices: &'a [PassedDevice<'a>],
    /// What the boot loader says.
    pub chosen: Chosen<'a>,
}

/// Register window and SPI of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Registers.
    pub reg: Range,
    /// SPI number (INTID − 32).
    pub spi: u32,
}

/// Interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2.
    V2 {
        /// Distributor.
        distributor: Range,
        /// CPU interface.
        cpu_interface: Range,
    },
    /// GICv3.
    V3 {
        /// Distributor.
        distributor: Range,
        /// Redistributors of all vCPUs, one after the other.
        redistributors: Range,
    },
}

/// A GICv2m frame (below either kind of GIC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msi {
    /// The frame.
    pub frame: Range,
    /// First SPI (INTID − 32).
    pub spi_base: u32,
    /// Number of SPIs.
    pub spi_count: u32,
}

/// A generic ECAM host bridge.
#[derive(Clone, Copy, Debug)]
pub struct PciHost<'a> {
    /// Configuration space, 1 MiB a bus.
    pub ecam: Range,
    /// First and last bus.
    pub buses: (u8, u8),
    /// 32-bit memory window; bus address = guest physical address.
    pub mmio32: Range,
    /// 64-bit memory window, likewise.
    pub mmio64: Option<Range>,
    /// Wired interrupts.
    pub intx: &'a [Intx],
    /// Resources are assigned: the guest must not move BARs.
    pub probe_only: bool,
    /// DMA snoops CPU caches.
    pub dma_coherent: bool,
    /// First requester id, first IOMMU id and count, if behind [`Iommu`].
    pub iommu_map: Option<(u32, u32, u32)>,
    /// SCMI power domain of the bridge (the whole bus).
    pub power_domain: Option<u32>,
}

/// One wired PCI interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intx {
    /// Bus of the function.
    pub bus: u8,
    /// Device number, 0–31.
    pub slot: u8,
    /// Pin, 1–4 for INTA–INTD.
    pub pin: u8,
    /// SPI (INTID − 32), level, active high.
    pub spi: u32,
}

/// An SCMI server behind HVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scmi {
    /// Shared memory page, outside RAM.
    pub shmem: Range,
    /// Function id of the HVC.
    pub function: u32,
    /// Offers the power domain protocol.
    pub power_domains: bool,
    /// Offers the clock protocol.
    pub clocks: bool,
}

/// What kind of IOMMU a guest drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iommu {
    /// virtio-iommu on virtio-mmio.
    Virtio(Device),
    /// Stagegate's hypercalls (`docs/abi.md`).
    Hypercall,
}

/// A device of the board given to the guest.
#[derive(Clone, Copy, Debug)]
pub struct PassedDevice<'a> {
    /// Node name without unit address.
    pub name: &'a str,
    /// Phandle, from [`phandle::FREE`] on.
    pub phandle: Option<u32>,
    /// Register windows as the guest sees them.
    pub reg: &'a [Range],
    /// Interrupts.
    pub interrupts: &'a [Spi],
    /// SCMI power domain.
    pub power_domain: Option<u32>,
    /// SCMI clocks.
    pub clocks: &'a [u32],
    /// IOMMU endpoint ids, if behind [`GuestPlatform::iommu`].
    pub iommu_ids: &'a [u32],
    /// DMA snoops CPU caches.
    pub dma_coherent: bool,
    /// Further properties, `compatible` among them, copied as they are.
    pub properties: &'a [Property<'a>],
}

/// A raw property.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// Name.
    pub name: &'a str,
    /// Value.
    pub value: &'a [u8],
}

/// A shared peripheral interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spi {
    /// Number (INTID − 32).
    pub number: u32,
    /// Trigger.
    pub trigger: Trigger,
}

/// How an interrupt is signalled; the values are the binding's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Trigger {
    /// Rising edge.
    Edge = 1,
    /// Level, active high.
    Level = 4,
}

/// `/chosen`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen<'a> {
    /// Kernel command line.
    pub bootargs: &'a str,
    /// Initial ramdisk.
    pub initrd: Option<Range>,
    /// Seed for address space randomisation; fresh at every boot.
    pub kaslr_seed: Option<u64>,
    /// Seed for the random number generator; empty for none.
    pub rng_seed: &'a [u8],
}

/// Why a device tree cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtError {
    /// A name or string holds a NUL byte.
    NulInText,
    /// More bytes than the format can address.
    TooLarge,
    /// A device refers to an SCMI server or IOMMU the platform does not have.
    Dangling(u32),
    /// The initial ramdisk ends behind the last address.
    Initrd(u64),
}

impl core::fmt::Display for DtError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::NulInText => f.write_str("a name or string holds a NUL byte"),
            Self::TooLarge => f.write_str("the device tree is too large"),
            Self::Dangling(phandle) => {
                write!(f, "a device refers to node {phandle}, which this VM lacks")
            }
            Self::Initrd(base) => write!(f, "the ramdisk at {base:#x} does not end"),
        }
    }
}

impl GuestPlatform<'_> {
    /// Writes the blob.
    ///
    /// # Errors
    ///
    /// [`DtError`].
    pub fn device_tree(&self) -> Result<Vec<u8>, DtError> {
        self.references()?;
        let mut fdt = Fdt::default();
        fdt.node("", |root| {
            root.cells("#address-cells", &[2]);
            root.cells("#size-cells", &[2]);
            root.strings("compatible", &["linux,dummy-virt"]);
            root.strings("model", &["stagegate,virt"]);
            root.cells("interrupt-parent", &[phandle::GIC]);
            self.core_nodes(root);
            self.io_nodes(root);
        });
        fdt.finish()
    }

    /// Every phandle that will be written has a node.
    fn references(&self) -> Result<(), DtError> {
        let power = self.scmi.is_some_and(|scmi| scmi.power_domains);
        let clocks = self.scmi.is_some_and(|scmi| scmi.clocks);
        let pci = self.pci.as_ref();
        let wants_power = pci.is_some_and(|pci| pci.power_domain.is_some())
            || self.devices.iter().any(|dev| dev.power_domain.is_some());
        let wants_clocks = self.devices.iter().any(|dev| !dev.clocks.is_empty());
        let wants_iommu = pci.is_some_and(|pci| pci.iommu_map.is_some())
            || self.devices.iter().any(|dev| !dev.iommu_ids.is_empty());
        for (wanted, there, node) in [
            (wants_power, power, phandle::SCMI_POWER),
            (wants_clocks, clocks, phandle::SCMI_CLOCK),
            (wants_iommu, self.iommu.is_some(), phandle::IOMMU),
        ] {
            if wanted && !there {
                return Err(DtError::Dangling(node));
            }
        }
        match self.chosen.initrd {
            Some(initrd) if initrd.end().is_none() => Err(DtError::Initrd(initrd.base)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
