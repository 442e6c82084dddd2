//! Nodes every guest has: chosen, memory, CPUs, PSCI, timer, GIC, console.

use super::fdt::Fdt;
use super::{Device, Gic, GuestPlatform, Msi, Range, Trigger, phandle};
use crate::guest::map;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// MPIDR_EL1 fields Aff3 and Aff2–Aff0.
const AFFINITY: u64 = 0xff_00ff_ffff;
/// First SPI as an INTID.
const FIRST_SPI: u32 = 32;
/// First PPI as an INTID.
const FIRST_PPI: u32 = 16;

/// A node name with unit address.
#[inline(never)]
pub(super) fn unit(name: &str, address: u64) -> String {
    format!("{name}@{address:x}")
}

/// `reg` of 2 + 2 cells.
#[inline(never)]
pub(super) fn reg(node: &mut Fdt, ranges: &[Range]) {
    let words: Vec<u64> = ranges
        .iter()
        .flat_map(|range| [range.base, range.size])
        .collect();
    node.wide("reg", &words);
}

impl GuestPlatform<'_> {
    pub(super) fn core_nodes(&self, root: &mut Fdt) {
        if let Some(uart) = self.uart {
            root.node("aliases", |node| {
                node.strings("serial0", &[&uart_path(uart)]);
            });
        }
        self.chosen_node(root);
        for range in self.memory {
            root.node(&unit("memory", range.base), |node| {
                node.strings("device_type", &["memory"]);
                reg(node, &[*range]);
            });
        }
        self.cpu_nodes(root);
        root.node("psci", |node| {
            node.strings("compatible", &["arm,psci-1.0", "arm,psci-0.2"]);
            node.strings("method", &["hvc"]);
        });
        self.timer_node(root);
        self.gic_node(root);
        if let Some(uart) = self.uart {
            uart_nodes(root, uart);
        }
    }

    fn chosen_node(&self, root: &mut Fdt) {
        root.node("chosen", |node| {
            node.strings("bootargs", &[self.chosen.bootargs]);
            if let Some(uart) = self.uart {
                node.strings("stdout-path", &[&uart_path(uart)]);
            }
            if let Some(initrd) = self.chosen.initrd {
                node.wide("linux,initrd-start", &[initrd.base]);
                node.wide("linux,initrd-end", &[initrd.end().unwrap_or(initrd.base)]);
            }
            if let Some(seed) = self.chosen.kaslr_seed {
                node.wide("kaslr-seed", &[seed]);
            }
            if !self.chosen.rng_seed.is_empty() {
                node.bytes("rng-seed", self.chosen.rng_seed);
            }
            // Linux reads it here, whichever bridge is meant.
            if self.pci.is_some_and(|pci| pci.probe_only) {
                node.cells("linux,pci-probe-only", &[1]);
            }
        });
    }

    fn cpu_nodes(&self, root: &mut Fdt) {
        root.node("cpus", |node| {
            node.cells("#address-cells", &[2]);
            node.cells("#size-cells", &[0]);
            for mpidr in self.mpidrs {
                let affinity = mpidr & AFFINITY;
                node.node(&unit("cpu", affinity), |cpu| {
                    cpu.strings("device_type", &["cpu"]);
                    cpu.strings("compatible", &["arm,armv8"]);
                    cpu.wide("reg", &[affinity]);
                    cpu.strings("enable-method", &["psci"]);
                });
            }
        });
    }

    fn timer_node(&self, root: &mut Fdt) {
        // GICv2's binding wants a mask of CPUs in bits 15:8 of a PPI's flags.
        let mask = match self.gic {
            Gic::V2 { .. } => {
                let cpus = self.mpidrs.len().min(8) as u32;
                (0xff_u32 >> 8_u32.saturating_sub(cpus)) << 8
            }
            Gic::V3 { .. } => 0,
        };
        let ppis = [
            map::TIMER_SECURE_PPI,
            map::TIMER_PHYSICAL_PPI,
            map::TIMER_VIRTUAL_PPI,
            map::TIMER_HYP_PPI,
        ];
        let cells: Vec<u32> = ppis
            .into_iter()
            .flat_map(|ppi| {
                [
                    1,
                    ppi.saturating_sub(FIRST_PPI),
                    mask | Trigger::Level as u32,
                ]
            })
            .collect();
        root.node("timer", |node| {
            node.strings("compatible", &["arm,armv8-timer", "arm,armv7-timer"]);
            node.cells("interrupts", &cells);
            // It keeps counting while the vCPU waits for interrupts.
            node.flag("always-on");
        });
    }

    fn gic_node(&self, root: &mut Fdt) {
        let (distributor, second, compatible) = match self.gic {
            Gic::V2 {
                distributor,
                cpu_interface,
            } => (distributor, cpu_interface, "arm,cortex-a15-gic"),
            Gic::V3 {
                distributor,
                redistributors,
            } => (distributor, redistributors, "arm,gic-v3"),
        };
        root.node(&unit("intc", distributor.base), |node| {
            node.strings("compatible", &[compatible]);
            node.cells("phandle", &[phandle::GIC]);
            node.flag("interrupt-controller");
            node.cells("#interrupt-cells", &[3]);
            node.cells("#address-cells", &[2]);
            node.cells("#size-cells", &[2]);
            node.flag("ranges");
            if matches!(self.gic, Gic::V3 { .. }) {
                node.cells("#redistributor-regions", &[1]);
            }
            reg(node, &[distributor, second]);
            if let Some(msi) = self.msi {
                v2m_node(node, msi);
            }
        });
    }
}

fn v2m_node(gic: &mut Fdt, msi: Msi) {
    gic.node(&unit("v2m", msi.frame.base), |node| {
        node.strings("compatible", &["arm,gic-v2m-frame"]);
        node.cells("phandle", &[phandle::V2M]);
        node.flag("msi-controller");
        reg(node, &[msi.frame]);
        // The binding counts in INTIDs.
        let base = msi.spi_base.saturating_add(FIRST_SPI);
        node.cells("arm,msi-base-spi", &[base]);
        node.cells("arm,msi-num-spis", &[msi.spi_count]);
    });
}

fn uart_path(uart: Device) -> String {
    unit("/pl011", uart.reg.base)
}

fn uart_nodes(root: &mut Fdt, uart: Device) {
    root.node("apb-pclk", |node| {
        node.strings("compatible", &["fixed-clock"]);
        node.cells("phandle", &[phandle::UART_CLOCK]);
        node.cells("#clock-cells", &[0]);
        node.cells("clock-frequency", &[24_000_000]);
        node.strings("clock-output-names", &["clk24mhz"]);
    });
    root.node(&unit("pl011", uart.reg.base), |node| {
        node.strings("compatible", &["arm,pl011", "arm,primecell"]);
        reg(node, &[uart.reg]);
        node.cells("interrupts", &[0, uart.spi, Trigger::Level as u32]);
        node.cells("clocks", &[phandle::UART_CLOCK, phandle::UART_CLOCK]);
        node.strings("clock-names", &["uartclk", "apb_pclk"]);
    });
}
