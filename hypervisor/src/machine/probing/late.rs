//! What comes after guests have started: SMMUs whose clocks, power domains or
//! firmware were not there when the operator's patience ended.
//!
//! One CPU asks one supplier at a time, from EL2's timer, with pauses that grow;
//! none when nothing is late. What a late device is made of (its place on the
//! virtual bus or in the guest's map, its interrupts, its number for DMA) was
//! set aside for its VM at boot. When its SMMUs have come, a PCI function
//! appears in its VM at once, where the guest finds it when it scans its bus
//! again; a platform device at the VM's next start, when the device tree is
//! written that tells of it.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use platform::config::Plan;
use platform::facts::Board;
use spin::mutex::SpinMutex;

use super::give::{self, Given};
use super::{Fate, Probing};
use crate::arch::timer;
use crate::machine::board::console::print;
use crate::machine::board::later::{self, Pauses};
use crate::machine::board::smmus;
use crate::machine::vm::Vm;

/// A device that waits.
struct Waiting {
    vm: &'static Vm,
    /// Index among the VM's masters.
    master: usize,
    /// Indices of VM and device in the plan.
    place: (usize, usize),
    /// It was told of: it is given at the VM's next start.
    told: bool,
}

struct Late {
    board: &'static Board,
    plan: &'static Plan,
    probing: Probing,
    waiting: Vec<Waiting>,
    pauses: Pauses,
}

/// Held while something is asked or given: before every other lock.
static LATE: SpinMutex<Option<Late>> = SpinMutex::new(None);

/// Guests are about to start; `vms` are those of the plan that can.
pub fn begin(board: &'static Board, plan: &'static Plan, probing: Probing, vms: &[&'static Vm]) {
    let mut waiting = Vec::new();
    for (index, config) in plan.vms.iter().enumerate() {
        let vm = vms.iter().find(|vm| u32::from(vm.id) == config.id);
        if let Some(&vm) = vm {
            let masters = vm.masters.iter().enumerate();
            let own = masters.filter(|(_, master)| master.is_waiting());
            waiting.extend(own.map(|(master, found)| Waiting {
                vm,
                master,
                place: (index, found.device),
                told: false,
            }));
        }
    }
    let mut pauses = Pauses::default();
    if probing.waits() {
        pauses.pause(true);
    }
    *LATE.lock() = Some(Late {
        board,
        plan,
        probing,
        waiting,
        pauses,
    });
}

/// EL2's timer rang at this CPU: asks, if it is time. The index of an SMMU that
/// has come goes to `came`.
pub fn tick(came: &mut dyn FnMut(usize)) {
    if later::next().is_some_and(|at| at <= timer::now_ns())
        && let Some(late) = LATE.lock().as_mut()
    {
        late.ask(came);
    }
}

/// The VM starts: all its CPUs are here, or its guest is about to run (not
/// `still`). It gets what has come since it did the last time.
pub fn starts(vm: &'static Vm, still: bool) {
    if vm.waiting.swap(false, Ordering::AcqRel)
        && let Some(late) = LATE.lock().as_mut()
    {
        late.give(|waiting| core::ptr::eq(waiting.vm, vm), still);
    }
}

/// What is not there, for the monitor; not while somebody asks.
pub fn list() {
    let Some(late) = LATE.try_lock() else {
        return print(format_args!("a supplier is being asked: try again\n"));
    };
    let mut missing = late
        .iter()
        .flat_map(|late| late.probing.missing())
        .peekable();
    if missing.peek().is_some() {
        print(format_args!("not ready:\n"));
    }
    for (name, outcome) in missing {
        print(format_args!("  {name}: {outcome}\n"));
    }
}

impl Late {
    fn ask(&mut self, came: &mut dyn FnMut(usize)) {
        let before: Vec<bool> = smmus::slots().iter().map(|s| s.get().is_some()).collect();
        let of_use = self.probing.ask();
        for (index, _) in smmus::units() {
            if before.get(index) == Some(&false) {
                came(index);
            }
        }
        let again = self.give(|_| true, false);
        match (again || self.probing.waits(), of_use) {
            (false, _) => self.pauses.end(),
            (true, of_use) => self.pauses.pause(of_use),
        }
    }

    /// Gives what has come to the VMs concerned. Whether that is to be tried again.
    fn give(&mut self, concerned: impl Fn(&Waiting) -> bool, still: bool) -> bool {
        let mut again = false;
        let ms = self.probing.waited_ns() / 1_000_000;
        let (probing, plan, board) = (&self.probing, self.plan, self.board);
        self.waiting.retain_mut(|waiting| {
            let (vm, device) = waiting.place;
            let config = plan.vms.get(vm).and_then(|vm| vm.devices.get(device));
            let (true, Some(config)) = (concerned(waiting), config) else {
                return true;
            };
            let (own, name) = (&waiting.vm.name, &config.name);
            let given = match probing.fate(vm, device) {
                Fate::Waits(_) => return true,
                Fate::Refused(why) => Err(why),
                Fate::Ready => give::complete(board, waiting.vm, config, waiting.master, still),
            };
            match given {
                Ok(Given::Now) if still => log::info!("{own}: {name}: given"),
                Ok(Given::Now) => log::info!(
                    "{own}: {name}: ready after {ms} ms: given; a scan of its PCI bus finds it"
                ),
                Ok(Given::Soon) => {
                    again = true;
                    waiting.vm.waiting.store(true, Ordering::Release);
                    return true;
                }
                Ok(Given::Later) => {
                    if !core::mem::replace(&mut waiting.told, true) {
                        log::info!(
                            "{own}: {name}: ready after {ms} ms: given at its VM's next start"
                        );
                    }
                    waiting.vm.waiting.store(true, Ordering::Release);
                    return true;
                }
                Err(why) => log::error!("{own}: {name}: {why}: it is not given"),
            }
            false
        });
        again
    }
}
