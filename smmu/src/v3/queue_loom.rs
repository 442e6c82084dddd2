//! The command queue under the model checker: producers that share a queue
//! too small for them, and a restart in the middle.

use super::queue::{CommandQueue, Env};
use super::spec::{command::Command, command::opcode, regs};
use crate::error::Error;
use crate::mutation::{Mutation, Step};
use crate::outside::{DmaMemory, Registers, Time};
use crate::power::Powered;
use crate::types::Vmid;
use loom::sync::Mutex;
use loom::thread;
use pgtable::Pa;
use std::sync::Arc;

const LOG2: u8 = 1;

/// Consumes one command whenever somebody looks.
#[derive(Default)]
struct State {
    slots: [u64; 4],
    prod: u64,
    cons: u64,
    syncs: u64,
}

struct Hardware(Mutex<State>);

impl Registers for Hardware {
    fn read32(&self, offset: usize) -> u32 {
        let mut state = self.0.lock().unwrap();
        if offset != regs::CMDQ_CONS {
            return 0;
        }
        if state.cons != state.prod {
            let slot = (state.cons % 2 * 2) as usize;
            if state.slots[slot] as u8 == opcode::SYNC {
                state.syncs += 1;
            }
            state.cons = (state.cons + 1) % 4;
        }
        state.cons as u32
    }
    fn write32(&self, offset: usize, value: u32) {
        let mut state = self.0.lock().unwrap();
        match offset {
            regs::CMDQ_PROD => state.prod = value.into(),
            regs::CMDQ_CONS => state.cons = value.into(),
            _ => {}
        }
    }
    fn read64(&self, _: usize) -> u64 {
        0
    }
    fn write64(&self, _: usize, _: u64) {}
}

impl DmaMemory for Hardware {
    fn alloc(&self, _: usize, _: usize) -> Option<Pa> {
        Some(Pa(0))
    }
    fn free(&self, _: Pa, _: usize) {}
    fn load(&self, _: Pa) -> u64 {
        0
    }
    fn store(&self, at: Pa, value: u64) {
        self.0.lock().unwrap().slots[(at.0 / 8) as usize] = value;
    }
    fn clean(&self, _: Pa, _: usize) {}
    fn discard(&self, _: Pa, _: usize) {}
    fn barrier(&self) {}
}

struct Still;

impl Time for Still {
    fn now_ns(&self) -> u64 {
        0
    }
    fn relax(&self) {
        thread::yield_now();
    }
}

struct World {
    queue: CommandQueue,
    hardware: Hardware,
    mutation: Mutation,
}

impl World {
    fn new(step: Option<Step>) -> Arc<Self> {
        let hardware = Hardware(Mutex::new(State::default()));
        Arc::new(World {
            queue: CommandQueue::new(&hardware, LOG2).unwrap(),
            hardware,
            mutation: Mutation::of(step),
        })
    }

    fn env(&self) -> Env<'_, Hardware> {
        Env {
            regs: &self.hardware,
            mem: &self.hardware,
            time: &Still,
            coherent: true,
            bound_ns: 1,
            mutation: self.mutation,
        }
    }

    fn invalidate(&self) -> Result<(), Error> {
        let power = Powered::attest();
        let mut commands = core::iter::once(Command::TlbiS12Vmall(Vmid(1)).encode());
        let ticket = self
            .queue
            .submit(&power, &self.env(), &mut commands, usize::MAX)?;
        self.queue.wait(&power, &self.env(), ticket)
    }

    fn syncs(&self) -> u64 {
        self.hardware.0.lock().unwrap().syncs
    }
}

fn explore(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(f);
}

/// Two producers: each returns only when its own sync was consumed.
#[test]
fn producers_share_a_small_queue() {
    explore(|| {
        let world = World::new(None);
        let other = world.clone();
        let second = thread::spawn(move || other.invalidate().unwrap());
        world.invalidate().unwrap();
        assert!(world.syncs() >= 1);
        second.join().unwrap();
        assert_eq!(world.syncs(), 2);
        assert_eq!(world.queue.counts(), (4, 2));
    });
}

/// A restart loses what was not consumed, and its waiter is told.
fn restart_tells(step: Option<Step>) {
    explore(move || {
        let world = World::new(step);
        let other = world.clone();
        let restart = thread::spawn(move || {
            let power = Powered::attest();
            other.queue.restart(&power, &other.env(), Error::Denied);
        });
        match world.invalidate() {
            Ok(()) => assert_eq!(world.syncs(), 1, "complete without its sync"),
            Err(error) => assert_eq!(error, Error::Denied),
        }
        restart.join().unwrap();
    });
}

#[test]
fn a_restart_tells_its_waiters() {
    restart_tells(None);
    let found = std::panic::catch_unwind(|| restart_tells(Some(Step::FailLost)));
    assert!(found.is_err(), "nobody noticed a lost sync");
}
