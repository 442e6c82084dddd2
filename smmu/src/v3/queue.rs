//! The command queue: several CPUs produce, each waits for its own sync.
//!
//! Positions are 64-bit counts of commands since boot, so that a CPU which
//! was away while the queue wrapped many times still knows whether its sync
//! was consumed. The lock is held to write entries and move PROD, or to read
//! CONS once; never over a wait. That makes waits of several CPUs, and of
//! several SMMUs, run in parallel.

use super::spec::command::{self, SYNC, Words};
use super::spec::regs;
use crate::error::{Error, Wait};
use crate::mutation::{Mutation, Step};
use crate::outside::{DmaMemory, Registers, Time};
use crate::poll;
use crate::power::Powered;
use crate::sync::{AtomicU64, Lock, Ordering};
use pgtable::Pa;

/// What a queue needs of its surroundings for one call.
pub(super) struct Env<'e, R> {
    pub regs: &'e R,
    pub mem: &'e dyn DmaMemory,
    pub time: &'e dyn Time,
    pub coherent: bool,
    pub bound_ns: u64,
    pub mutation: Mutation,
}

/// Counts since boot; see the module's text.
struct Position {
    produced: u64,
    consumed: u64,
    /// Tickets in `lost.0 + 1 ..= lost.1` were thrown away by an error or a
    /// restart and must not be taken for complete.
    lost: (u64, u64),
    /// Why, for those who wait for them.
    reason: Error,
}

pub(super) struct CommandQueue {
    base: Pa,
    log2: u8,
    position: Lock<Position>,
    issued: AtomicU64,
    syncs: AtomicU64,
}

impl CommandQueue {
    pub fn new(mem: &dyn DmaMemory, log2: u8) -> Result<Self, Error> {
        let bytes = (command::BYTES as usize).wrapping_shl(log2.into());
        // The base must be aligned to the queue's size (6.3.25).
        let base = mem.alloc(bytes, bytes).ok_or(Error::NoMemory(bytes))?;
        Ok(Self {
            base,
            log2,
            position: Lock::new(Position {
                produced: 0,
                consumed: 0,
                lost: (0, 0),
                reason: Error::Denied,
            }),
            issued: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        })
    }

    /// Commands and syncs issued so far.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.issued.load(Ordering::Relaxed),
            self.syncs.load(Ordering::Relaxed),
        )
    }

    /// Puts the commands and, at the end, a sync into the queue. The ticket
    /// is for that sync. Waits (bounded) while the queue is full. Other CPUs'
    /// commands may come in between; order within the call is kept.
    pub fn submit<R: Registers>(
        &self,
        power: &Powered,
        env: &Env<'_, R>,
        commands: &mut dyn Iterator<Item = Words>,
        batch_limit: usize,
    ) -> Result<u64, Error> {
        let mut batch = Batch::new(commands, batch_limit);
        let mut next = batch.next();
        let mut ticket = 0;
        let mut start = None;
        poll::until(env.time, env.bound_ns, Wait::QueueSpace, || {
            let mut position = self.position.lock();
            self.refresh(power, env, &mut position)?;
            let before = position.produced;
            if position.lost.1 > *start.get_or_insert(before) {
                return Err(position.reason);
            }
            while let Some(command) = next {
                if self.room(&position) == 0 {
                    break;
                }
                self.write(env, position.produced, command);
                position.produced = position.produced.wrapping_add(1);
                if command == SYNC {
                    self.syncs.fetch_add(1, Ordering::Relaxed);
                    ticket = position.produced;
                }
                next = batch.next();
            }
            if position.produced != before {
                let count = position.produced.wrapping_sub(before);
                self.issued.fetch_add(count, Ordering::Relaxed);
                env.mem.barrier();
                env.regs
                    .write32(regs::CMDQ_PROD, self.index(position.produced));
            }
            Ok(next.is_none())
        })?;
        Ok(ticket)
    }

    /// Waits, bounded, until the sync of `ticket` was consumed: everything
    /// before it has completed (4.7.3). An empty queue would not say that.
    pub fn wait<R: Registers>(
        &self,
        power: &Powered,
        env: &Env<'_, R>,
        ticket: u64,
    ) -> Result<(), Error> {
        poll::until(env.time, env.bound_ns, Wait::Sync, || {
            let mut position = self.position.lock();
            self.refresh(power, env, &mut position)?;
            let lost = ticket > position.lost.0 && ticket <= position.lost.1;
            if lost && !env.mutation.skips(Step::FailLost) {
                return Err(position.reason);
            }
            Ok(position.consumed >= ticket)
        })
    }

    /// Empties the queue and writes its registers, for `CR0.CMDQEN` = 0.
    /// What was not consumed is lost, and its waiters get `reason`.
    pub fn restart<R: Registers>(&self, _: &Powered, env: &Env<'_, R>, reason: Error) {
        let mut position = self.position.lock();
        position.lose(reason);
        // The next position whose index and wrap bits are zero.
        let lap = self.entries().wrapping_mul(2);
        let start = position.produced.next_multiple_of(lap.max(1));
        position.produced = start;
        position.consumed = start;
        let base = self.base.0 | u64::from(self.log2) | regs::BASE_ALLOCATE;
        env.regs.write64(regs::CMDQ_BASE, base);
        env.regs.write32(regs::CMDQ_PROD, 0);
        env.regs.write32(regs::CMDQ_CONS, 0);
    }

    /// Repairs a queue that stopped on an error (7.1): an illegal command is
    /// overwritten with a sync, and the error acknowledged. Everything then
    /// in the queue counts as lost: one of them had no effect.
    pub fn repair<R: Registers>(&self, _: &Powered, env: &Env<'_, R>) -> Option<Error> {
        let mut position = self.position.lock();
        self.repair_locked(env, &mut position)
    }

    fn repair_locked<R: Registers>(
        &self,
        env: &Env<'_, R>,
        position: &mut Position,
    ) -> Option<Error> {
        let active = env.regs.read32(regs::GERROR) ^ env.regs.read32(regs::GERRORN);
        if active & regs::gerror::CMDQ == 0 {
            return None;
        }
        let cons = env.regs.read32(regs::CMDQ_CONS);
        let reason = Error::Command(regs::cmdq_cons::err(cons));
        self.advance(position, cons);
        position.lose(reason);
        if regs::cmdq_cons::err(cons) != regs::cmdq_cons::CERROR_ABT {
            self.write(env, position.consumed, SYNC);
            env.mem.barrier();
        }
        let acknowledged = env.regs.read32(regs::GERRORN) ^ regs::gerror::CMDQ;
        env.regs.write32(regs::GERRORN, acknowledged);
        Some(reason)
    }

    fn refresh<R: Registers>(
        &self,
        _: &Powered,
        env: &Env<'_, R>,
        position: &mut Position,
    ) -> Result<(), Error> {
        let cons = env.regs.read32(regs::CMDQ_CONS);
        if regs::cmdq_cons::err(cons) != 0 {
            self.repair_locked(env, position);
        }
        self.advance(position, cons);
        Ok(())
    }

    /// Moves `consumed` to what the register says. A value that the SMMU
    /// cannot have reached is ignored, so that nonsense read from a broken
    /// part ends as a timeout and not as a completion.
    fn advance(&self, position: &mut Position, cons: u32) {
        let lap_mask = self.entries().wrapping_mul(2).wrapping_sub(1);
        let moved = u64::from(cons).wrapping_sub(position.consumed) & lap_mask;
        if moved <= position.produced.wrapping_sub(position.consumed) {
            position.consumed = position.consumed.wrapping_add(moved);
        }
    }

    fn write<R: Registers>(&self, env: &Env<'_, R>, at: u64, [low, high]: Words) {
        let slot = at & self.entries().wrapping_sub(1);
        let address = Pa(self.base.0.wrapping_add(slot.wrapping_mul(command::BYTES)));
        env.mem.store(address, low);
        env.mem.store(Pa(address.0.wrapping_add(8)), high);
        if !env.coherent && !env.mutation.skips(Step::CleanCommand) {
            env.mem.clean(address, command::BYTES as usize);
        }
    }

    fn entries(&self) -> u64 {
        1u64.wrapping_shl(self.log2.into())
    }

    fn room(&self, position: &Position) -> u64 {
        let used = position.produced.wrapping_sub(position.consumed);
        self.entries().saturating_sub(used)
    }

    /// The register's view of a position: index and wrap bit.
    fn index(&self, at: u64) -> u32 {
        (at & self.entries().wrapping_mul(2).wrapping_sub(1)) as u32
    }
}

impl Position {
    fn lose(&mut self, reason: Error) {
        if self.produced == self.consumed {
            return;
        }
        // A merged range may fail a ticket that did complete, never the
        // other way round.
        let from = if self.lost.1 == 0 {
            self.consumed
        } else {
            self.lost.0
        };
        self.lost = (from, self.produced);
        self.reason = reason;
    }
}

/// The caller's commands, with syncs where an erratum wants them and one at
/// the end.
struct Batch<'c> {
    commands: &'c mut dyn Iterator<Item = Words>,
    limit: usize,
    since_sync: usize,
    ahead: Option<Words>,
    ended: bool,
}

impl<'c> Batch<'c> {
    fn new(commands: &'c mut dyn Iterator<Item = Words>, limit: usize) -> Self {
        let ahead = commands.next();
        Self {
            commands,
            limit,
            since_sync: 0,
            ahead,
            ended: false,
        }
    }

    fn next(&mut self) -> Option<Words> {
        if self.ended {
            return None;
        }
        if self.ahead.is_none() {
            self.ended = true;
            return Some(SYNC);
        }
        if self.since_sync >= self.limit {
            self.since_sync = 0;
            return Some(SYNC);
        }
        self.since_sync = self.since_sync.saturating_add(1);
        core::mem::replace(&mut self.ahead, self.commands.next())
    }
}
