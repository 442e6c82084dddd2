//! A device given to a VM.
use super::power::{self, PowerSource};
use super::{Reader, needs, streams};
use crate::facts::interrupt::{Irq, interrupts};
use crate::facts::reference::{CLOCKS, POWER_DOMAINS, Supply};
use crate::facts::smmu::listed;
use crate::facts::{StreamId, regions};
use crate::region::Region;
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A device given to a VM.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// The node in the VM's `devices`.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Its name for people: `label`, or what it is.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Its streams. Empty only with `bypass`, or with `optional` and no SMMU.
    pub streams: Vec<StreamId>,
    /// Evidence of its power state that counts, never empty.
    pub power_sources: Vec<PowerSource>,
    /// Its DMA goes past the SMMU: the operator trusts the VM with all memory.
    pub bypass: bool,
    /// It may run without its SMMU should that never come.
    pub optional: bool,
}

/// What a device is.
#[derive(Debug, Clone)]
pub enum DeviceKind {
    /// A PCI function.
    Pci {
        /// Index into [`crate::facts::Board::pci_hosts`].
        host: usize,
        /// Requester id: bus, device, function.
        rid: u16,
        /// Line of its first pin, where it sits on the root bus.
        intx: Option<Irq>,
    },
    /// A platform device.
    Platform {
        /// Its node.
        node: NodeId,
        /// Its path.
        path: String,
        /// Its registers.
        regs: Vec<Region>,
        /// Its interrupts in order; `None` where one does not reach the GIC.
        irqs: Vec<Option<Irq>>,
        /// Clocks it names.
        clocks: Vec<Supply>,
        /// Power domains it names.
        power_domains: Vec<Supply>,
    },
}

impl DeviceConfig {
    /// Its DMA goes past every SMMU, with the operator's consent.
    #[must_use]
    pub fn is_untranslated(&self) -> bool {
        self.streams.is_empty()
    }
}

const KNOWN: &[&str] = &[
    "reg",
    "device",
    "label",
    "stagegate,path",
    "stagegate,requester-id",
    "stagegate,power-source",
    "stagegate,bypass",
    "stagegate,optional",
];

pub(super) fn read(r: &mut Reader<'_, '_>, id: NodeId) -> Option<DeviceConfig> {
    if !r.counts(id) {
        return None;
    }
    r.check_names(id, KNOWN);
    let (target, args) = target(r, id)?;
    let kind = match r.board.pci_host_at(target) {
        Some(host) => pci(r, id, host, &args)?,
        None => platform(r, id, target, &args)?,
    };
    let is_pci = matches!(kind, DeviceKind::Pci { .. });
    let bypass = r.flag(id, "stagegate,bypass");
    let optional = r.flag(id, "stagegate,optional");
    let streams = streams::read(r, id, &kind, bypass, optional);
    let label = r.tree.node(id).property("label").and_then(|p| p.string());
    Some(DeviceConfig {
        node: id,
        path: r.tree.path(id),
        name: label.map_or_else(|| describe(r, &kind), String::from),
        power_sources: power::sources(r, id, is_pci),
        kind,
        streams,
        bypass,
        optional,
    })
}

/// A name from what the device is.
fn describe(r: &Reader<'_, '_>, kind: &DeviceKind) -> String {
    match kind {
        DeviceKind::Pci { host, rid, .. } => {
            let segment = r
                .board
                .pci_hosts
                .get(*host)
                .and_then(|h| h.segment)
                .unwrap_or(0);
            format!(
                "{segment:04x}:{:02x}:{:02x}.{}",
                rid >> 8,
                (rid >> 3) & 0x1f,
                rid & 7
            )
        }
        DeviceKind::Platform { node, .. } => r.tree.node(*node).name().into(),
    }
}

/// The node meant, and the cells after its phandle.
fn target(r: &mut Reader<'_, '_>, id: NodeId) -> Option<(NodeId, Vec<u32>)> {
    let node = r.tree.node(id);
    match (node.property("device"), node.property("stagegate,path")) {
        (Some(device), None) => {
            let cells: Vec<u32> = device.cells().collect();
            let found = cells
                .split_first()
                .and_then(|(&p, args)| Some((r.tree.by_phandle(p)?, args.to_vec())));
            if found.is_none() {
                let phandle = cells.first().copied().unwrap_or(0);
                let what = format!("no node has phandle {phandle:#x}");
                let remedy = "name a node of the board: device = <&label>";
                r.error("unknown-device", (id, "device"), what, remedy);
            }
            found
        }
        (None, Some(path)) => {
            let path = path.string().unwrap_or_default();
            let Some(target) = r.tree.find(path) else {
                let what = format!("no node {path:?}");
                let remedy = "give the full path of a node of the board";
                r.error("unknown-device", (id, "stagegate,path"), what, remedy);
                return None;
            };
            let rid = r.cell(id, "stagegate,requester-id");
            Some((target, rid.into_iter().collect()))
        }
        _ => {
            let what = "either device or stagegate,path is needed";
            r.error(
                "device-target",
                (id, "device"),
                what,
                "write device = <&label>",
            );
            None
        }
    }
}

fn pci(r: &mut Reader<'_, '_>, id: NodeId, host: usize, args: &[u32]) -> Option<DeviceKind> {
    let bridge = r.board.pci_hosts.get(host)?;
    let place = (id, "device");
    let rid = match args {
        [rid] => u16::try_from(*rid).ok(),
        _ => None,
    };
    let Some(rid) = rid else {
        let what = "a PCI function is named by its bridge and its requester id";
        let remedy = "write <&bridge rid> with rid = bus << 8 | device << 3 | function";
        r.error("pci-rid", place, what, remedy);
        return None;
    };
    let bus = u8::try_from(rid >> 8).unwrap_or(u8::MAX);
    if bus < bridge.buses.0 || bus > bridge.buses.1 {
        let (first, last) = bridge.buses;
        let what = format!(
            "bus {bus:#x} is not behind {} ({first:#x}–{last:#x})",
            bridge.path
        );
        r.error("pci-rid", place, what, "check the bus in the upper byte");
        return None;
    }
    if !bridge.enabled {
        let what = format!("{} is disabled", bridge.path);
        r.error(
            "device-disabled",
            place,
            what,
            "set its status to \"okay\" in an overlay",
        );
        return None;
    }
    if !bridge.generic || bridge.registers.is_none() {
        let what = format!("no driver for the host bridge {}", bridge.path);
        let remedy = "only pci-host-ecam-generic bridges can be shared out";
        r.error("pci-host-driver", place, what, remedy);
        return None;
    }
    Some(DeviceKind::Pci {
        host,
        rid,
        intx: bridge.pin(rid, 1),
    })
}

fn platform(
    r: &mut Reader<'_, '_>,
    id: NodeId,
    target: NodeId,
    args: &[u32],
) -> Option<DeviceKind> {
    let path = r.tree.path(target);
    if !args.is_empty() {
        let what = format!(
            "{} cells after {path}, which is no PCI host bridge",
            args.len()
        );
        r.error(
            "device-cells",
            (id, "device"),
            what,
            "write device = <&label> alone",
        );
        return None;
    }
    if !r.tree.is_enabled(target) {
        let remedy = "set its status to \"okay\" in an overlay";
        r.error(
            "device-disabled",
            (id, "device"),
            format!("{path} is disabled"),
            remedy,
        );
        return None;
    }
    let places = regions(r.tree, target);
    let regs: Vec<Region> = places
        .iter()
        .copied()
        .flatten()
        .filter(|g| g.size > 0)
        .collect();
    if regs.is_empty() || regs.len() < places.len() {
        let what = format!("{path} has no registers that a CPU can reach");
        let remedy = "name a device with reg, below buses that have ranges";
        r.error("device-reg", (id, "device"), what, remedy);
        return None;
    }
    let irqs = interrupts(r.tree, target);
    if irqs.contains(&None) {
        let what = format!("an interrupt of {path} does not reach the GIC and will not be given");
        r.warning("device-irq", (id, "device"), what, "");
    }
    needs::check(r, target);
    Some(DeviceKind::Platform {
        node: target,
        regs,
        irqs,
        clocks: listed(r.tree, target, &path, CLOCKS, r.report),
        power_domains: listed(r.tree, target, &path, POWER_DOMAINS, r.report),
        path,
    })
}
