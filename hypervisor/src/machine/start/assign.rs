//! Gives devices to a VM: links them to their SMMUs, puts PCI functions behind
//! its host bridge and wires interrupts.

use alloc::string::String;
use alloc::vec::Vec;

use platform::config::{DeviceConfig, DeviceKind, PowerSource, VmConfig};
use platform::facts::Board;
use platform::sort;
use platform::tree::Tree;

use super::stop::Stop;
use crate::machine::board::pci;
use crate::machine::board::smmus::{self, Stream};
use crate::machine::vm::Vm;
use crate::machine::vm::masters::{Identity, Master};
use crate::machine::vm::messages::{self, Messages};
use crate::machine::vm::passed::{Allocator, Passed};
use crate::machine::vm::pci::VmHost;
use crate::pci::{MsiPolicy, Rid};
use crate::power::evidence::Source;

/// Makes the VM's virtual host bridge with those of its PCI functions that it was
/// given, if there are any.
fn bridge(
    tree: &Tree<'_>,
    board: &Board,
    vm: &mut Vm,
    given: &[&DeviceConfig],
) -> Result<(), Stop> {
    let mut hosts = given.iter().filter_map(|device| match device.kind {
        DeviceKind::Pci { host, rid, .. } => Some((host, Rid(rid))),
        DeviceKind::Platform { .. } => None,
    });
    let Some((host, first)) = hosts.next() else {
        return Ok(());
    };
    let mut rids = alloc::vec![first];
    for (other, rid) in hosts {
        if other != host {
            return Err(Stop("its PCI devices are behind different host bridges"));
        }
        rids.push(rid);
    }
    vm.messages = messages::offer((tree, board), &vm.space, &vm.masters, (host, &rids));
    let messages = vm.messages.as_ref();
    let msi = messages.map_or(MsiPolicy::None, Messages::policy);
    match VmHost::new(board, host, &rids, msi) {
        Ok(bridge) => {
            vm.devices.pci = Some(bridge);
            Ok(())
        }
        Err(error) => {
            log::error!("{}: {error}", vm.name);
            Err(Stop("a PCI device cannot be given to it"))
        }
    }
}

/// A device and all its streams.
type Wanted<'c> = (&'c DeviceConfig, Vec<Stream>);

/// Every stream of a device: those of the configuration, and those under which
/// bridges may send a PCI function's transactions. What a bridge sends for
/// several of the VM's functions belongs to the first of them in `others`.
///
/// # Errors
/// An SMMU or TBU in front of it does not work.
fn streams(
    board: &Board,
    device: &DeviceConfig,
    others: &[Wanted<'_>],
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
            if !others.iter().any(|(_, taken)| taken.contains(&stream)) {
                list.push(stream);
            }
        }
    }
    sort::by_key(&mut list, |stream| *stream);
    list.dedup();
    Ok(list)
}

/// Why a device of the VM, by its place in the configuration, may not be given;
/// `None` if nothing that it needs is missing.
pub type WhyNot<'a> = &'a dyn Fn(usize) -> Option<&'a str>;

/// What must hold before a device may be given to this VM.
///
/// # Errors
/// Why it may not.
fn admit(config: &VmConfig, device: &DeviceConfig) -> Result<(), String> {
    match device.kind {
        DeviceKind::Pci { host, rid, .. } => pci::give(host, rid, &config.name),
        DeviceKind::Platform { .. } => Ok(()),
    }
}

/// Links the VM's masters and wires their interrupts. A device that its SMMU
/// does not confine is not given, whatever it is.
pub fn adopt(
    (tree, board): (&Tree<'_>, &Board),
    config: &VmConfig,
    why_not: WhyNot<'_>,
    vm: &mut Vm,
) -> Result<(), Stop> {
    let refuse = |device: &DeviceConfig, why: &dyn core::fmt::Display| {
        log::error!("{}: {}: {why}: it is not given", config.name, device.name);
    };
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (index, device) in config.devices.iter().enumerate() {
        if let Err(why) = admit(config, device) {
            refuse(device, &why);
            continue;
        }
        match (streams(board, device, &wanted), why_not(index)) {
            (Ok(_), Some(why)) => refuse(device, &why),
            (Ok(streams), None) => wanted.push((device, streams)),
            // The operator wrote that it may run without.
            (Err(_), None) if device.optional || device.bypass => {
                wanted.push((device, Vec::new()));
            }
            (Err(why), _) => refuse(device, &why),
        }
    }
    let behind = wanted.iter().flat_map(|(_, streams)| streams);
    let mut units: Vec<usize> = behind.map(|stream| stream.unit).collect();
    sort::by_key(&mut units, |unit| *unit);
    units.dedup();
    vm.space.open_places(&units);
    let mut given = Vec::new();
    for (device, streams) in wanted {
        let rid = match device.kind {
            DeviceKind::Pci { rid, .. } => Some(Rid(rid)),
            DeviceKind::Platform { .. } => None,
        };
        let identity = Identity {
            name: device.name.clone(),
            endpoint: 0x1_0000 + vm.masters.len() as u32,
            rid,
            bypass: device.bypass,
        };
        let sources = device.power_sources.iter().map(|s| source(*s));
        match Master::new(identity, &streams, sources.collect(), &vm.space.places) {
            Ok(master) => {
                vm.masters.push(master);
                given.push(device);
            }
            Err(error) => refuse(device, &error),
        }
    }
    bridge(tree, board, vm, &given)?;
    let mut room = Allocator::new();
    for (index, device) in given.into_iter().enumerate() {
        if let Some(rid) = vm.masters[index].rid {
            vm.masters[index].endpoint = virtual_rid(vm, rid);
        }
        let passed = Passed::new(tree, device, index, &mut room);
        let installed = passed.and_then(|passed| {
            let install = |passed: Passed| passed.install(&vm.space, &vm.vgic).map(|()| passed);
            passed.map(install).transpose()
        });
        match installed {
            Ok(passed) => vm.passed.extend(passed),
            Err(why) => refuse(device, &why),
        }
    }
    let messages = vm.messages.iter().flat_map(Messages::lines);
    for line in vm.pci_lines().into_iter().chain(messages) {
        if line.assign(&vm.vgic).is_err() {
            log::error!(
                "{}: interrupt {} cannot be given to it",
                vm.name,
                line.physical
            );
        }
    }
    Ok(())
}

/// The number under which the VM sees a function.
fn virtual_rid(vm: &Vm, rid: Rid) -> u32 {
    vm.devices
        .pci
        .as_ref()
        .and_then(|pci| pci.virtual_rid(rid))
        .map_or(0, |rid| u32::from(rid.0))
}

const fn source(source: PowerSource) -> Source {
    match source {
        PowerSource::PciPm => Source::Pci,
        PowerSource::Scmi => Source::Scmi,
        PowerSource::Hypercall => Source::Hypercall,
        PowerSource::AlwaysOn => Source::AlwaysOn,
    }
}
