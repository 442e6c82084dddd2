//! Gives devices to their VM when their SMMUs are there.

use alloc::string::String;
use alloc::vec::Vec;

use platform::config::{DeviceConfig, DeviceKind};
use platform::facts::Board;
use platform::sort;

use crate::machine::board::pci;
use crate::machine::board::smmus::{self, Stream};
use crate::machine::vm::Vm;

/// Every stream of a device: those of the configuration, and those under which
/// bridges may send a PCI function's transactions. What a bridge sends for
/// several of the VM's functions belongs to the first of them: it is `taken`.
///
/// # Errors
/// An SMMU or TBU in front of it does not work.
pub fn streams(
    board: &Board,
    device: &DeviceConfig,
    taken: &dyn Fn(&Stream) -> bool,
) -> Result<Vec<Stream>, &'static str> {
    let list: Result<Vec<Stream>, _> = device.streams.iter().map(smmus::stream).collect();
    let mut list = list?;
    if let DeviceKind::Pci { host, rid, .. } = device.kind
        && !device.streams.is_empty()
    {
        let facts = board.pci_hosts.get(host);
        let aliases = pci::requesters(host, rid).into_iter();
        for alias in aliases.filter_map(|alias| facts?.stream(alias)) {
            let stream = smmus::stream(&alias)?;
            if !taken(&stream) {
                list.push(stream);
            }
        }
    }
    sort::by_key(&mut list, |stream| *stream);
    list.dedup();
    Ok(list)
}

/// The SMMUs that these streams are behind.
pub fn units<'s>(streams: impl Iterator<Item = &'s Stream>) -> Vec<usize> {
    let mut units: Vec<usize> = streams.map(|stream| stream.unit).collect();
    sort::by_key(&mut units, |unit| *unit);
    units.dedup();
    units
}

/// What became of a device that waited for its SMMUs.
pub enum Given {
    /// Its VM has it.
    Now,
    /// It gets it when it stands still.
    Later,
    /// It is at work on its bus: to be tried again.
    Soon,
}

/// Gives a device to its VM whose SMMUs have come: master number `index`. While
/// the VM does not stand `still` it can get a PCI function, which it finds when it
/// looks for one.
///
/// # Errors
/// Why it does not get it, in words.
pub fn complete(
    board: &Board,
    vm: &Vm,
    device: &DeviceConfig,
    index: usize,
    still: bool,
) -> Result<Given, String> {
    let master = vm.masters.get(index).ok_or("not a device of its")?;
    let finds = still || master.rid.is_some() && vm.life.runs();
    let taken = |stream: &Stream| vm.masters.iter().any(|m| m.streams().contains(stream));
    let streams = streams(board, device, &taken)?;
    if !finds || vm.space.open_places(&units(streams.iter()), still) {
        return Ok(Given::Later);
    }
    if master.is_waiting() {
        let linked = master.complete(&streams, &vm.space);
        linked.map_err(|error| alloc::format!("{error}"))?;
        let dma = vm.dma.get();
        if dma.is_some_and(|dma| dma.core.renew(index).is_err()) {
            let (vm, device) = (vm.name, &device.name);
            log::error!("{vm}: {device}: an SMMU does not take it: it has no DMA");
        }
    }
    match (master.rid, &vm.devices.pci) {
        (Some(rid), Some(bridge)) if bridge.hide(rid, false) => {}
        (Some(_), _) => return Ok(Given::Soon),
        (None, _) => {
            let mut all = vm.passed.iter();
            let passed = all.find(|passed| passed.master() == index);
            passed
                .ok_or("it has no registers")?
                .install(&vm.space, &vm.vgic)?;
        }
    }
    Ok(Given::Now)
}
