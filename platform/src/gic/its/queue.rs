//! The command queue. Every batch is waited for, so the queue is empty between
//! batches and at most one caller is in it.

use super::command::{BYTES, Command};
use super::spec::{
    CBASER, CREADR, CWRITER, INNER_CACHE_SHIFT, SHAREABILITY, SHAREABILITY_SHIFT, STALLED, VALID,
};
use super::{Error, POLLS};
use crate::gic::memory::{Caching, TableMemory};
use crate::mmio::Mmio;

/// Bytes of the queue: sixteen pages of 4 KiB.
const SIZE: u64 = 0x1_0000;
/// Commands in one batch: a full queue would look empty.
const BATCH: usize = (SIZE / BYTES) as usize - 1;

/// The queue of one ITS.
#[derive(Debug)]
pub(super) struct Queue {
    base: u64,
    /// Offset of the next command.
    next: u64,
    /// It did not do as told: nothing is asked of it any more, so that nobody
    /// waits twice.
    broken: Option<Error>,
}

impl Queue {
    /// Gives the ITS, which is disabled, a queue.
    pub fn new<M: Mmio>(
        regs: &M,
        memory: &impl TableMemory,
        caching: Caching,
    ) -> Result<Self, Error> {
        let base = memory.take(SIZE, SIZE).ok_or(Error::Memory)?;
        let value = |caching: Caching| {
            VALID
                | caching.inner() << INNER_CACHE_SHIFT
                | base
                | caching.shareability() << SHAREABILITY_SHIFT
                | (SIZE / 4096 - 1)
        };
        regs.write64(CBASER, value(caching));
        if caching == Caching::Coherent && regs.read64(CBASER) & SHAREABILITY == 0 {
            regs.write64(CBASER, value(Caching::Uncached));
        }
        regs.write64(CWRITER, 0);
        Ok(Self {
            base,
            next: 0,
            broken: None,
        })
    }

    /// Has the ITS do `commands`, in order, and returns when it has read them
    /// all. The caller ends with [`Command::Sync`] if their effects matter.
    pub fn run<M: Mmio>(
        &mut self,
        regs: &M,
        memory: &impl TableMemory,
        commands: &[Command],
    ) -> Result<(), Error> {
        for batch in commands.chunks(BATCH) {
            if let Some(error) = self.broken {
                return Err(error);
            }
            let done = self.batch(regs, memory, batch);
            self.broken = done.err();
            done?;
        }
        Ok(())
    }

    fn batch<M: Mmio>(
        &mut self,
        regs: &M,
        memory: &impl TableMemory,
        batch: &[Command],
    ) -> Result<(), Error> {
        for command in batch {
            let at = self.base + self.next;
            for (offset, word) in (0..).step_by(8).zip(command.encode()) {
                memory.write64(at + offset, word);
            }
            memory.publish(at, BYTES);
            self.next = (self.next + BYTES) % SIZE;
        }
        regs.write64(CWRITER, self.next);
        self.wait(regs)
    }

    /// Waits until the ITS has read everything.
    fn wait<M: Mmio>(&self, regs: &M) -> Result<(), Error> {
        for _ in 0..POLLS {
            let read = regs.read64(CREADR);
            if read & STALLED != 0 {
                return Err(Error::Stalled(read & (SIZE - BYTES)));
            }
            if read == self.next {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(Error::Timeout(CREADR))
    }
}
