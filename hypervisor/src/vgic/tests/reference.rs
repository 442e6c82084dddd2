//! Random lives against the specification.
//!
//! [`Spec`] is a GIC as the manual describes it, without list registers,
//! kicks or laziness. What a guest on the [`Machine`] is given must be what
//! the specification would have given it:
//! - with all kicks delivered at once, each acknowledge yields an interrupt
//!   that is pending, enabled, aimed at this CPU and the most urgent of those
//!   (so none is lost, none invented, none delivered while disabled);
//! - with kicks on their way arbitrarily long, all that was raised is taken in
//!   the end, and none is taken while it is active;
//! - physical interrupts are active exactly from their arrival to the guest's
//!   deactivation; [`Machine`] checks that no list register claims one twice.

use super::Machine;
use crate::vgic::{SgiKind, Version};
use proptest::prelude::*;

const CPUS: usize = 3;
/// The interrupts used: private ones of each CPU, then shared ones.
const SGI: u32 = 3;
const TIMER: u32 = 27;
const PPI: u32 = 29;
const PRIVATE: [u32; 3] = [SGI, TIMER, PPI];
/// Edge, edge, level, level, passthrough.
const SHARED: [u32; 5] = [33, 34, 64, 65, 70];
const PASSTHROUGH: u32 = 70;
const PHYSICAL: u32 = 90;
const ALL: [u32; 8] = [SGI, TIMER, PPI, 33, 34, 64, 65, PASSTHROUGH];

#[derive(Debug, Clone, Copy)]
enum Op {
    Acknowledge(usize),
    End(usize),
    Deliver(usize),
    Enable(usize, u32),
    Disable(usize, u32),
    SetPending(usize, u32),
    ClearPending(usize, u32),
    Line(usize, u32, bool),
    Message(u32),
    Sgi(usize, usize),
    Fire(usize, u32),
    Route(usize, u32, usize),
    ReadPending(usize, u32),
    ReadActive(usize, u32),
}

fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let cpu = 0..CPUS;
    let each = prop::sample::select(&ALL[..]);
    let shared = prop::sample::select(&SHARED[..]);
    let op = prop_oneof![
        6 => cpu.clone().prop_map(Op::Acknowledge),
        5 => cpu.clone().prop_map(Op::End),
        3 => cpu.clone().prop_map(Op::Deliver),
        3 => (cpu.clone(), each.clone()).prop_map(|(c, i)| Op::Enable(c, i)),
        1 => (cpu.clone(), each.clone()).prop_map(|(c, i)| Op::Disable(c, i)),
        1 => (cpu.clone(), each.clone()).prop_map(|(c, i)| Op::SetPending(c, i)),
        1 => (cpu.clone(), each.clone()).prop_map(|(c, i)| Op::ClearPending(c, i)),
        4 => (cpu.clone(), prop::sample::select(&[PPI, 64, 65][..]), any::<bool>())
            .prop_map(|(c, i, high)| Op::Line(c, i, high)),
        3 => prop::sample::select(&[33_u32, 34][..]).prop_map(Op::Message),
        3 => (cpu.clone(), cpu.clone()).prop_map(|(c, t)| Op::Sgi(c, t)),
        3 => (cpu.clone(), prop::sample::select(&[TIMER, PASSTHROUGH][..]))
            .prop_map(|(c, i)| Op::Fire(c, i)),
        2 => (cpu.clone(), shared, cpu.clone()).prop_map(|(c, i, t)| Op::Route(c, i, t)),
        1 => (cpu.clone(), each.clone()).prop_map(|(c, i)| Op::ReadPending(c, i)),
        1 => (cpu, each).prop_map(|(c, i)| Op::ReadActive(c, i)),
    ];
    prop::collection::vec(op, 1..len)
}

/// One interrupt by the book. SGIs of a GICv2 have a latch per sender.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    enabled: bool,
    latch: bool,
    senders: u8,
    high: bool,
    active: bool,
    target: usize,
    priority: u8,
}

impl Line {
    fn pending(&self) -> bool {
        self.latch || self.high || self.senders != 0
    }
}

struct Spec {
    private: [[Line; 3]; CPUS],
    shared: [Line; 5],
}

impl Spec {
    fn at(&mut self, cpu: usize, intid: u32) -> &mut Line {
        match PRIVATE.iter().position(|i| *i == intid) {
            Some(n) => &mut self.private[cpu][n],
            None => &mut self.shared[SHARED.iter().position(|i| *i == intid).unwrap()],
        }
    }

    /// Priority of what `cpu` would be given if it acknowledged now.
    fn best(&mut self, cpu: usize, limit: u32) -> Option<u8> {
        let ready = |line: &Line| line.enabled && line.pending() && !line.active;
        let mut best = None;
        for intid in ALL {
            let line = self.at(cpu, intid);
            let here = intid < 32 || line.target == cpu;
            if here && ready(line) && u32::from(line.priority) < limit {
                best = Some(best.unwrap_or(u8::MAX).min(line.priority));
            }
        }
        best
    }
}

struct Run {
    machine: Machine,
    spec: Spec,
    /// Deliver kicks at once.
    prompt: bool,
    /// Compare each step.
    exact: bool,
}

impl Run {
    fn new(version: Version, lrs: usize, priorities: &[u8], prompt: bool) -> Self {
        let mut machine = Machine::new(version, CPUS, lrs);
        let mut spec = Spec {
            private: Default::default(),
            shared: Default::default(),
        };
        machine.vgic.assign_hw_spi(PASSTHROUGH, PHYSICAL).unwrap();
        for (intid, priority) in ALL.into_iter().zip(priorities) {
            for cpu in 0..CPUS {
                machine.set_priority(cpu, intid, *priority);
                let line = spec.at(cpu, intid);
                line.priority = *priority & 0xf8;
                line.enabled = version == Version::V2 && intid == SGI;
            }
        }
        machine.set_edge(0, 33, true);
        machine.set_edge(0, 34, true);
        machine.settle();
        Self {
            machine,
            spec,
            prompt,
            exact: prompt,
        }
    }

    fn step(&mut self, op: Op) {
        let m = &mut self.machine;
        let v2 = m.vgic.version == Version::V2;
        match op {
            Op::Acknowledge(cpu) => self.acknowledge(cpu),
            Op::End(cpu) => {
                if let Some(intid) = m.end(cpu) {
                    self.spec.at(cpu, intid).active = false;
                }
            }
            Op::Deliver(cpu) => m.deliver(cpu),
            Op::Enable(cpu, intid) => {
                m.enable(cpu, intid);
                self.spec.at(cpu, intid).enabled = true;
            }
            Op::Disable(cpu, intid) => {
                m.write_bit(cpu, 0x180, intid);
                self.spec.at(cpu, intid).enabled = v2 && intid == SGI;
            }
            Op::SetPending(cpu, intid) => {
                m.write_bit(cpu, 0x200, intid);
                self.spec.at(cpu, intid).latch |= !(v2 && intid == SGI);
            }
            Op::ClearPending(cpu, intid) => {
                m.write_bit(cpu, 0x280, intid);
                self.spec.at(cpu, intid).latch &= v2 && intid == SGI;
            }
            Op::Line(cpu, intid, high) => {
                m.set_level(cpu, intid, high);
                self.spec.at(cpu, intid).high = high;
            }
            Op::Message(intid) => {
                m.inject(0, intid);
                self.spec.at(0, intid).latch = true;
            }
            Op::Sgi(cpu, target) => self.sgi(cpu, target),
            Op::Fire(cpu, intid) => {
                let physical = if intid == TIMER { TIMER } else { PHYSICAL };
                if m.fire(cpu, intid, physical) {
                    self.spec.at(cpu, intid).latch = true;
                }
            }
            Op::Route(cpu, intid, target) => {
                m.route(cpu, intid, target);
                self.spec.at(cpu, intid).target = target;
            }
            Op::ReadPending(cpu, intid) if self.exact => {
                let shown = m.read_bit(cpu, 0x200, intid);
                assert_eq!(shown, self.spec.at(cpu, intid).pending(), "{op:?}");
            }
            Op::ReadActive(cpu, intid) if self.exact => {
                let shown = m.read_bit(cpu, 0x300, intid);
                assert_eq!(shown, self.spec.at(cpu, intid).active, "{op:?}");
            }
            Op::ReadPending(..) | Op::ReadActive(..) => {}
        }
        if self.prompt {
            self.machine.settle();
        }
    }

    fn sgi(&mut self, cpu: usize, target: usize) {
        let m = &mut self.machine;
        if m.vgic.version == Version::V2 {
            m.write(
                cpu,
                super::machine::DIST,
                0xf00,
                4,
                1 << (16 + target) | u64::from(SGI),
            );
            self.spec.at(target, SGI).senders |= 1 << cpu;
        } else {
            let kick = m
                .vgic
                .sgi(cpu, SgiKind::Group1, u64::from(SGI) << 24 | 1 << target);
            m.kick(kick);
            self.spec.at(target, SGI).latch = true;
        }
    }

    fn acknowledge(&mut self, cpu: usize) {
        let limit = self.machine.cpus[cpu].running_priority();
        let expected = self.spec.best(cpu, limit);
        let taken = self.machine.acknowledge_from(cpu);
        if self.exact {
            let priority = taken.map(|(intid, _)| self.spec.at(cpu, intid).priority);
            assert_eq!(priority, expected, "took {taken:?}");
        }
        let Some((intid, source)) = taken else { return };
        let exact = self.exact;
        let line = self.spec.at(cpu, intid);
        if exact {
            assert!(
                line.enabled && line.pending() && !line.active,
                "{intid}: {line:?}"
            );
            assert!(
                intid < 32 || line.target == cpu,
                "{intid} is for {}",
                line.target
            );
        }
        // With a late kick a CPU may take what has just been withdrawn, or
        // take twice what was signalled twice before it took the first. It may
        // never take one that is active.
        assert!(!line.active, "{intid} taken while active");
        line.latch = false;
        line.senders &= !(1 << source);
        line.active = true;
    }

    /// Enables everything, lowers the lines and lets all CPUs take and end
    /// what there is; nothing may be left then.
    fn finish(mut self) {
        for cpu in 0..CPUS {
            while self.machine.cpus[cpu].running_priority() < 256 {
                self.step(Op::End(cpu));
            }
            for intid in ALL {
                self.step(Op::Enable(cpu, intid));
            }
        }
        self.machine.settle();
        self.prompt = true;
        for cpu in (0..CPUS).cycle().take(CPUS * 40) {
            self.step(Op::Acknowledge(cpu));
            self.step(Op::End(cpu));
            if cpu == 0 {
                for (cpu, intid) in [(0, PPI), (1, PPI), (2, PPI), (0, 64), (0, 65)] {
                    self.step(Op::Line(cpu, intid, false));
                }
            }
        }
        for cpu in 0..CPUS {
            assert_eq!(
                self.spec.best(cpu, 256),
                None,
                "lost on {cpu}: {:?}",
                self.spec.private
            );
            assert!(
                !self.machine.is_physically_active(cpu, TIMER),
                "timer of {cpu} stuck"
            );
        }
        assert!(
            !self.machine.is_physically_active(0, PHYSICAL),
            "passthrough interrupt stuck"
        );
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&[Version::V2, Version::V3][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::cases(150)))]

    #[test]
    fn a_guest_is_given_what_the_specification_says(
        version in version(),
        lrs in 1..5_usize,
        priorities in prop::collection::vec(any::<u8>().prop_map(|p| p & 0xf0), 8),
        ops in ops(120),
    ) {
        let mut run = Run::new(version, lrs, &priorities, true);
        ops.into_iter().for_each(|op| run.step(op));
        run.finish();
    }

    #[test]
    fn late_kicks_lose_nothing(
        version in version(),
        lrs in 1..5_usize,
        priorities in prop::collection::vec(any::<u8>().prop_map(|p| p & 0xf0), 8),
        ops in ops(120),
    ) {
        let mut run = Run::new(version, lrs, &priorities, false);
        ops.into_iter().for_each(|op| run.step(op));
        run.finish();
    }
}
