//! The interrupt controller of the CPUs.
use super::interrupt::{Irq, interrupts};
use super::{ancestors, interrupt, regions};
use crate::fdt::Node;
use crate::region::{Region, registers};
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// Version of the interrupt controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GicKind {
    /// GICv2 with virtualization extensions.
    V2,
    /// GICv3 or GICv4.
    V3,
}

/// The interrupt controller's registers and parts.
#[derive(Debug, Clone)]
pub struct Gic {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Version.
    pub kind: GicKind,
    /// Distributor (GICD).
    pub distributor: Region,
    /// GICv3: redistributor regions (GICR). Empty on GICv2.
    pub redistributors: Vec<Region>,
    /// GICv3: `redistributor-stride` in bytes, where the tree overrides the
    /// architected one.
    pub stride: Option<u64>,
    /// GICv2: CPU interface (GICC).
    pub cpu_interface: Option<Region>,
    /// GICv2: hypervisor control registers (GICH).
    pub hypervisor: Option<Region>,
    /// GICv2: virtual CPU interface (GICV), mapped to guests as their GICC.
    pub virtual_cpu: Option<Region>,
    /// Maintenance interrupt, a PPI.
    pub maintenance: Option<Irq>,
    /// GICv3: redistributors' accesses snoop the CPUs' caches as far as they
    /// say (no `dma-noncoherent`).
    pub coherent: bool,
    /// GICv3 interrupt translation services.
    pub its: Vec<Its>,
    /// GICv2m message frames.
    pub v2m: Vec<V2mFrame>,
}

/// An interrupt translation service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Its {
    /// Its node.
    pub node: NodeId,
    /// Its registers; GITS_TRANSLATER lies in the second 64 KiB.
    pub registers: Region,
    /// Its accesses snoop the CPUs' caches as far as it says (no
    /// `dma-noncoherent`).
    pub coherent: bool,
}

/// A GICv2m frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V2mFrame {
    /// Its node.
    pub node: NodeId,
    /// Its registers.
    pub registers: Region,
    /// First interrupt id and number of interrupts, where the tree says so
    /// (`arm,msi-base-spi`, `arm,msi-num-spis`) rather than the frame.
    pub spis: Option<(u32, u32)>,
}

const V2: &[&str] = &[
    "arm,gic-400",
    "arm,cortex-a15-gic",
    "arm,cortex-a7-gic",
    "arm,cortex-a9-gic",
    "arm,gic-v2",
    "qcom,msm-qgic2",
];
const V3: &[&str] = &["arm,gic-v3", "qcom,msm8996-gic-v3"];

/// Which GIC a node describes, if it is one.
#[must_use]
pub fn kind(node: &Node<'_>) -> Option<GicKind> {
    let compatible = node.property("compatible")?;
    compatible.strings().find_map(|s| match s {
        s if V3.contains(&s) => Some(GicKind::V3),
        s if V2.contains(&s) => Some(GicKind::V2),
        _ => None,
    })
}

/// The first enabled GIC of the tree.
pub(super) fn read(tree: &Tree<'_>, report: &mut Report) -> Option<Gic> {
    let id = tree
        .ids()
        .find(|&id| kind(&tree.node(id)).is_some() && tree.is_enabled(id))?;
    let kind = kind(&tree.node(id))?;
    let path = tree.path(id);
    let places = regions(tree, id);
    let place = |i: usize| places.get(i).copied().flatten();
    let Some(distributor) = place(0) else {
        let what = "the distributor's address is missing or not translatable";
        report.error(
            "gic-reg",
            (&path, "reg"),
            what,
            "give reg and the ranges above it",
        );
        return None;
    };
    let mut gic = Gic {
        node: id,
        kind,
        distributor,
        redistributors: Vec::new(),
        stride: None,
        cpu_interface: None,
        hypervisor: None,
        virtual_cpu: None,
        maintenance: maintenance(tree, id),
        coherent: tree.node(id).property("dma-noncoherent").is_none(),
        its: Vec::new(),
        v2m: Vec::new(),
        path,
    };
    match kind {
        GicKind::V2 => v2(&mut gic, place),
        GicKind::V3 => v3(&mut gic, &tree.node(id), place),
    }
    children(tree, &mut gic);
    complain(&gic, report);
    Some(gic)
}

fn v2(gic: &mut Gic, place: impl Fn(usize) -> Option<Region>) {
    gic.cpu_interface = place(1);
    gic.hypervisor = place(2);
    gic.virtual_cpu = place(3);
}

/// `reg` of GICv3: GICD, then `#redistributor-regions` GICRs, then GICC, GICH
/// and GICV where the CPUs still have them.
fn v3(gic: &mut Gic, node: &Node<'_>, place: impl Fn(usize) -> Option<Region>) {
    let count = node.cells("#redistributor-regions").unwrap_or(1);
    gic.redistributors = (1..=count.min(64)).filter_map(&place).collect();
    gic.stride = node
        .property("redistributor-stride")
        .and_then(|p| p.number());
    gic.cpu_interface = place(count.saturating_add(1));
    gic.hypervisor = place(count.saturating_add(2));
    gic.virtual_cpu = place(count.saturating_add(3));
}

/// The maintenance interrupt is written in the GIC's own terms when the GIC is
/// the root of the interrupt tree.
fn maintenance(tree: &Tree<'_>, id: NodeId) -> Option<Irq> {
    if matches!(interrupt::parent(tree, id), Some(parent) if parent != id) {
        return interrupts(tree, id).first().copied().flatten();
    }
    let cells: Vec<u32> = tree.node(id).property("interrupts")?.cells().collect();
    Irq::from_specifier(&cells)
}

fn children(tree: &Tree<'_>, gic: &mut Gic) {
    for child in tree.children(gic.node) {
        let node = tree.node(child);
        let Some(Some(registers)) = registers(&ancestors(tree, child), &node).next() else {
            continue;
        };
        if !node.is_enabled() {
            continue;
        }
        if node.is_compatible("arm,gic-v3-its") {
            // Devices write to another controller before this one.
            if node.property("socionext,synquacer-pre-its").is_some() {
                continue;
            }
            gic.its.push(Its {
                node: child,
                registers,
                coherent: node.property("dma-noncoherent").is_none(),
            });
        } else if node.is_compatible("arm,gic-v2m-frame") {
            let number = |name| node.property(name).and_then(|p| p.u32());
            gic.v2m.push(V2mFrame {
                node: child,
                registers,
                spis: number("arm,msi-base-spi").zip(number("arm,msi-num-spis")),
            });
        }
    }
}

fn complain(gic: &Gic, report: &mut Report) {
    let place = (gic.path.as_str(), "reg");
    match gic.kind {
        GicKind::V2 if gic.hypervisor.is_none() || gic.virtual_cpu.is_none() => {
            let what = "no GICH and GICV registers: this GICv2 cannot serve guests";
            report.error(
                "gic-no-virt",
                place,
                what,
                "add the third and fourth entry of reg",
            );
        }
        GicKind::V3 if gic.redistributors.is_empty() => {
            let what = "no redistributor region";
            report.error("gic-no-redist", place, what, "add the second entry of reg");
        }
        _ => {}
    }
    if gic.maintenance.is_none() {
        let what = "no maintenance interrupt";
        let remedy = "add interrupts = <1 9 4>, as the SoC's manual has it";
        report.error(
            "gic-no-maintenance",
            (&gic.path, "interrupts"),
            what,
            remedy,
        );
    }
}
