//! What all VMs together ask of CPUs and memory.
use super::module::{Module, Source};
use super::vm::VmConfig;
use super::{MEMORY_GRANULE, Reader};
use crate::facts::memory::subtract;
use crate::region::Region;
use crate::tree::NodeId;
use alloc::format;
use alloc::vec::Vec;

/// More bytes than anybody gives a VM: KiB were taken for bytes.
const UNLIKELY: u64 = 128 << 30;

pub(super) fn check(r: &mut Reader<'_, '_>, config: NodeId, vms: &[VmConfig]) {
    cpus(r, config, vms);
    modules(r, vms);
    memory(r, config, vms);
}

fn cpus(r: &mut Reader<'_, '_>, config: NodeId, vms: &[VmConfig]) {
    let wanted = vms
        .iter()
        .fold(0usize, |sum, vm| sum.saturating_add(vm.cpus));
    let available = r.board.cpus.len();
    if wanted > available {
        let what = format!("the VMs want {wanted} CPUs, the board has {available}");
        let remedy = "a CPU serves one VM: lower cpus of some";
        r.error("too-many-cpus", (config, "cpus"), what, remedy);
    }
}

/// All modules that lie in RAM.
fn in_memory(vms: &[VmConfig]) -> Vec<(&Module, Region)> {
    let all = vms
        .iter()
        .flat_map(|vm| [Some(&vm.kernel), vm.ramdisk.as_ref()]);
    all.flatten()
        .filter_map(|module| match module.source {
            Source::Memory(region) => Some((module, region)),
            Source::File(_) => None,
        })
        .collect()
}

/// Two VMs may start from the very same file; a partial overlap is a mistake.
fn modules(r: &mut Reader<'_, '_>, vms: &[VmConfig]) {
    let modules = in_memory(vms);
    for (i, (module, region)) in modules.iter().enumerate() {
        for (other, its) in modules.iter().take(i) {
            if region.overlaps(its) && region != its {
                let what = format!("{region} overlaps {its} of {}", other.path);
                let remedy = "load the files apart, and give their true sizes";
                r.error("module-overlap", (module.node, "reg"), what, remedy);
            }
        }
    }
}

fn memory(r: &mut Reader<'_, '_>, config: NodeId, vms: &[VmConfig]) {
    if r.board.memory.ram.is_empty() {
        for vm in vms.iter().filter(|vm| vm.memory >= UNLIKELY) {
            let what = format!("{} GiB for one VM", vm.memory >> 30);
            let remedy = "memory counts KiB: <0x0 0x40000> is 256 MiB";
            r.warning("vm-memory", (vm.node, "memory"), what, remedy);
        }
        return;
    }
    let wanted = vms
        .iter()
        .fold(0u64, |sum, vm| sum.saturating_add(vm.memory));
    let available = available(r, vms);
    if wanted > available {
        let (wanted, available) = (wanted >> 20, available >> 20);
        let what = format!("the VMs want {wanted} MiB, {available} MiB are free for them");
        let remedy = "lower memory, which counts KiB; reservations and modules take their part";
        r.error("too-much-memory", (config, "memory"), what, remedy);
    }
}

/// Free memory in whole granules, without modules and what the hypervisor
/// holds.
fn available(r: &Reader<'_, '_>, vms: &[VmConfig]) -> u64 {
    let modules = in_memory(vms).into_iter().map(|(_, region)| region);
    let holes = modules
        .chain(r.inputs.held.iter().copied())
        .chain(r.board.memory.initrd);
    let mut free = r.board.memory.free_ranges();
    for hole in holes {
        free = free.iter().flat_map(|f| subtract(*f, hole)).collect();
    }
    free.iter().fold(0, |sum: u64, f| {
        let first = f.base.div_ceil(MEMORY_GRANULE);
        let last = f.base.saturating_add(f.size) / MEMORY_GRANULE;
        sum.saturating_add(last.saturating_sub(first).saturating_mul(MEMORY_GRANULE))
    })
}
