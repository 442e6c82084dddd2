//! The event queue (IHI 0070, 3.5, 7.2).

use super::queue::Env;
use super::spec::{event, regs};
use crate::error::Error;
use crate::fault::FaultRecord;
use crate::mutation::Step;
use crate::outside::{DmaMemory, Registers};
use crate::power::Powered;
use crate::sync::Lock;
use pgtable::Pa;

pub(super) struct EventQueue {
    base: Pa,
    log2: u8,
    /// Held over a drain: one CPU consumes at a time.
    consumer: Lock<()>,
}

impl EventQueue {
    pub fn new(mem: &dyn DmaMemory, log2: u8) -> Result<Self, Error> {
        let bytes = (event::BYTES as usize).wrapping_shl(log2.into());
        let base = mem.alloc(bytes, bytes).ok_or(Error::NoMemory(bytes))?;
        Ok(Self {
            base,
            log2,
            consumer: Lock::new(()),
        })
    }

    /// Writes the queue's registers, for `CR0.EVENTQEN` = 0. Unread records
    /// are lost; the caller drained before.
    pub fn restart<R: Registers>(&self, _: &Powered, env: &Env<'_, R>) {
        let _draining = self.consumer.lock();
        let base = self.base.0 | u64::from(self.log2) | regs::BASE_ALLOCATE;
        env.regs.write64(regs::EVENTQ_BASE, base);
        env.regs.write32(regs::EVENTQ_PROD, 0);
        env.regs.write32(regs::EVENTQ_CONS, 0);
    }

    /// Hands every waiting record to `sink`, at most two queues full, so that
    /// a storm cannot keep the caller here. Returns 1 if records were lost to
    /// an overflow since the last drain: the SMMU does not count them.
    pub fn drain<R: Registers>(
        &self,
        _: &Powered,
        env: &Env<'_, R>,
        sink: &mut dyn FnMut(FaultRecord),
    ) -> u32 {
        let _draining = self.consumer.lock();
        let entries = 1u32.wrapping_shl(self.log2.into());
        let lap_mask = entries.wrapping_mul(2).wrapping_sub(1);
        let mut consumed = env.regs.read32(regs::EVENTQ_CONS);
        let mut overflowed = false;
        let mut budget = entries.wrapping_mul(2);
        loop {
            let produced = env.regs.read32(regs::EVENTQ_PROD);
            let waiting = produced.wrapping_sub(consumed) & lap_mask;
            let overflow = (produced ^ consumed) & regs::EVENTQ_OVERFLOW != 0;
            if overflow && !env.mutation.skips(Step::AcknowledgeOverflow) {
                overflowed = true;
                consumed ^= regs::EVENTQ_OVERFLOW;
            }
            // More than the queue holds is nonsense from a broken part.
            let take = if waiting > entries {
                0
            } else {
                waiting.min(budget)
            };
            for _ in 0..take {
                sink(event::decode(self.read(env, consumed & lap_mask)));
                let flag = consumed & regs::EVENTQ_OVERFLOW;
                consumed = consumed.wrapping_add(1) & lap_mask | flag;
            }
            budget = budget.saturating_sub(take);
            if take != 0 || overflow {
                env.mem.barrier();
                env.regs.write32(regs::EVENTQ_CONS, consumed);
            }
            if take == 0 || budget == 0 {
                return overflowed.into();
            }
        }
    }

    fn read<R: Registers>(&self, env: &Env<'_, R>, index: u32) -> [u64; 4] {
        let entries = 1u32.wrapping_shl(self.log2.into());
        let slot = u64::from(index & entries.wrapping_sub(1));
        let at = self.base.0.wrapping_add(slot.wrapping_mul(event::BYTES));
        if !env.coherent && !env.mutation.skips(Step::DiscardEvent) {
            env.mem.discard(Pa(at), event::BYTES as usize);
        }
        [0u64, 8, 16, 24].map(|word| env.mem.load(Pa(at.wrapping_add(word))))
    }
}
