//! One `stagegate,vm-v1` node.
use super::device::{self, DeviceConfig};
use super::module::{self, Module};
use super::{MAX_VM_ID, MEMORY_GRANULE, Reader};
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A VM as the operator wants it.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Its number, from 1.
    pub id: u32,
    /// Its name, unique, from `label` or the node's name.
    pub name: String,
    /// Number of virtual CPUs, each on a physical CPU of its own.
    pub cpus: usize,
    /// Memory in bytes, a multiple of [`MEMORY_GRANULE`].
    pub memory: u64,
    /// The kernel.
    pub kernel: Module,
    /// The initial RAM disk.
    pub ramdisk: Option<Module>,
    /// Kernel command line.
    pub bootargs: String,
    /// Has a virtual serial port.
    pub vuart: bool,
    /// The IOMMU that its own kernel may drive.
    pub iommu: GuestIommu,
    /// Its devices do no DMA until its kernel has put them into a domain, and
    /// it cannot ask for one that lets all through.
    pub strict_dma: bool,
    /// Devices given to it.
    pub devices: Vec<DeviceConfig>,
}

/// An IOMMU offered to a guest kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuestIommu {
    /// None: DMA addresses are the VM's own.
    #[default]
    None,
    /// Stagegate's hypercalls, for kernels with our driver.
    Hypercall,
    /// virtio-iommu, for any kernel.
    Virtio,
}

const KNOWN: &[&str] = &[
    "compatible",
    "reg",
    "label",
    "cpus",
    "memory",
    "bootargs",
    "#address-cells",
    "#size-cells",
    "stagegate,vuart",
    IOMMU,
    STRICT_DMA,
];

const IOMMU: &str = "stagegate,iommu";
const STRICT_DMA: &str = "stagegate,strict-dma";

/// Least memory of a VM in bytes: below it no kernel starts.
const MIN_MEMORY: u64 = 16 << 20;

/// Longest name shown on consoles and in tables.
const MAX_NAME: usize = 24;

/// Reads a VM; `None` once its node has errors that leave nothing to check.
pub(super) fn read(r: &mut Reader<'_, '_>, id: NodeId, before: &[VmConfig]) -> Option<VmConfig> {
    let node = r.tree.node(id);
    if !r.counts(id) {
        return None;
    }
    if !node.is_compatible("stagegate,vm-v1") {
        let remedy = "write compatible = \"stagegate,vm-v1\"";
        r.error(
            "vm-version",
            (id, "compatible"),
            "not a VM of a known version",
            remedy,
        );
        return None;
    }
    r.check_names(id, KNOWN);
    let number = number(r, id, before);
    let name = name(r, id, before);
    let cpus = cpus(r, id);
    let memory = memory(r, id);
    let modules = module::read(r, id);
    let devices = devices(r, id);
    let kernel = modules.kernel?;
    Some(VmConfig {
        node: id,
        path: r.tree.path(id),
        id: number?,
        name,
        cpus: cpus?,
        memory: memory?,
        bootargs: bootargs(r, id, &kernel),
        kernel,
        ramdisk: modules.ramdisk,
        vuart: r.flag(id, "stagegate,vuart"),
        iommu: iommu(r, id),
        strict_dma: r.flag(id, STRICT_DMA),
        devices,
    })
}

fn iommu(r: &mut Reader<'_, '_>, id: NodeId) -> GuestIommu {
    let Some(property) = r.tree.node(id).property(IOMMU) else {
        return GuestIommu::None;
    };
    match property.string() {
        Some("none") => GuestIommu::None,
        Some("hypercall") => GuestIommu::Hypercall,
        Some("virtio") => GuestIommu::Virtio,
        other => {
            let what = format!("{:?} is no kind of IOMMU", other.unwrap_or_default());
            let remedy = "write \"none\", \"hypercall\" or \"virtio\"";
            r.error("vm-iommu", (id, IOMMU), what, remedy);
            GuestIommu::None
        }
    }
}

fn number(r: &mut Reader<'_, '_>, id: NodeId, before: &[VmConfig]) -> Option<u32> {
    let place = (id, "reg");
    if r.tree.node(id).property("reg").is_none() {
        r.error("vm-id", place, "the VM has no number", "write reg = <1>");
        return None;
    }
    let number = r.cell(id, "reg")?;
    if number == 0 || number > MAX_VM_ID {
        let remedy = format!("choose a number from 1 to {MAX_VM_ID}");
        r.error("vm-id", place, format!("{number} is no VM number"), remedy);
        return None;
    }
    if let Some(twin) = before.iter().find(|vm| vm.id == number) {
        let what = format!("{number} is already the number of {}", twin.path);
        r.error("vm-id-twice", place, what, "give each VM its own number");
    }
    Some(number)
}

fn name(r: &mut Reader<'_, '_>, id: NodeId, before: &[VmConfig]) -> String {
    let node = r.tree.node(id);
    let label = node.property("label").and_then(|p| p.string());
    let name = label.unwrap_or_else(|| node.name());
    let printable = name.bytes().all(|b| b.is_ascii_graphic());
    if name.is_empty() || name.len() > MAX_NAME || !printable {
        let remedy = format!("use 1 to {MAX_NAME} printable characters without spaces");
        r.error(
            "vm-name",
            (id, "label"),
            format!("{name:?} cannot be shown"),
            remedy,
        );
    }
    if let Some(twin) = before.iter().find(|vm| vm.name == name) {
        let what = format!("{} has the same name {name:?}", twin.path);
        r.error(
            "vm-name-twice",
            (id, "label"),
            what,
            "give each VM its own label",
        );
    }
    name.into()
}

fn cpus(r: &mut Reader<'_, '_>, id: NodeId) -> Option<usize> {
    if r.tree.node(id).property("cpus").is_none() {
        r.error(
            "vm-cpus",
            (id, "cpus"),
            "the VM has no CPU",
            "write cpus = <1>",
        );
        return None;
    }
    let cpus = r.cell(id, "cpus")? as usize;
    let available = r.board.cpus.len();
    if cpus == 0 || cpus > available {
        let what = format!("{cpus} CPUs wanted, the board has {available}");
        let remedy = format!("choose from 1 to {available}");
        r.error("vm-cpus", (id, "cpus"), what, remedy);
        return None;
    }
    Some(cpus)
}

fn memory(r: &mut Reader<'_, '_>, id: NodeId) -> Option<u64> {
    let place = (id, "memory");
    let remedy = "write the size in KiB, for example <0x0 0x40000> for 256 MiB";
    let Some(property) = r.tree.node(id).property("memory") else {
        r.error("vm-memory", place, "the VM has no memory", remedy);
        return None;
    };
    let Some(bytes) = property.number().and_then(|kib| kib.checked_mul(1024)) else {
        let what = format!("{} bytes are not a size", property.value.len());
        r.error("vm-memory", place, what, remedy);
        return None;
    };
    if bytes < MIN_MEMORY || !bytes.is_multiple_of(MEMORY_GRANULE) {
        let what = format!("{} KiB cannot be given", bytes / 1024);
        let remedy = format!(
            "choose a multiple of {} KiB, at least {} KiB",
            MEMORY_GRANULE / 1024,
            MIN_MEMORY / 1024
        );
        r.error("vm-memory", place, what, remedy);
        return None;
    }
    Some(bytes)
}

/// The kernel module's `bootargs`, or the VM's.
fn bootargs(r: &mut Reader<'_, '_>, id: NodeId, kernel: &Module) -> String {
    let own = r
        .tree
        .node(id)
        .property("bootargs")
        .and_then(|p| p.string());
    match (own, kernel.bootargs.as_str()) {
        (Some(own), "") => own.into(),
        (Some(_), of_module) => {
            let what = "the kernel module has bootargs too, which count";
            r.warning("bootargs-twice", (id, "bootargs"), what, "keep one of them");
            of_module.into()
        }
        (None, of_module) => of_module.into(),
    }
}

fn devices(r: &mut Reader<'_, '_>, id: NodeId) -> Vec<DeviceConfig> {
    let Some(list) = r
        .tree
        .children(id)
        .find(|&c| r.tree.node(c).name() == "devices")
    else {
        return Vec::new();
    };
    r.check_names(list, &["#address-cells", "#size-cells", "compatible"]);
    let children: Vec<NodeId> = r.tree.children(list).collect();
    children
        .into_iter()
        .filter_map(|c| device::read(r, c))
        .collect()
}
