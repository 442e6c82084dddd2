//! Gives devices to a VM: links them to their SMMUs, puts PCI functions behind
//! its host bridge and wires interrupts.

use alloc::string::String;
use alloc::vec::Vec;

use platform::config::{DeviceConfig, DeviceKind, PowerSource, VmConfig};
use platform::facts::Board;
use platform::tree::Tree;

use super::stop::Stop;
use crate::machine::board::pci;
use crate::machine::board::smmus::Stream;
use crate::machine::probing::Fate;
use crate::machine::probing::give::{streams, units};
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
            for master in vm.masters.iter().filter(|master| master.is_waiting()) {
                // Nobody is at work there yet.
                let _hidden = master.rid.map(|rid| bridge.hide(rid, true));
            }
            vm.devices.pci = Some(bridge);
            Ok(())
        }
        Err(error) => {
            log::error!("{}: {error}", vm.name);
            Err(Stop("a PCI device cannot be given to it"))
        }
    }
}

/// A device of the configuration, by its index there, and all its streams;
/// `None` if it waits for its SMMUs.
type Wanted<'c> = (usize, &'c DeviceConfig, Option<Vec<Stream>>);

/// What becomes of a device of the VM, by its index in the configuration.
pub type FateOf<'a> = &'a dyn Fn(usize) -> Fate;

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
    fate: FateOf<'_>,
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
        let taken = |stream: &Stream| {
            let mut others = wanted.iter().filter_map(|(_, _, list)| list.as_ref());
            others.any(|list| list.contains(stream))
        };
        match (fate(index), streams(board, device, &taken)) {
            (Fate::Waits(why), _) => {
                log::warn!(
                    "{}: {}: {why}: given when that has come",
                    config.name,
                    device.name
                );
                wanted.push((index, device, None));
            }
            (Fate::Refused(why), Ok(_)) => refuse(device, &why),
            (Fate::Ready, Ok(streams)) => wanted.push((index, device, Some(streams))),
            // The operator wrote that it may run without.
            (Fate::Ready, Err(_)) if device.optional || device.bypass => {
                wanted.push((index, device, Some(Vec::new())));
            }
            (_, Err(why)) => refuse(device, &why),
        }
    }
    let behind = wanted.iter().filter_map(|(_, _, streams)| streams.as_ref());
    vm.space.open_places(&units(behind.flatten()), true);
    let mut given = Vec::new();
    for (index, device, streams) in wanted {
        let rid = match device.kind {
            DeviceKind::Pci { rid, .. } => Some(Rid(rid)),
            DeviceKind::Platform { .. } => None,
        };
        let identity = Identity {
            name: device.name.clone(),
            device: index,
            endpoint: 0x1_0000 + vm.masters.len() as u32,
            rid,
            bypass: device.bypass,
        };
        let sources = device.power_sources.iter().map(|s| source(*s)).collect();
        let master = match streams {
            Some(streams) => Master::new(identity, &streams, sources, &vm.space),
            None => Ok(Master::waiting(identity, sources)),
        };
        match master {
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
        let waits = vm.masters[index].is_waiting();
        let installed = passed.and_then(|passed| {
            let install = |passed: Passed| match waits {
                true => Ok(passed),
                false => passed.install(&vm.space, &vm.vgic).map(|()| passed),
            };
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
