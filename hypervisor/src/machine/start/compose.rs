//! Joins the rooms: turns the board's facts and the operator's plan into VMs
//! on CPUs. The only file that knows all of them.

use crate::machine::vm::messages::Messages;
use alloc::boxed::Box;
use alloc::vec::Vec;

use pgtable::{Access, Attrs, Config, Execute, Granule, MemoryType, decode_size};
use platform::config::{GuestIommu, Inputs, Plan, Source as File, VmConfig};
use platform::facts::{Board, GicKind};
use platform::region::Region;
use platform::report::Report;
use platform::tree::Tree;

use spin::Once;

use super::assign::{FateOf, adopt};
use super::stop::{Stop, show};
use crate::arch::ram::RamMap;
use crate::arch::regs;
use crate::arch::tables::TableMemory;
use crate::dma::Policy;
use crate::guest::map;
use crate::life::Life;
use crate::machine::board::pci;
use crate::machine::probing::{Probing, late};
use crate::machine::vm::devices::Devices;
use crate::machine::vm::guest_dma::GuestDma;
use crate::machine::vm::ram::{GuestRam, PIECE};
use crate::machine::vm::scmi::Scmi;
use crate::machine::vm::space::{AddressSpace, IPA_BITS, Stage2};
use crate::machine::vm::vcpu::Vcpu;
use crate::machine::vm::{Counters, Images, Vm};
use crate::psci::Mitigations;
use crate::trap::features::{Features, Offer};
use crate::vgic::{self, Vgic};

/// SPIs of every guest: INTID 32 to 287, as many as QEMU's machine has.
const GUEST_SPIS: usize = 256;

/// Reads the plan and makes its VMs. CPUs are given out in order, each to one
/// vCPU.
pub fn vms(
    tree: &'static Tree<'static>,
    board: &'static Board,
    memory: &mut RamMap,
    cpus: usize,
) -> Result<Vec<&'static Vm>, Stop> {
    let mut report = Report::new();
    let files = crate::machine::board::packed::files();
    let named: Vec<(&str, Region)> = files.iter().map(|f| (f.0, f.1)).collect();
    let inputs = Inputs {
        files: Some(&named),
        held: &[crate::arch::ram::own()],
    };
    let plan = platform::config::plan(tree, board, inputs, &mut report);
    show(&report);
    if report.has_errors() {
        return Err(Stop("the configuration has errors"));
    }
    let plan: &'static Plan = Box::leak(Box::new(plan));
    let probing = Probing::run(tree, board, plan);
    pci::probe(board, |host| probing.powers_host(host));
    let mut next_cpu = 0;
    let mut vms = Vec::new();
    for (index, config) in plan.vms.iter().enumerate() {
        if next_cpu + config.cpus > cpus {
            return Err(Stop("the configuration asks for more CPUs than there are"));
        }
        let fate = |device| probing.fate(index, device);
        match vm((tree, board), config, &fate, memory, next_cpu) {
            Ok(vm) => vms.push(vm),
            Err(stop) => log::error!("{}: {stop}: skipped", config.name),
        }
        next_cpu += config.cpus;
    }
    if vms.is_empty() {
        return Err(Stop("no VM can start"));
    }
    late::begin(board, plan, probing, &vms);
    Ok(vms)
}

fn vm(
    (tree, board): (&Tree<'_>, &Board),
    config: &VmConfig,
    fate: FateOf<'_>,
    memory: &mut RamMap,
    first_cpu: usize,
) -> Result<&'static Vm, Stop> {
    let images = images(config, memory)?;
    let ram = ram(config.memory, memory)?;
    let gic_kind = board.gic.as_ref().map_or(GicKind::V3, |gic| gic.kind);
    let version = match gic_kind {
        GicKind::V2 => vgic::Version::V2,
        GicKind::V3 => vgic::Version::V3,
    };
    let shape = vgic::Config {
        version,
        vcpus: config.cpus,
        spis: GUEST_SPIS,
    };
    let vgic = Vgic::new(&shape)
        .map_err(|_| Stop("this many vCPUs do not fit its interrupt controller"))?;
    let id = u16::try_from(config.id).map_err(|_| Stop("VM numbers go up to 65535"))?;
    // For as long as the VM: for ever, unless it cannot start.
    let name: &'static str = config.name.clone().leak();
    let space = AddressSpace::new(id, name, ram, stage2()?)
        .map_err(|_| Stop("its memory cannot be mapped"))?;
    let mut vm = Vm {
        id,
        name,
        vcpus: (0..config.cpus)
            .map(|index| Vcpu::new(index, first_cpu + index))
            .collect(),
        space,
        vgic,
        redistributor_bytes: if version == vgic::Version::V3 {
            config.cpus as u64 * 0x2_0000
        } else {
            0
        },
        features: features(version),
        mitigations: Mitigations {
            csv2: (regs::id_register(4, 0) >> 56) & 0xf != 0,
        },
        devices: Devices::new(None),
        masters: Vec::new(),
        passed: Vec::new(),
        messages: None,
        scmi: None,
        iommu: config.iommu,
        dma: Once::new(),
        waiting: false.into(),
        life: Life::new(),
        images,
        counters: Counters::default(),
        epoch: 0.into(),
    };
    adopt((tree, board), config, fate, &mut vm)?;
    vm.scmi = scmi(&vm, memory);
    if let Some(scmi) = &vm.scmi {
        let page = vm
            .space
            .map(map::SCMI_SHMEM.base, scmi.page(), 4096, SHARED);
        page.map_err(|_| Stop("its SCMI page cannot be mapped"))?;
    }
    log::info!(
        "{}: {} vCPUs on CPUs {}-{}, {} MiB of memory",
        vm.name,
        config.cpus,
        first_cpu,
        first_cpu + config.cpus - 1,
        config.memory >> 20,
    );
    let vm: &'static Vm = Box::leak(Box::new(vm));
    if !vm.masters.is_empty() {
        let doorbell = vm.messages.as_ref().map(Messages::doorbell);
        let virtio = config.iommu == GuestIommu::Virtio;
        vm.dma
            .call_once(|| GuestDma::new(&vm.space, &vm.masters, doorbell, policy(config), virtio));
    }
    Ok(vm)
}

/// The SCMI page: the guest maps it as device memory, so stage 2 leaves it
/// uncached for the guest whatever it asks for.
const SHARED: Attrs = Attrs::new(MemoryType::NonCacheable, Access::ReadWrite, Execute::None);

/// The VM's SCMI server, if one of its devices is to be told of by it.
fn scmi(vm: &Vm, memory: &mut RamMap) -> Option<Scmi> {
    let domains: Vec<(usize, &str)> = vm
        .masters
        .iter()
        .enumerate()
        .filter(|(_, master)| master.rid.is_none() || master.hears_scmi())
        .map(|(index, master)| (index, master.name.as_str()))
        .collect();
    if domains.is_empty() {
        return None;
    }
    memory
        .take(4096, 4096)
        .map(|page| Scmi::new(page, &domains))
}

/// What the operator allows the VM to do with its own domains.
fn policy(config: &VmConfig) -> Policy {
    Policy {
        strict: config.strict_dma,
        ..Policy::default()
    }
}

fn images(config: &VmConfig, memory: &RamMap) -> Result<Images, Stop> {
    let bytes = |source: &File| match source {
        File::Memory(region) => memory.module(*region),
        File::File(name) => crate::machine::board::packed::files()
            .into_iter()
            .find(|(packed, ..)| packed == name)
            .map(|(_, _, bytes)| bytes),
    };
    let kernel = bytes(&config.kernel.source).ok_or(Stop("its kernel is not in memory"))?;
    let ramdisk = match &config.ramdisk {
        Some(module) => Some(bytes(&module.source).ok_or(Stop("its RAM disk is not in memory"))?),
        None => None,
    };
    Ok(Images {
        kernel,
        ramdisk,
        bootargs: config.kernel.bootargs.clone(),
    })
}

/// Memory in as few pieces as there is room for.
fn ram(bytes: u64, memory: &mut RamMap) -> Result<GuestRam, Stop> {
    let mut left = bytes.next_multiple_of(PIECE);
    let mut pieces = Vec::new();
    while left > 0 {
        let size = left.min(memory.largest(PIECE) & !(PIECE - 1));
        let piece = (size > 0).then(|| memory.take(size, PIECE)).flatten();
        pieces.push(piece.ok_or(Stop("there is not enough free memory for it"))?);
        left -= size;
    }
    Ok(GuestRam::new(pieces))
}

fn stage2() -> Result<Stage2, Stop> {
    // PARange; more than 48 bits take larger pages.
    let range = (regs::id_register(7, 0) & 0xf) as u32;
    let pa_bits = u32::from(decode_size(range).min(48));
    let config = Config::new(Granule::K4, IPA_BITS.min(pa_bits), pa_bits)
        .map_err(|_| Stop("no stage-2 tables for this CPU"))?;
    Stage2::new(config, TableMemory::unbounded()).map_err(|_| Stop("no memory for its tables"))
}

fn features(version: vgic::Version) -> Features {
    let offer = Offer {
        gicv3: version == vgic::Version::V3,
        ipa_bits: IPA_BITS as u8,
    };
    Features::new(offer, |register| {
        regs::id_register(register.crm(), register.op2())
    })
}
