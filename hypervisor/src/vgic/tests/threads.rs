//! CPUs that really run at the same time: each signal is taken in the end.
//!
//! A producer makes an interrupt pending and waits until some CPU has taken
//! it; meanwhile CPUs take and end interrupts, reroute, disable and enable
//! them, and send each other SGIs. A signal that gets lost leaves its producer
//! waiting for ever.

use super::machine::{Active, Cpu};
use crate::vgic::{Config, Kick, Region, SgiKind, Version, Vgic};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const CPUS: usize = 3;
/// SPIs used: one for each producer.
const SPIS: [u32; 2] = [33, 34];
const SGI: u32 = 1;
/// A signal not taken after this long is lost.
const LOST: Duration = Duration::from_secs(60);

struct Vm {
    vgic: Vgic,
    kicked: [AtomicBool; CPUS],
    taken: [AtomicU32; 64],
    stop: AtomicBool,
}

impl Vm {
    fn new() -> Self {
        let config = Config {
            version: Version::V3,
            vcpus: CPUS,
            spis: 32,
        };
        let vm = Self {
            vgic: Vgic::new(&config).unwrap(),
            kicked: Default::default(),
            taken: [const { AtomicU32::new(0) }; 64],
            stop: AtomicBool::new(false),
        };
        let mut cpu = Cpu::new(0, 2, Active::default());
        let mut write = |region, offset, value| {
            let _ = vm.vgic.write(0, region, offset, 4, value, &mut cpu);
        };
        write(Region::Distributor, 0, 3);
        write(Region::Distributor, 0x104, 0b110);
        write(Region::Distributor, 0xc08, 0xaaaa_aaaa);
        for cpu in 0..CPUS {
            write(Region::Redistributors, cpu << 17 | 0x1_0100, 1 << SGI);
        }
        vm
    }

    fn kick(&self, kick: Kick) {
        kick.iter()
            .for_each(|cpu| self.kicked[cpu].store(true, SeqCst));
    }

    /// One CPU's life: enter when kicked, take and end what there is, and now
    /// and then write a register.
    fn run(&self, number: usize, active: Active) {
        let mut cpu = Cpu::new(number, 2, active);
        let mut round = number;
        while !self.stop.load(SeqCst) {
            let maintenance = cpu.maintenance();
            if maintenance {
                let _own = self.vgic.poke(number);
            }
            if self.kicked[number].swap(false, SeqCst) || maintenance {
                self.kick(self.vgic.before_enter(number, &mut cpu).without(number));
            }
            if let Some((intid, _)) = cpu.acknowledge() {
                self.taken[intid as usize].fetch_add(1, SeqCst);
                cpu.end();
            }
            round += 1;
            let spi = SPIS[round / 7 % SPIS.len()] as usize;
            let (offset, value) = match round % 40 {
                0 => (0x6000 + spi * 8, round as u64 / 40 % CPUS as u64),
                11 => (0x184, 1 << (spi & 31)),
                13 => (0x104, 0b110),
                _ => {
                    thread::yield_now();
                    continue;
                }
            };
            let effects = self
                .vgic
                .write(number, Region::Distributor, offset, 4, value, &mut cpu);
            self.kick(effects.kick);
            self.kick(self.vgic.before_enter(number, &mut cpu).without(number));
        }
    }

    /// Signals `times` times and waits for each to be taken.
    fn produce(&self, intid: u32, times: u32, signal: impl Fn(u32) -> Kick) {
        let taken = &self.taken[intid as usize];
        for n in 0..times {
            let before = taken.load(SeqCst);
            self.kick(signal(n));
            let start = Instant::now();
            while taken.load(SeqCst) == before {
                assert!(
                    start.elapsed() < LOST,
                    "signal {n} of {intid} is lost: {:?}",
                    self.vgic
                );
                thread::yield_now();
            }
        }
    }
}

#[test]
fn no_signal_is_lost_between_cpus() {
    let times = if cfg!(miri) { 20 } else { 2000 };
    let vm = Vm::new();
    let active = Active::default();
    thread::scope(|scope| {
        for number in 0..CPUS {
            let (vm, active) = (&vm, active.clone());
            scope.spawn(move || vm.run(number, active));
        }
        let producers: Vec<_> = SPIS
            .into_iter()
            .map(|spi| {
                let vm = &vm;
                scope.spawn(move || vm.produce(spi, times, |_| vm.vgic.inject(0, spi, None)))
            })
            .collect();
        let sgis = scope.spawn(|| {
            vm.produce(SGI, times, |n| {
                let targets = 1 << (n as usize % CPUS);
                vm.vgic
                    .sgi(0, SgiKind::Group1, u64::from(SGI) << 24 | targets)
            });
        });
        let results = producers
            .into_iter()
            .chain([sgis])
            .map(|p| p.join())
            .collect::<Vec<_>>();
        vm.stop.store(true, SeqCst);
        assert!(results.iter().all(Result::is_ok), "a producer gave up");
    });
}
