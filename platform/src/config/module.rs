//! Files for a VM: kernel and initial RAM disk.
use super::Reader;
use crate::region::{Region, read_cells};
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;

/// Where a file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In RAM, put there by the boot loader.
    Memory(Region),
    /// Packed with the hypervisor under this name.
    File(String),
}

/// A file for a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Where it lies.
    pub source: Source,
    /// `bootargs`; empty if it has none.
    pub bootargs: String,
}

/// A VM's files.
#[derive(Debug, Default)]
pub(super) struct Modules {
    pub(super) kernel: Option<Module>,
    pub(super) ramdisk: Option<Module>,
}

const KNOWN: &[&str] = &["compatible", "reg", "bootargs", "stagegate,file"];

/// Reads the modules below a VM's node.
pub(super) fn read(r: &mut Reader<'_, '_>, vm: NodeId) -> Modules {
    let mut modules = Modules::default();
    let mut seen_kernel = false;
    for id in r.tree.children(vm) {
        let node = r.tree.node(id);
        if node.name() == "devices" || !r.counts(id) {
            continue;
        }
        let (slot, what) = if node.is_compatible("multiboot,kernel") {
            seen_kernel = true;
            (&mut modules.kernel, "kernel")
        } else if node.is_compatible("multiboot,ramdisk") {
            (&mut modules.ramdisk, "RAM disk")
        } else {
            let remedy = if node.property("compatible").is_none() {
                "modules have a compatible; the node with the VM's devices is named devices"
            } else {
                "say multiboot,kernel or multiboot,ramdisk, with multiboot,module"
            };
            r.error(
                "module-kind",
                (id, "compatible"),
                "not a module of a known kind",
                remedy,
            );
            continue;
        };
        r.check_names(id, KNOWN);
        if slot.is_some() {
            let what = format!("the VM has a {what} already");
            r.error("module-twice", (id, ""), what, "keep one of them");
            continue;
        }
        *slot = module(r, id);
    }
    if !seen_kernel {
        let remedy = "add a module with compatible = \"multiboot,kernel\", \"multiboot,module\"";
        r.error("no-kernel", (vm, ""), "the VM has no kernel", remedy);
    }
    modules
}

fn module(r: &mut Reader<'_, '_>, id: NodeId) -> Option<Module> {
    let node = r.tree.node(id);
    let source = match (node.property("reg"), node.property("stagegate,file")) {
        (Some(_), None) => Source::Memory(region(r, id)?),
        (None, Some(file)) => Source::File(file_name(r, id, file.string())?),
        _ => {
            let what = "either an address or a file name is needed";
            let remedy = "write reg = <…> or stagegate,file = \"name\"";
            r.error("module-source", (id, "reg"), what, remedy);
            return None;
        }
    };
    let bootargs = node.property("bootargs").and_then(|p| p.string());
    Some(Module {
        node: id,
        path: r.tree.path(id),
        source,
        bootargs: bootargs.unwrap_or_default().into(),
    })
}

/// The one region of a module; RAM, and nothing else's.
fn region(r: &mut Reader<'_, '_>, id: NodeId) -> Option<Region> {
    let place = (id, "reg");
    let parent = r.tree.node(r.tree.parent(id)?);
    let (address, size) = (parent.address_cells(), parent.size_cells());
    let value = r.tree.node(id).property("reg")?.value;
    let wanted = address.saturating_add(size).saturating_mul(4);
    let read = (
        read_cells(value, 0, address),
        read_cells(value, address, size),
    );
    let (Some(base), Some(len), true) = (read.0, read.1, value.len() == wanted) else {
        let what = format!(
            "{} bytes where #address-cells and #size-cells ask {wanted}",
            value.len()
        );
        let remedy = "set #address-cells and #size-cells to <2> in the VM's node";
        r.error("module-reg", place, what, remedy);
        return None;
    };
    let region = Region::new(base, len);
    if len == 0 || region.end().is_none() {
        let what = format!("{len:#x} bytes at {base:#x} are no place");
        r.error(
            "module-reg",
            place,
            what,
            "give the address and the size of the file",
        );
        return None;
    }
    in_ram(r, id, region);
    Some(region)
}

fn in_ram(r: &mut Reader<'_, '_>, id: NodeId, region: Region) {
    let memory = &r.board.memory;
    if !memory.is_ram(&region) {
        let what = format!("{region} is not RAM");
        let remedy = "load the file into RAM, below the end of memory";
        r.error("module-not-ram", (id, "reg"), what, remedy);
        return;
    }
    if let Some(taken) = memory.reserved.iter().find(|t| t.region.overlaps(&region)) {
        let what = format!(
            "{region} overlaps reserved memory {} of {}",
            taken.region, taken.path
        );
        let remedy = "load the file elsewhere";
        r.error("module-reserved", (id, "reg"), what, remedy);
    }
    if let Some(held) = r.inputs.held.iter().find(|h| h.overlaps(&region)) {
        let what = format!("{region} overlaps the hypervisor at {held}");
        r.error(
            "module-hypervisor",
            (id, "reg"),
            what,
            "load the file elsewhere",
        );
    }
}

fn file_name(r: &mut Reader<'_, '_>, id: NodeId, name: Option<&str>) -> Option<String> {
    let place = (id, "stagegate,file");
    let Some(name) = name.filter(|n| !n.is_empty()) else {
        r.error(
            "module-file",
            place,
            "no file name",
            "write the name of a packed file",
        );
        return None;
    };
    let known = r
        .inputs
        .files
        .is_none_or(|files| files.iter().any(|(n, _)| *n == name));
    if !known {
        let what = format!("no file {name:?} is packed with the hypervisor");
        let remedy = "pack it with stagegate image --file";
        r.error("module-file", place, what, remedy);
        return None;
    }
    Some(name.into())
}
