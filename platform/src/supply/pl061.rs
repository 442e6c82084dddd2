//! Arm PL061 GPIO controller (DDI 0190), eight lines.
use super::SupplyError;
use super::gpio::Bank;
use super::poll::soon;
use crate::mmio::Mmio;
use spin::Mutex;

/// GPIODIR: one bit per line, 1 is output (DDI 0190, 3.3.2).
const DIRECTION: usize = 0x400;

/// Lines of a PL061.
const LINES: u32 = 8;

/// A PL061.
#[derive(Debug)]
pub struct Pl061<M> {
    registers: M,
    /// Serialises the read-modify-write of GPIODIR. GPIODATA needs none: the
    /// address selects the bits a write touches.
    direction: Mutex<()>,
}

impl<M: Mmio> Pl061<M> {
    /// A PL061 with these registers.
    #[must_use]
    pub const fn new(registers: M) -> Self {
        Self {
            registers,
            direction: Mutex::new(()),
        }
    }

    /// GPIODATA seen through a mask of one line (DDI 0190, 3.3.1: address bits
    /// 9:2 mask the access).
    const fn data(line: u32) -> usize {
        (1usize << (line & 7)) << 2
    }
}

impl<M: Mmio + Send + Sync> Bank for Pl061<M> {
    fn drive(&self, line: u32, high: bool) -> Result<(), SupplyError> {
        let bit = 1u32 << (line & 7);
        let value = if high { bit } else { 0 };
        // Before as well as after: the line must not flash the old value when
        // it becomes an output, and not every instance takes data while the
        // line is an input.
        self.registers.write32(Self::data(line), value);
        {
            let _guard = self.direction.lock();
            let direction = self.registers.read32(DIRECTION);
            if direction & bit == 0 {
                self.registers.write32(DIRECTION, direction | bit);
            }
        }
        self.registers.write32(Self::data(line), value);
        if soon(|| self.driven(line) == Some(high)) {
            Ok(())
        } else {
            let read = self.registers.read32(Self::data(line));
            Err(SupplyError::Stuck(read & 0xff))
        }
    }

    fn driven(&self, line: u32) -> Option<bool> {
        let bit = 1u32 << (line & 7);
        let output = self.registers.read32(DIRECTION) & bit != 0;
        output.then(|| self.registers.read32(Self::data(line)) & bit != 0)
    }

    fn lines(&self) -> u32 {
        LINES
    }
}
