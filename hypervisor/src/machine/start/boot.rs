//! From the first line of Rust to running guests.

use crate::machine::board::console::Terminal;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use platform::early::{Early, EarlyConsole};
use platform::facts::{self, Board};
use platform::fdt::Blob;
use platform::overlay::{self, Named};
use platform::pack::Kind;
use platform::report::Report;
use platform::tree::Tree;

use super::stop::{Stop, show};
use super::{compose, owners};
use crate::arch::percpu::{self, PerCpu};
use crate::arch::ram::{self, RamMap};
use crate::arch::{boot, heap, mmu, smp, vectors};
use crate::machine::board::{console, cpus, gic, packed};
use crate::machine::{irq, vms};

/// RAM for tables and records; taken from the top of RAM.
const HEAP: u64 = 48 << 20;
/// Bytes of a stack for faults at EL2: their report, and ending the VM.
const EMERGENCY_STACK: usize = 0x8000;

/// The boot CPU, with caches on and a rough memory map.
pub extern "C" fn primary(dtb: u64) {
    percpu::clear();
    vectors::install();
    heap::init_early();
    let Err(stop) = start(dtb);
    log::error!("{stop}: nothing is started");
}

/// Every other CPU, when the boot CPU has made it a home.
pub extern "C" fn secondary(record: &'static PerCpu) {
    vectors::install();
    percpu::set(record);
    enter();
}

/// What cannot happen.
pub enum Never {}

fn start(dtb: u64) -> Result<Never, Stop> {
    // Without a device tree there is no console to complain on.
    let blob = ram::device_tree(dtb).ok_or(Stop("no device tree at the address in x0"))?;
    let early = platform::early::scan(blob).map_err(|_| Stop("the device tree is damaged"))?;
    let heard = early
        .console
        .as_ref()
        .is_some_and(|uart| console::open(uart).is_ok());
    console::init_log();
    log::info!(
        "Stagegate {}: EL2, {} bytes of device tree",
        env!("CARGO_PKG_VERSION"),
        blob.len()
    );
    let mut memory = take_memory(dtb, blob, &early)?;
    let mut report = Report::new();
    let blob = apply_overlays(blob, &mut memory, &mut report)?;
    // Nothing refers to the loader's blob any more: its RAM may be given out.
    let heap = memory
        .take(HEAP, 1 << 20)
        .ok_or(Stop("48 MiB of free memory are needed for a start"))?;
    ram::give_to_heap(heap);
    let tree: &'static Tree<'static> = Box::leak(Box::new(Tree::new(blob)));
    let mut facts = Board::read(tree, &mut report);
    if !heard {
        find_console(tree, &mut facts);
    }
    facts.require(&mut report);
    show(&report);
    if report.has_errors() {
        return Err(Stop("the board's device tree lacks what is needed"));
    }
    summarise(&facts, &memory);
    // What comes late is made of these.
    set_up(tree, Box::leak(Box::new(facts)), &mut memory)?;
    start_secondaries();
    enter();
    Err(Stop("the boot CPU has nothing to do"))
}

/// The boot loader's tree names no console that works. An overlay may have
/// named one; otherwise `serial0` is by custom the port that people look at.
fn find_console(tree: &Tree<'_>, facts: &mut Board) {
    let first = tree.find("serial0");
    let serial0 = |uart: &facts::Uart| uart.enabled && Some(uart.node) == first;
    let index = facts
        .console
        .or_else(|| facts.uarts.iter().position(serial0));
    let Some((index, uart)) = index.and_then(|i| Some((i, facts.uarts.get(i)?))) else {
        return;
    };
    let found = EarlyConsole {
        kind: uart.kind,
        registers: uart.registers,
        reg_shift: uart.reg_shift,
        io_width: uart.io_width,
    };
    if console::open(&found).is_ok() {
        facts.console = Some(index);
    }
}

/// Replaces the boot map by the final one and finds out what RAM is free.
fn take_memory(dtb: u64, blob: &[u8], early: &Early) -> Result<RamMap, Stop> {
    if early.memory.is_empty() {
        return Err(Stop(
            "the device tree describes no memory: let the boot loader fill in /memory",
        ));
    }
    let ranges = early
        .memory
        .iter()
        .filter_map(|r| r.end().map(|end| (r.base, end)));
    mmu::activate(ranges, (dtb, dtb + blob.len() as u64))
        .map_err(|_| Stop("memory lies beyond 48 bits of address"))?;
    // What was left out could be firmware's: rather not start than give it away.
    if early.dropped > 0 {
        return Err(Stop(
            "the device tree lists more than 64 pieces of memory, reservations or modules",
        ));
    }
    // The final map has no devices yet.
    if let Some(uart) = &early.console {
        let _ = console::open(uart);
    }
    RamMap::claim(&early.memory, &early.reserved, &early.modules).ok_or(Stop("started twice"))
}

/// Applies the overlays that were packed with the image, then those the boot
/// loader has put into RAM, and keeps the modules that they name.
fn apply_overlays(
    blob: &[u8],
    memory: &mut RamMap,
    report: &mut Report,
) -> Result<Blob<'static>, Stop> {
    const DAMAGED: Stop = Stop("the device tree is damaged");
    // Without what pads it: there is no more than the early heap yet.
    let blob = Blob::check(blob).map_err(|_| DAMAGED)?.trimmed();
    let blob = Blob::check(Box::leak(blob.into_boxed_slice())).map_err(|_| DAMAGED)?;
    let packed = packed::open().into_iter().flat_map(|pack| pack.files());
    let packed = packed.filter(|file| file.kind == Kind::Overlay);
    let mut overlays: Vec<Named<'_>> = packed
        .map(|file| Named {
            name: file.name,
            bytes: file.bytes,
        })
        .collect();
    for (name, region) in overlay::modules(&blob) {
        let bytes = memory.module(region);
        let bytes = bytes.ok_or(Stop("an overlay does not lie in memory"))?;
        overlays.push(Named { name, bytes });
    }
    if overlays.is_empty() {
        return Ok(blob);
    }
    log::info!("applying {} overlays", overlays.len());
    let Some(merged) = overlay::merge(&blob, &overlays, report) else {
        show(report);
        return Err(Stop("an overlay does not apply"));
    };
    let merged = Box::leak(merged.into_boxed_slice());
    let early = platform::early::scan(merged).map_err(|_| DAMAGED)?;
    memory.keep(&early.modules);
    Blob::check(merged).map_err(|_| DAMAGED)
}

fn summarise(facts: &Board, memory: &RamMap) {
    log::info!(
        "{}: {} CPUs, {} MiB of memory ({} MiB free), {} SMMUs, {} PCI hosts",
        facts.model,
        facts.cpus.len(),
        facts.memory.total() >> 20,
        memory.total() >> 20,
        facts.smmus.len(),
        facts.pci_hosts.len(),
    );
}

/// CPUs, interrupts and VMs.
fn set_up(
    tree: &'static Tree<'static>,
    facts: &'static Board,
    memory: &mut RamMap,
) -> Result<(), Stop> {
    cpus::set_firmware(facts.psci);
    let gic = facts.gic.as_ref().ok_or(Stop("no interrupt controller"))?;
    let order = cpu_order(facts);
    gic::init(gic).map_err(|_| Stop("the interrupt controller does not answer"))?;
    let vms = compose::vms(tree, facts, memory, order.len())?;
    publish_cpus(&order, &vms);
    irq::set_owners(
        owners::private_interrupts(facts)?,
        owners::owners(facts, &vms),
    );
    console::share(vms.iter().map(|&vm| vm as &dyn Terminal).collect());
    vms::publish(vms);
    Ok(())
}

/// Affinities of the CPUs, this one first, as many as there are stacks.
fn cpu_order(facts: &Board) -> Vec<u64> {
    let me = cpus::this_mpidr();
    let others = facts
        .cpus
        .iter()
        .map(|cpu| cpu.mpidr)
        .filter(|&mpidr| mpidr != me);
    let all: Vec<u64> = core::iter::once(me).chain(others).collect();
    if all.len() > boot::MAX_CPUS {
        log::warn!(
            "{} CPUs: only the first {} are used",
            all.len(),
            boot::MAX_CPUS
        );
    }
    all.into_iter().take(boot::MAX_CPUS).collect()
}

/// Makes each CPU's record and installs this one's.
fn publish_cpus(order: &[u64], vms: &[&'static crate::machine::vm::Vm]) {
    let homes = |cpu: usize| {
        vms.iter().find_map(|&vm| {
            let index = vm.vcpus.iter().position(|v| v.cpu == cpu)?;
            Some(crate::machine::vm::VcpuRef { vm, index })
        })
    };
    let records: Vec<&'static PerCpu> = order
        .iter()
        .enumerate()
        .map(|(index, &mpidr)| {
            let emergency = Box::leak(vec![0u128; EMERGENCY_STACK / 16].into_boxed_slice());
            let record = PerCpu {
                stack_top: boot::stack_top(index),
                emergency_top: emergency.as_ptr_range().end as u64,
                index,
                mpidr,
                slot: pgtable::Slot::of(index),
                vcpu: homes(index),
            };
            &*Box::leak(Box::new(record))
        })
        .collect();
    if let Some(first) = records.first() {
        percpu::set(first);
    }
    cpus::set(records);
}

/// Starts every other CPU that has a vCPU.
fn start_secondaries() {
    let Some(conduit) = cpus::firmware() else {
        return;
    };
    for cpu in cpus::all().iter().skip(1).filter(|cpu| cpu.vcpu.is_some()) {
        if let Err(error) = smp::cpu_on(conduit, cpu.mpidr, cpu) {
            log::error!(
                "CPU {} ({:#x}) does not start: PSCI error {error}",
                cpu.index,
                cpu.mpidr
            );
        }
    }
}

/// This CPU becomes its vCPU, or sleeps for ever.
fn enter() {
    if let Err(error) = irq::init_cpu() {
        log::error!("this CPU takes no interrupts: {error:?}");
    }
    irq::enable_own();
    // SMMUs have been on since they were probed; nobody may need them.
    crate::machine::board::smmus::arm();
    if percpu::try_get().is_some_and(|cpu| cpu.vcpu.is_some()) {
        vectors::run_vcpu();
    }
    loop {
        irq::sleep();
    }
}
