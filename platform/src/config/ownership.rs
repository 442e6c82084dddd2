//! Nothing is given away twice: devices, streams, interrupts, register pages.
use super::Reader;
use super::device::{DeviceConfig, DeviceKind};
use super::vm::VmConfig;
use crate::facts::{Irq, Smmu, regions};
use crate::region::Region;
use crate::tree::NodeId;
use alloc::format;
use alloc::vec::Vec;

/// Size of the pages in which registers are given away, in bytes.
const PAGE: u64 = 4096;

type Given<'v> = (usize, &'v VmConfig, &'v DeviceConfig);

pub(super) fn check(r: &mut Reader<'_, '_>, vms: &[VmConfig]) {
    let all: Vec<Given<'_>> = vms
        .iter()
        .enumerate()
        .flat_map(|(i, vm)| vm.devices.iter().map(move |d| (i, vm, d)))
        .collect();
    for (i, given) in all.iter().enumerate() {
        let before = all.get(..i).unwrap_or_default();
        for other in before {
            // The same device has the same of everything.
            if !is_twice(r, given, other) {
                streams(r, given, other);
                lines(r, given, other);
                slots(r, given, other);
            }
        }
        if !is_ours(r, given) {
            pages(r, given, &all);
        }
    }
}

fn is_twice(r: &mut Reader<'_, '_>, given: &Given<'_>, other: &Given<'_>) -> bool {
    let same = match (&given.2.kind, &other.2.kind) {
        (
            DeviceKind::Pci { host, rid, .. },
            DeviceKind::Pci {
                host: other_host,
                rid: other_rid,
                ..
            },
        ) => host == other_host && rid == other_rid,
        (DeviceKind::Platform { node, .. }, DeviceKind::Platform { node: other, .. }) => {
            node == other
        }
        _ => false,
    };
    if same {
        let what = format!("{} is already given by {}", given.2.name, other.2.path);
        r.error(
            "device-twice",
            (given.2.node, "device"),
            what,
            "keep one of them",
        );
    }
    same
}

/// Between VMs a shared stream is a hole; within one it only ties their power
/// states together.
fn streams(r: &mut Reader<'_, '_>, given: &Given<'_>, other: &Given<'_>) {
    let shared = given
        .2
        .streams
        .iter()
        .find(|s| other.2.streams.iter().any(|o| s.overlaps(o)));
    let Some(stream) = shared else { return };
    let smmu = r.tree.path(stream.smmu);
    let what = format!(
        "stream {stream} at {smmu} is already used by {}",
        other.2.path
    );
    let place = (given.2.node, "device");
    if given.0 == other.0 {
        r.warning("stream-shared", place, what, "they sleep and wake together");
    } else {
        r.error("stream-twice", place, what, "give both devices to one VM");
    }
}

/// Interrupt lines a device may raise.
fn irqs(device: &DeviceConfig) -> Vec<Irq> {
    match &device.kind {
        DeviceKind::Pci { intx, .. } => intx.iter().copied().collect(),
        DeviceKind::Platform { irqs, .. } => irqs.iter().copied().flatten().collect(),
    }
}

fn lines(r: &mut Reader<'_, '_>, given: &Given<'_>, other: &Given<'_>) {
    let theirs = irqs(other.2);
    let shared = irqs(given.2)
        .into_iter()
        .find(|i| theirs.iter().any(|t| t.intid == i.intid));
    let Some(line) = shared.filter(|_| given.0 != other.0) else {
        return;
    };
    let what = format!(
        "interrupt line {} is shared with {} of VM {}",
        line.intid, other.2.path, other.1.name
    );
    let remedy = "move one to a slot with another line, or give both to one VM";
    r.error("line-twice", (given.2.node, "device"), what, remedy);
}

/// Functions of one PCI device can reach each other without passing the SMMU.
fn slots(r: &mut Reader<'_, '_>, given: &Given<'_>, other: &Given<'_>) {
    if let (
        DeviceKind::Pci { host, rid, .. },
        DeviceKind::Pci {
            host: other_host,
            rid: other_rid,
            ..
        },
    ) = (&given.2.kind, &other.2.kind)
        && host == other_host
        && rid >> 3 == other_rid >> 3
        && given.0 != other.0
    {
        let what = format!(
            "functions of one device serve two VMs (see {})",
            other.2.path
        );
        let remedy = "give all functions of a device to one VM unless it has ACS";
        r.warning("slot-shared", (given.2.node, "device"), what, remedy);
    }
}

/// What the hypervisor itself needs a device for.
pub(super) fn role(r: &Reader<'_, '_>, kind: &DeviceKind) -> Option<&'static str> {
    let DeviceKind::Platform { node, .. } = kind else {
        return None;
    };
    let board = r.board;
    let console = board.console.and_then(|c| board.uarts.get(c));
    let gic = board.gic.as_ref();
    if console.is_some_and(|u| u.node == *node) {
        Some("console")
    } else if gic.is_some_and(|g| g.node == *node || g.its.iter().any(|i| i.node == *node)) {
        Some("interrupt controller")
    } else if board.smmu_at(*node).is_some() {
        Some("SMMU")
    } else if supplies_smmu(r, *node) {
        Some("supplier of an SMMU")
    } else {
        None
    }
}

/// Whether the device is one that the hypervisor itself drives, with an error
/// if so.
fn is_ours(r: &mut Reader<'_, '_>, given: &Given<'_>) -> bool {
    let DeviceKind::Platform { path, .. } = &given.2.kind else {
        return false;
    };
    let Some(role) = role(r, &given.2.kind) else {
        return false;
    };
    let what = format!("{path} is the hypervisor's own {role}");
    r.error(
        "device-ours",
        (given.2.node, "device"),
        what,
        "choose another device",
    );
    true
}

/// Whether a clock or domain of some SMMU or TBU comes from `node`, directly or
/// through other suppliers.
fn supplies_smmu(r: &Reader<'_, '_>, node: NodeId) -> bool {
    let smmus = r.board.smmus.iter().filter(|s| s.enabled);
    smmus
        .flat_map(Smmu::supplies)
        .any(|supply| crate::probe::depends_on(r.tree, supply.provider, node))
}

fn page_of(region: &Region) -> Region {
    let first = region.base & !(PAGE - 1);
    let end = region
        .base
        .saturating_add(region.size)
        .div_ceil(PAGE)
        .saturating_mul(PAGE);
    Region::new(first, end.saturating_sub(first))
}

/// No page given away holds registers of a device that is not given with it.
fn pages(r: &mut Reader<'_, '_>, given: &Given<'_>, all: &[Given<'_>]) {
    let DeviceKind::Platform { node, regs, .. } = &given.2.kind else {
        return;
    };
    let pages: Vec<Region> = regs.iter().map(page_of).collect();
    let with_it = |id: NodeId| {
        all.iter().any(|(vm, _, d)| {
            let DeviceKind::Platform { node, .. } = &d.kind else {
                return false;
            };
            *vm == given.0 && r.tree.subtree(*node).any(|below| below == id)
        })
    };
    let neighbour = r.tree.ids().find_map(|id| {
        if with_it(id) || r.tree.subtree(id).any(|below| below == *node) {
            return None;
        }
        r.tree.node(id).property("reg")?;
        let mut regions = regions(r.tree, id).into_iter().flatten();
        let hit = regions.find(|g| pages.iter().any(|p| p.overlaps(g)));
        hit.map(|region| (id, region))
    });
    if let Some((id, region)) = neighbour {
        let what = format!(
            "its register page also holds {} at {region}",
            r.tree.path(id)
        );
        let remedy = "give that device to the same VM too, or choose another";
        r.error("page-shared", (given.2.node, "device"), what, remedy);
    }
}
