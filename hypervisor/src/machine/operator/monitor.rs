//! The operator's keyboard: Ctrl-a and a key, from any console.

use super::{dump, faults, off, report};
use crate::life::{Ending, Phase};
use crate::machine::board::console::{Key, print};
use crate::machine::board::pci;
use crate::machine::probing::late;
use crate::machine::vm::Vm;
use crate::machine::vms;
use crate::psci::power::State;

/// What Ctrl-a `?` prints.
const HELP: &str = "Ctrl-a and a key:\n\
    \x20 0      this monitor        1-9    console of VM n   Ctrl-a next\n\
    \x20 v      VMs                 h      memory\n\
    \x20 p      power table         k      power links       d      both, for programs\n\
    \x20 f      DMA faults          t n    memory map of VM n\n\
    \x20 r n    reset VM n          s n    stop VM n         g n    start VM n\n\
    \x20 l n    log level (0 to 3)  q      switch the board off\n\
    In the monitor the keys work alone.\n";

/// A command that waits for its number.
static PENDING: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// A key of the operator's.
pub fn key(key: Key) {
    match key {
        Key::Typed(key) => typed(key),
        Key::Menu(key) => menu(key),
    }
}

/// A key typed while the monitor has the console.
fn typed(key: u8) {
    use core::sync::atomic::Ordering::Relaxed;
    match (PENDING.swap(0, Relaxed), key) {
        (0, b'r' | b's' | b'g' | b'l' | b't') => {
            PENDING.store(key, Relaxed);
            print(format_args!("{}: which number?\n", key as char));
        }
        (0, _) => menu(key),
        (command, b'0'..=b'9') => numbered(command, usize::from(key - b'0')),
        _ => print(format_args!("a number, please\n")),
    }
}

/// A key typed after Ctrl-a.
fn menu(key: u8) {
    match key {
        b'v' => vms(),
        b'h' => memory(),
        b'p' => {
            report::table();
            late::list();
        }
        b'k' => report::links(),
        b'd' => report::lines(),
        b'q' => off::power_off(),
        b'f' => {
            faults::list();
            losses();
        }
        b'r' | b's' | b'g' | b'l' | b't' => typed(key),
        b'\r' | b'\n' => {}
        _ => HELP
            .lines()
            .for_each(|line| print(format_args!("{line}\n"))),
    }
}

fn numbered(command: u8, number: usize) {
    if command == b'l' {
        let level = [
            log::LevelFilter::Error,
            log::LevelFilter::Warn,
            log::LevelFilter::Info,
            log::LevelFilter::Debug,
        ];
        return log::set_max_level(
            level
                .get(number)
                .copied()
                .unwrap_or(log::LevelFilter::Debug),
        );
    }
    let Some(vm) = number
        .checked_sub(1)
        .and_then(|index| vms::all().get(index))
    else {
        return print(format_args!("there is no VM {number}\n"));
    };
    if vm.life.has_failed() && command != b't' {
        return print(format_args!(
            "{} has lost a CPU: only a reset of the board starts it again\n",
            vm.name
        ));
    }
    match command {
        b'r' => vm.request_end(Ending::Reset),
        b's' => vm.request_end(Ending::PowerOff),
        b't' => dump::page(number, vm),
        _ => {
            if !vm.request_start() {
                print(format_args!("{} is not off\n", vm.name));
            }
        }
    }
}

/// A word for what a VM does.
fn phase(vm: &Vm) -> &'static str {
    match vm.life.phase().0 {
        Phase::Running => "running",
        Phase::Ending(_) => "changing",
        Phase::Off(Ending::Crash) => "crashed",
        Phase::Off(_) => "off",
        Phase::Failed => "failed",
    }
}

fn vms() {
    print(format_args!(
        "VM name             state     vCPUs on  memory  resets\n"
    ));
    for (index, vm) in vms::all().iter().enumerate() {
        let on = vm
            .vcpus
            .iter()
            .filter(|vcpu| vcpu.power.state() == State::On)
            .count();
        print(format_args!(
            "{:>2} {:<16} {:<9} {:>3}/{:<5} {:>5} MiB {:>4}\n",
            index + 1,
            vm.name,
            phase(vm),
            on,
            vm.vcpus.len(),
            vm.space.ram.len() >> 20,
            vm.life.resets(),
        ));
    }
}

fn memory() {
    let (total, used) = crate::arch::heap::usage();
    print(format_args!(
        "hypervisor's memory: {} KiB, {} KiB in use\n",
        total >> 10,
        used >> 10
    ));
}

/// Configuration accesses that aborted.
fn losses() {
    for (path, counts) in pci::losses() {
        for (rid, count) in counts.functions {
            print(format_args!(
                "{path}: {count} configuration accesses to {rid} aborted\n"
            ));
        }
        if counts.others > 0 {
            let count = counts.others;
            print(format_args!("{path}: {count} to other functions\n"));
        }
    }
}
