//! Platform devices given to a VM: their registers, interrupts and what a stock
//! driver needs to find in the guest's device tree.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pgtable::Attrs;
use platform::config::{DeviceConfig, DeviceKind, Passing, passing};
use platform::tree::{NodeId, Tree};

use super::lines::Line;
use super::scmi::Scmi;
use super::space::AddressSpace;
use crate::guest::dt::{PassedDevice, Property, Spi, Trigger, phandle};
use crate::guest::{Range, map};
use crate::vgic::{SPI_BASE, Vgic};

/// Bytes of a page of stage 2.
const PAGE: u64 = 4096;

/// A platform device of one VM.
pub struct Passed {
    name: String,
    phandle: u32,
    regs: Vec<Range>,
    /// The pages of each of `regs`: guest address, physical address, bytes.
    pages: Vec<(u64, u64, u64)>,
    spis: Vec<Spi>,
    /// What its interrupts are on the board. A device may name one twice
    /// (ZynqMP's GEM does for its queues): then `spis` do, too.
    lines: Vec<Line>,
    /// Index among the VM's masters.
    master: usize,
    /// How many clocks its driver asks for.
    clocks: usize,
    coherent: bool,
    properties: Vec<(String, Vec<u8>)>,
    /// The VM has it.
    installed: AtomicBool,
}

/// Gives out guest addresses and interrupt numbers to a VM's devices.
pub struct Allocator {
    address: u64,
    spi: u32,
    phandle: u32,
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Allocator {
    /// Nothing given out yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            address: map::PASSED.base,
            spi: map::PASSED_SPI_BASE,
            phandle: phandle::FREE,
        }
    }

    /// Room for `size` bytes of registers.
    fn registers(&mut self, size: u64) -> Option<u64> {
        let at = self.address;
        let next = at.checked_add(size)?;
        self.address = next;
        map::PASSED.covers(at, size).then_some(at)
    }
}

impl Passed {
    /// The device that `config` names, for the VM's master `master`; `None` if
    /// it is a PCI function.
    ///
    /// # Errors
    /// Why it cannot be given.
    pub fn new(
        tree: &Tree<'_>,
        config: &DeviceConfig,
        master: usize,
        room: &mut Allocator,
    ) -> Result<Option<Self>, &'static str> {
        let DeviceKind::Platform {
            node,
            regs,
            irqs,
            clocks,
            ..
        } = &config.kind
        else {
            return Ok(None);
        };
        let mut windows = Vec::new();
        let mut pages = Vec::new();
        for region in regs {
            // The plan has made sure that nothing of others is in these pages.
            let first = region.base & !(PAGE - 1);
            let end = region
                .end()
                .and_then(|end| end.checked_next_multiple_of(PAGE));
            let len = end
                .ok_or("its registers end nowhere")?
                .saturating_sub(first);
            let base = room.registers(len).ok_or("too many registers for one VM")?;
            pages.push((base, first, len));
            windows.push(Range::new(base + (region.base - first), region.size));
        }
        let (mut spis, mut lines) = (Vec::new(), Vec::new());
        for irq in irqs {
            let irq = irq.ok_or("one of its interrupts does not reach the GIC")?;
            let same = |line: &&Line| line.physical == irq.intid;
            let number = match lines.iter().find(same) {
                Some(line) => line.number - SPI_BASE,
                None => {
                    let number = room.spi;
                    room.spi += 1;
                    lines.push(Line {
                        physical: irq.intid,
                        number: SPI_BASE + number,
                    });
                    number
                }
            };
            let trigger = match irq.edge {
                true => Trigger::Edge,
                false => Trigger::Level,
            };
            spis.push(Spi { number, trigger });
        }
        let phandle = room.phandle;
        room.phandle += 1;
        Ok(Some(Self {
            name: String::from(tree.node(*node).base_name()),
            phandle,
            pages,
            regs: windows,
            lines,
            spis,
            master,
            clocks: clocks.len(),
            coherent: tree.inherited(*node, "dma-coherent").is_some(),
            properties: properties(tree, *node),
            installed: AtomicBool::new(false),
        }))
    }

    /// Maps its registers into the VM and binds its interrupts.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn install(&self, space: &AddressSpace, vgic: &Vgic) -> Result<(), &'static str> {
        for &(base, physical, len) in &self.pages {
            let mapped = space.keep(base, physical, len, Attrs::DEVICE);
            mapped.map_err(|_| "its registers cannot be mapped")?;
        }
        self.interrupts().try_for_each(|line| line.assign(vgic))?;
        self.installed.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the VM has it; if not, it is to get it when its SMMUs have come.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.installed.load(Ordering::Acquire)
    }

    /// Index among the VM's masters.
    #[must_use]
    pub const fn master(&self) -> usize {
        self.master
    }

    /// Its interrupt lines.
    pub fn interrupts(&self) -> impl Iterator<Item = Line> + '_ {
        self.lines.iter().copied()
    }

    /// Its copied properties, for [`describe`](Self::describe).
    #[must_use]
    pub fn properties(&self) -> Vec<Property<'_>> {
        self.properties
            .iter()
            .map(|(name, value)| Property { name, value })
            .collect()
    }

    /// Its node in the guest's device tree, with `properties` and `clocks` as it
    /// has told them. Its power domain is one of the VM's own SCMI server.
    #[must_use]
    pub fn describe<'a>(
        &'a self,
        scmi: Option<&Scmi>,
        properties: &'a [Property<'a>],
        clocks: &'a [u32],
    ) -> PassedDevice<'a> {
        PassedDevice {
            name: &self.name,
            phandle: Some(self.phandle),
            reg: &self.regs,
            interrupts: &self.spis,
            power_domain: self.domain(scmi),
            clocks,
            iommu_ids: &[],
            dma_coherent: self.coherent,
            properties,
        }
    }

    /// The clocks of the VM's SCMI server that stand for its own: all the same
    /// one, that of its power domain.
    #[must_use]
    pub fn clocks(&self, scmi: Option<&Scmi>) -> Vec<u32> {
        let clock = self.domain(scmi);
        clock.map_or(Vec::new(), |clock| alloc::vec![clock; self.clocks])
    }

    /// Its power domain at the VM's SCMI server.
    fn domain(&self, scmi: Option<&Scmi>) -> Option<u32> {
        scmi?.domain_of(self.master)
    }
}

/// Copies what needs no other node. What does was named when the configuration
/// was read.
fn properties(tree: &Tree<'_>, node: NodeId) -> Vec<(String, Vec<u8>)> {
    let own = tree.node(node).properties();
    own.filter(|property| passing(property.name) == Passing::Copied)
        .map(|property| (String::from(property.name), property.value.to_vec()))
        .collect()
}
