//! The guest's address map and interrupts: those of QEMU's `virt` machine,
//! so that software built for it starts unchanged.
//!
//! PCI differs: ECAM is 16 buses at the end of the 32-bit window, and there
//! is no I/O port window.

use super::Range;

/// Start of RAM.
pub const RAM_BASE: u64 = 0x4000_0000;
/// GIC distributor.
pub const GICD: Range = Range::new(0x0800_0000, 0x1_0000);
/// GICv2 CPU interface.
pub const GICC: Range = Range::new(0x0801_0000, 0x1_0000);
/// GICv2m message-signalled interrupt frame.
pub const GICV2M: Range = Range::new(0x0802_0000, 0x1000);
/// First GICv3 redistributor; one per vCPU follows at [`GICR_STRIDE`].
pub const GICR_BASE: u64 = 0x080a_0000;
/// Bytes per GICv3 redistributor (RD and SGI frames).
pub const GICR_STRIDE: u64 = 0x2_0000;
/// PL011.
pub const UART: Range = Range::new(0x0900_0000, 0x1000);
/// virtio-iommu registers.
pub const VIRTIO_IOMMU: Range = Range::new(0x0a00_0000, 0x1000);
/// SCMI shared memory page.
pub const SCMI_SHMEM: Range = Range::new(0x0a10_0000, 0x1000);
/// Registers of platform devices given to the VM.
pub const PASSED: Range = Range::new(0x0b00_0000, 0x0400_0000);
/// PCI memory window, PCI address = guest physical address.
pub const PCI_MMIO: Range = Range::new(0x1000_0000, 0x2eff_0000);
/// PCI configuration space, 16 buses.
pub const PCI_ECAM: Range = Range::new(0x3f00_0000, 0x100_0000);
/// Buses in [`PCI_ECAM`].
pub const PCI_BUSES: u8 = 16;

/// SPI of the PL011.
pub const UART_SPI: u32 = 1;
/// SPI of INTA of slot 0; slot and pin add up modulo 4.
pub const PCI_INTX_SPI: u32 = 3;
/// First SPI (INTID − 32) of platform devices.
pub const PASSED_SPI_BASE: u32 = 128;
/// SPI of virtio-iommu.
pub const VIRTIO_IOMMU_SPI: u32 = 16;
/// SPI of the hypercall IOMMU's fault events.
pub const IOMMU_EVENT_SPI: u32 = 17;
/// First SPI (INTID − 32) of the GICv2m frame in front of an ITS: a multiple of
/// 32, so that a function with several MSI vectors may put the vector's number
/// into the low bits.
pub const MSI_SPI_BASE: u32 = 64;
/// SPIs of the GICv2m frame.
pub const MSI_SPI_COUNT: u32 = 64;

/// PPI (INTID) of the virtual timer.
pub const TIMER_VIRTUAL_PPI: u32 = 27;
/// PPI (INTID) of the EL1 physical timer.
pub const TIMER_PHYSICAL_PPI: u32 = 30;
/// PPI (INTID) of the secure physical timer; named in the device tree, never raised.
pub const TIMER_SECURE_PPI: u32 = 29;
/// PPI (INTID) of the EL2 timer; named in the device tree, never raised.
pub const TIMER_HYP_PPI: u32 = 26;

/// The redistributors of `vcpus` vCPUs.
#[must_use]
pub const fn gicr(vcpus: u8) -> Range {
    Range::new(GICR_BASE, GICR_STRIDE.saturating_mul(vcpus as u64))
}

/// Whether `ipa` may be a register of a device given to the VM: all else below
/// its RAM is the virtual machine's own.
#[must_use]
pub const fn is_given_device(ipa: u64) -> bool {
    PCI_MMIO.covers(ipa, 1) || PASSED.covers(ipa, 1)
}

/// SPI of an INTx pin (1–4, INTA–INTD) of a slot: what QEMU wires.
#[must_use]
pub const fn intx_spi(slot: u8, pin: u8) -> u32 {
    PCI_INTX_SPI.saturating_add((slot as u32).wrapping_add(pin as u32).wrapping_sub(1) & 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps() {
        let mut ranges = [
            GICD,
            GICC,
            GICV2M,
            gicr(8),
            UART,
            VIRTIO_IOMMU,
            SCMI_SHMEM,
            PASSED,
            PCI_MMIO,
            PCI_ECAM,
            Range::new(RAM_BASE, 1 << 30),
        ];
        ranges.sort_by_key(|range| range.base);
        for pair in ranges.windows(2) {
            assert!(pair[0].end().unwrap() <= pair[1].base, "{pair:x?}");
        }
        assert_eq!(PCI_ECAM.size, u64::from(PCI_BUSES) << 20);
    }

    #[test]
    fn only_given_devices_are_for_dma() {
        for window in [PCI_MMIO, PASSED] {
            assert!(is_given_device(window.base));
            assert!(is_given_device(window.end().unwrap() - 1));
            assert!(!is_given_device(window.base - 1));
            assert!(!is_given_device(window.end().unwrap()));
        }
        for own in [GICD, GICV2M, UART, VIRTIO_IOMMU, SCMI_SHMEM, PCI_ECAM] {
            assert!(!is_given_device(own.base));
        }
        assert!(!is_given_device(RAM_BASE));
    }

    #[test]
    fn pins_rotate_with_the_slot() {
        assert_eq!([1, 2, 3, 4].map(|pin| intx_spi(0, pin)), [3, 4, 5, 6]);
        assert_eq!([1, 2, 3, 4].map(|pin| intx_spi(31, pin)), [6, 3, 4, 5]);
    }
}
