//! A VM at the board's console.

use super::Vm;
use crate::machine::board::console::Terminal;

impl Terminal for Vm {
    fn id(&self) -> u16 {
        self.id
    }

    fn name(&self) -> &str {
        self.name
    }

    fn fetch(&self, out: &mut [u8]) -> usize {
        if self.life.has_failed() {
            return 0;
        }
        let uart = &self.devices.uart;
        let (count, outcome) = uart.fetch(out, |high| self.uart_line(high));
        self.kick(outcome.line.unwrap_or_default());
        count
    }

    fn typed(&self, byte: u8) {
        if !self.life.has_failed() {
            let uart = &self.devices.uart;
            let (_taken, outcome) = uart.typed(byte, |high| self.uart_line(high));
            self.kick(outcome.line.unwrap_or_default());
        }
    }
}
