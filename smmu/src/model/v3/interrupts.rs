//! Interrupts: by wire, or by a message where one is set up (IHI 0070, 3.18).

use super::{Inner, Message};
use crate::model::device::Violation;
use crate::v3::spec::regs::{gerror, irq_ctrl};

/// Device memory of any kind, or normal memory that is not cached: an interrupt
/// controller must get every message (6.3.22, MEMATTR).
const UNCACHED: std::ops::RangeInclusive<u32> = 0b0000..=0b0101;

impl Inner {
    /// A record was put into the event queue.
    pub(super) fn event_interrupt(&mut self) {
        if self.state.irq_ctrl & irq_ctrl::EVENTQ == 0 {
            return;
        }
        let message = self.state.event_message;
        if !self.by_message(message) {
            self.event_irqs += 1;
        } else if !self.send(message) {
            self.global_error(gerror::MSI_EVENTQ_ABT);
        }
    }

    /// A global error becomes active.
    pub(super) fn global_error(&mut self, error: u32) {
        if (self.state.gerror ^ self.state.gerrorn) & error != 0 {
            return;
        }
        self.state.gerror ^= error;
        if self.state.irq_ctrl & irq_ctrl::GERROR == 0 {
            return;
        }
        let message = self.state.error_message;
        if !self.by_message(message) {
            self.error_irqs += 1;
        } else if !self.send(message) {
            self.state.gerror ^= gerror::MSI_GERROR_ABT;
        }
    }

    fn by_message(&self, message: Message) -> bool {
        self.nature.messages && message.address != 0
    }

    /// False if it was not accepted.
    fn send(&mut self, message: Message) -> bool {
        if !UNCACHED.contains(&(message.attributes & 0xf)) {
            self.violate(Violation::Structure(message.attributes.into()));
        }
        if std::mem::take(&mut self.refuse_message) {
            return false;
        }
        self.messages.push((message.address, message.data));
        true
    }
}
