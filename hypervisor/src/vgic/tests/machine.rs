//! Physical CPUs with list registers, and guests that use them as hardware
//! lets them: acknowledge and end interrupts without any exit.

use crate::vgic::{
    Config, HwChanges, Kick, ListRegisters, Lr, Maintenance, Read, Region, State, Version, Vgic,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

pub const DIST: Region = Region::Distributor;
pub const REDIST: Region = Region::Redistributors;

/// Physical interrupts that are active; private ones have the CPU in front.
pub type Active = Arc<Mutex<BTreeSet<(usize, u32)>>>;

fn key(cpu: usize, physical: u32) -> (usize, u32) {
    if physical < 32 {
        (cpu, physical)
    } else {
        (usize::MAX, physical)
    }
}

/// One CPU's virtual interface.
pub struct Cpu {
    number: usize,
    pub lrs: Vec<Lr>,
    wanted: Maintenance,
    eoi_count: u32,
    physical: Active,
    /// Acknowledged by the guest and not ended: priority, id, sender.
    pub running: Vec<(u8, u32, u8)>,
    /// Reads and writes of list registers, to prove there were none.
    pub touched: RefCell<usize>,
    /// Lines of private interrupts that have fallen since they were taken.
    pub fallen: BTreeSet<u32>,
    /// A controller that forwards no line that is still high.
    pub forgetful: bool,
}

impl ListRegisters for Cpu {
    fn count(&self) -> usize {
        self.lrs.len()
    }

    fn read(&self, index: usize) -> Lr {
        *self.touched.borrow_mut() += 1;
        self.lrs[index]
    }

    fn write(&mut self, index: usize, value: Lr) {
        *self.touched.borrow_mut() += 1;
        if let Some(physical) = value.physical() {
            assert_ne!(
                value.state(),
                State::PendingActive,
                "HW forbids pending and active"
            );
            let active = self
                .physical
                .lock()
                .unwrap()
                .contains(&key(self.number, physical));
            assert!(
                active,
                "{value:?} stands for a physical interrupt that is not active"
            );
        }
        self.lrs[index] = value;
    }

    fn empty(&self) -> u32 {
        *self.touched.borrow_mut() += 1;
        let free = |lr: &Lr| lr.state() == State::Invalid && !lr.eoi();
        self.lrs
            .iter()
            .enumerate()
            .filter(|(_, lr)| free(lr))
            .fold(0, |w, (n, _)| w | 1 << n)
    }

    fn set_maintenance(&mut self, wanted: Maintenance) {
        self.wanted = wanted;
    }

    fn take_eoi_count(&mut self) -> u32 {
        core::mem::take(&mut self.eoi_count)
    }

    fn deactivate(&mut self, physical: u32) {
        let was = self
            .physical
            .lock()
            .unwrap()
            .remove(&key(self.number, physical));
        assert!(was, "physical {physical} deactivated twice");
    }

    fn is_asserted(&self, physical: u32) -> bool {
        !self.fallen.contains(&physical)
    }

    fn signals_again(&self) -> bool {
        !self.forgetful
    }
}

impl Cpu {
    pub fn new(number: usize, lrs: usize, physical: Active) -> Self {
        Self {
            number,
            lrs: vec![Lr::EMPTY; lrs],
            wanted: Maintenance::default(),
            eoi_count: 0,
            physical,
            running: Vec::new(),
            touched: RefCell::new(0),
            fallen: BTreeSet::new(),
            forgetful: false,
        }
    }

    /// The maintenance conditions chosen.
    pub fn wanted(&self) -> Maintenance {
        self.wanted
    }

    /// Priority below which nothing is taken now; 256 when idle.
    pub fn running_priority(&self) -> u32 {
        self.running
            .last()
            .map_or(256, |(priority, ..)| u32::from(*priority))
    }

    /// `ICC_IAR`: the most urgent pending interrupt, if it may preempt.
    pub fn acknowledge(&mut self) -> Option<(u32, u8)> {
        let limit = self.running_priority();
        let pending = self
            .lrs
            .iter_mut()
            .filter(|lr| lr.state() == State::Pending);
        let best = pending.min_by_key(|lr| (lr.priority(), lr.intid()))?;
        if u32::from(best.priority()) >= limit {
            return None;
        }
        *best = Lr(best.0 & !(1 << 62) | 1 << 63);
        self.running
            .push((best.priority(), best.intid(), best.source()));
        Some((best.intid(), best.source()))
    }

    /// `ICC_EOIR` with EOImode 0, of the interrupt acknowledged last.
    pub fn end(&mut self) -> Option<u32> {
        let (_, intid, source) = self.running.pop()?;
        let found = |lr: &&mut Lr| lr.is_active() && lr.intid() == intid && lr.source() == source;
        let Some(lr) = self.lrs.iter_mut().find(found) else {
            self.eoi_count += 1;
            return Some(intid);
        };
        *lr = Lr(lr.0 & !(1 << 63));
        if let Some(physical) = lr.physical() {
            let was = self
                .physical
                .lock()
                .unwrap()
                .remove(&key(self.number, physical));
            assert!(was, "hardware deactivated {physical} twice");
        }
        Some(intid)
    }

    pub fn maintenance(&self) -> bool {
        let ended = self
            .lrs
            .iter()
            .any(|lr| lr.state() == State::Invalid && lr.eoi());
        let pending = self.lrs.iter().any(|lr| lr.is_pending());
        ended
            || self.wanted.no_pending && !pending
            || self.wanted.entry_not_present && self.eoi_count != 0
    }
}

/// A VM on its CPUs.
pub struct Machine {
    pub vgic: Vgic,
    pub cpus: Vec<Cpu>,
    pub physical: Active,
    /// Kicks sent and not yet noticed.
    pub kicks: u32,
}

impl Machine {
    /// A VM with `vcpus` vCPUs, 64 SPIs and `lrs` list registers per CPU; its
    /// distributor is on and all interrupts are at priority 0x80.
    pub fn new(version: Version, vcpus: usize, lrs: usize) -> Self {
        let vgic = Vgic::new(&Config {
            version,
            vcpus,
            spis: 64,
        })
        .unwrap();
        let physical = Active::default();
        let cpus = (0..vcpus)
            .map(|n| Cpu::new(n, lrs, physical.clone()))
            .collect();
        let mut machine = Self {
            vgic,
            cpus,
            physical,
            kicks: 0,
        };
        machine.write(0, DIST, 0, 4, 3);
        for intid in 0..96 {
            for vcpu in 0..if intid < 32 { vcpus } else { 1 } {
                machine.set_priority(vcpu, intid, 0x80);
            }
        }
        machine.settle();
        machine
    }

    /// Enters the guest on `cpu`, as often as its maintenance interrupt says.
    pub fn enter(&mut self, cpu: usize) {
        for _ in 0..40 {
            let kick = self.vgic.before_enter(cpu, &mut self.cpus[cpu]);
            self.kick(kick.without(cpu));
            self.check();
            if !self.cpus[cpu].maintenance() {
                return;
            }
            let _own = self.vgic.poke(cpu);
        }
        panic!(
            "maintenance interrupts do not end on CPU {cpu}: {:?}",
            self.cpus[cpu].lrs
        );
    }

    pub fn kick(&mut self, kick: Kick) {
        self.kicks |= kick.0;
    }

    /// Delivers one kick, if one is on its way to `cpu`.
    pub fn deliver(&mut self, cpu: usize) {
        if self.kicks >> cpu & 1 != 0 {
            self.kicks &= !(1 << cpu);
            self.enter(cpu);
        }
    }

    /// Delivers all kicks, and those that come of it.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            if self.kicks == 0 {
                return;
            }
            for cpu in 0..self.cpus.len() {
                self.deliver(cpu);
            }
        }
        panic!("kicks do not end");
    }

    /// What must hold of all list registers at any time.
    fn check(&self) {
        let mut virtuals = BTreeSet::new();
        let mut physicals = BTreeSet::new();
        for cpu in &self.cpus {
            for lr in cpu.lrs.iter().filter(|lr| lr.state() != State::Invalid) {
                assert!(virtuals.insert(key(cpu.number, lr.intid())), "{lr:?} twice");
                if let Some(physical) = lr.physical() {
                    let new = physicals.insert(key(cpu.number, physical));
                    assert!(new, "physical {physical} in two list registers");
                }
            }
        }
    }

    pub fn write(
        &mut self,
        cpu: usize,
        region: Region,
        offset: usize,
        size: usize,
        value: u64,
    ) -> HwChanges {
        let effects = self
            .vgic
            .write(cpu, region, offset, size, value, &mut self.cpus[cpu]);
        self.kick(effects.kick.without(cpu));
        self.enter(cpu);
        effects.hw
    }

    /// A read, repeated as long as it asks for that.
    pub fn read(&mut self, cpu: usize, region: Region, offset: usize, size: usize) -> u64 {
        for _ in 0..4 {
            let read = self
                .vgic
                .read(cpu, region, offset, size, &mut self.cpus[cpu]);
            if let Read::Retry(kick) = read {
                self.kick(kick.without(cpu));
            }
            self.enter(cpu);
            match read {
                Read::Value(value) => return value,
                Read::Retry(_) => self.settle(),
            }
        }
        panic!("a read does not end");
    }

    /// Where a field of `intid` stands for `cpu`: region, and offset of the
    /// register group's word for it.
    pub fn frame(&self, cpu: usize, intid: u32) -> (Region, usize) {
        let v3 = self.vgic.version == Version::V3;
        if v3 && intid < 32 {
            (REDIST, cpu << 17 | 0x1_0000)
        } else {
            (DIST, 0)
        }
    }

    /// Writes the bit of `intid` to the register group at `group`.
    pub fn write_bit(&mut self, cpu: usize, group: usize, intid: u32) -> HwChanges {
        let (region, base) = self.frame(cpu, intid);
        self.write(
            cpu,
            region,
            base + group + (intid as usize >> 5) * 4,
            4,
            1 << (intid & 31),
        )
    }

    pub fn read_bit(&mut self, cpu: usize, group: usize, intid: u32) -> bool {
        let (region, base) = self.frame(cpu, intid);
        self.read(cpu, region, base + group + (intid as usize >> 5) * 4, 4) >> (intid & 31) & 1 != 0
    }

    pub fn enable(&mut self, cpu: usize, intid: u32) {
        self.write_bit(cpu, 0x100, intid);
    }

    pub fn set_priority(&mut self, cpu: usize, intid: u32, priority: u8) {
        let (region, base) = self.frame(cpu, intid);
        self.write(
            cpu,
            region,
            base + 0x400 + intid as usize,
            1,
            priority.into(),
        );
    }

    pub fn route(&mut self, cpu: usize, intid: u32, target: usize) -> HwChanges {
        match self.vgic.version {
            Version::V2 => self.write(cpu, DIST, 0x800 + intid as usize, 1, 1 << target),
            Version::V3 => self.write(cpu, DIST, 0x6000 + intid as usize * 8, 8, target as u64),
        }
    }

    pub fn set_edge(&mut self, cpu: usize, intid: u32, edge: bool) {
        let (region, base) = self.frame(cpu, intid);
        let offset = base + 0xc00 + (intid as usize >> 4) * 4;
        let bit = 2 << ((intid & 15) * 2);
        let word = self.read(cpu, region, offset, 4);
        self.write(
            cpu,
            region,
            offset,
            4,
            if edge { word | bit } else { word & !bit },
        );
    }

    /// A physical interrupt is acknowledged on `cpu` and given to the VM.
    /// `false`: it is still active, hardware does not signal it again.
    pub fn fire(&mut self, cpu: usize, intid: u32, physical: u32) -> bool {
        if !self.physical.lock().unwrap().insert(key(cpu, physical)) {
            return false;
        }
        let kick = self.vgic.inject(cpu, intid, Some(physical));
        self.kick(kick.without(cpu));
        self.enter(cpu);
        true
    }

    pub fn is_physically_active(&self, cpu: usize, physical: u32) -> bool {
        self.physical.lock().unwrap().contains(&key(cpu, physical))
    }

    pub fn inject(&mut self, cpu: usize, intid: u32) {
        let kick = self.vgic.inject(cpu, intid, None);
        self.kick(kick);
    }

    pub fn set_level(&mut self, cpu: usize, intid: u32, high: bool) {
        let kick = self.vgic.set_level(cpu, intid, high);
        self.kick(kick);
    }

    /// The guest takes its most urgent interrupt.
    pub fn acknowledge(&mut self, cpu: usize) -> Option<u32> {
        self.acknowledge_from(cpu).map(|(intid, _)| intid)
    }

    pub fn acknowledge_from(&mut self, cpu: usize) -> Option<(u32, u8)> {
        let taken = self.cpus[cpu].acknowledge();
        self.after_guest(cpu);
        taken
    }

    /// The guest ends the interrupt it took last.
    pub fn end(&mut self, cpu: usize) -> Option<u32> {
        let ended = self.cpus[cpu].end();
        self.after_guest(cpu);
        ended
    }

    fn after_guest(&mut self, cpu: usize) {
        if self.cpus[cpu].maintenance() {
            let _own = self.vgic.poke(cpu);
            self.enter(cpu);
        }
    }
}
