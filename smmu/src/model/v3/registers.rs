//! The register window.

use super::{Inner, ModelV3};
use crate::model::device::Violation;
use crate::outside::Registers;
use crate::v3::spec::regs::{self, cr0, gbpa, irq_ctrl};

/// QEMU's `virt` reads 0x0d44101b; without the two-level and coherent bits.
const IDR0: u32 = 0x0544_100b;

impl Registers for ModelV3 {
    fn read32(&self, offset: usize) -> u32 {
        self.with(|m| m.read(offset))
    }
    fn write32(&self, offset: usize, value: u32) {
        self.with(|m| m.write(offset, value.into()));
    }
    fn read64(&self, offset: usize) -> u64 {
        self.with(|m| m.read(offset).into())
    }
    fn write64(&self, offset: usize, value: u64) {
        self.with(|m| m.write(offset, value));
    }
}

impl Inner {
    fn touch(&mut self, offset: usize) -> bool {
        self.accesses += 1;
        if !self.reachable() {
            self.violate(Violation::Unclocked(offset));
        }
        self.reachable() && !self.dead
    }

    fn read(&mut self, offset: usize) -> u32 {
        if !self.touch(offset) {
            return 0;
        }
        self.prefetch();
        let nature = self.nature;
        match offset {
            regs::IDR0 => {
                IDR0 | u32::from(nature.coherent) << 4
                    | u32::from(nature.messages) << 13
                    | u32::from(nature.two_level) << 27
            }
            // 16 StreamID bits, queues of up to 2^8 commands, 2^5 events.
            regs::IDR1 => 8 << 21 | 5 << 16 | 16,
            regs::IDR3 => u32::from(nature.ranges) << 10,
            regs::IDR5 => nature.granule_bits() << 4 | nature.size_code(),
            regs::IIDR => nature.iidr,
            regs::AIDR => 1,
            regs::CR0 => self.state.cr0,
            regs::CR0ACK => {
                // In force one look later.
                std::mem::replace(&mut self.state.cr0ack, self.state.cr0)
            }
            regs::GBPA => {
                let now = self.state.gbpa;
                self.state.gbpa &= !gbpa::UPDATE;
                now
            }
            regs::IRQ_CTRL | regs::IRQ_CTRLACK => self.state.irq_ctrl,
            regs::GERROR => self.state.gerror,
            regs::GERRORN => self.state.gerrorn,
            regs::CMDQ_PROD => self.state.cmdq_prod,
            regs::CMDQ_CONS => {
                self.progress();
                self.state.cmdq_cons
            }
            regs::EVENTQ_PROD => self.state.evtq_prod,
            regs::EVENTQ_CONS => self.state.evtq_cons,
            _ => 0,
        }
    }

    fn write(&mut self, offset: usize, value: u64) {
        if !self.touch(offset) {
            return;
        }
        let low = value as u32;
        let in_use = match offset {
            regs::STRTAB_BASE | regs::STRTAB_BASE_CFG | regs::CR1 | regs::CR2 => cr0::SMMUEN,
            regs::CMDQ_BASE | regs::CMDQ_CONS => cr0::CMDQEN,
            regs::EVENTQ_BASE | regs::EVENTQ_PROD => cr0::EVENTQEN,
            _ => 0,
        };
        let irq_in_use = match offset {
            regs::EVENTQ_IRQ_CFG0..=regs::EVENTQ_IRQ_CFG2 => irq_ctrl::EVENTQ,
            regs::GERROR_IRQ_CFG0..=regs::GERROR_IRQ_CFG2 => irq_ctrl::GERROR,
            _ => 0,
        };
        if self.state.irq_ctrl & irq_in_use != 0 {
            self.violate(Violation::WrittenInUse(offset));
        }
        if self.state.cr0 & in_use != 0 {
            self.violate(Violation::WrittenInUse(offset));
        }
        let s = &mut self.state;
        match offset {
            regs::CR0 => self.set_cr0(low),
            regs::CR1 => s.cr1 = low,
            regs::CR2 => s.cr2 = low,
            // Without UPDATE the write is ignored (6.3.14).
            regs::GBPA if low & gbpa::UPDATE != 0 => s.gbpa = low,
            regs::IRQ_CTRL => s.irq_ctrl = low,
            regs::GERRORN => s.gerrorn = low,
            regs::EVENTQ_IRQ_CFG0 => s.event_message.address = value,
            regs::EVENTQ_IRQ_CFG1 => s.event_message.data = low,
            regs::EVENTQ_IRQ_CFG2 => s.event_message.attributes = low,
            regs::GERROR_IRQ_CFG0 => s.error_message.address = value,
            regs::GERROR_IRQ_CFG1 => s.error_message.data = low,
            regs::GERROR_IRQ_CFG2 => s.error_message.attributes = low,
            regs::STRTAB_BASE => s.strtab_base = value,
            regs::STRTAB_BASE_CFG => s.strtab_cfg = low,
            regs::CMDQ_BASE => s.cmdq_base = value,
            regs::CMDQ_PROD => s.cmdq_prod = low,
            regs::CMDQ_CONS => s.cmdq_cons = low,
            regs::EVENTQ_BASE => s.evtq_base = value,
            regs::EVENTQ_PROD => s.evtq_prod = low,
            regs::EVENTQ_CONS => s.evtq_cons = low,
            _ => {}
        }
    }

    fn set_cr0(&mut self, value: u32) {
        let falling = self.state.cr0 & !value;
        self.state.cr0 = value;
        if falling & cr0::CMDQEN != 0 {
            // What no sync made sure of need not have happened.
            self.pending.clear();
            self.sync_wait = None;
        }
        if falling & cr0::SMMUEN != 0 {
            self.service_failure = false;
        }
    }
}
