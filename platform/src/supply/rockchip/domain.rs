//! Power domains of a Rockchip PMU: the bus before them is told to be idle
//! before power goes, and let go after it has come
//! (Linux 6.12, drivers/pmdomain/rockchip/pm-domains.c).
use super::super::poll::until;
use super::super::{Services, SupplyError, Switch};
use super::masked;
use crate::mmio::Mmio;
use alloc::sync::Arc;
use spin::Mutex;

/// Longest wait for each step, in microseconds.
const LIMIT_US: u64 = 10_000;
/// Pause before a domain's memory is reset, in microseconds.
const MEMORY_PAUSE_US: u64 = 20;

/// Offsets of the PMU's registers in bytes.
#[derive(Debug)]
pub struct PmuLayout {
    /// A one takes the domain's power.
    pub power: u16,
    /// A one takes its memory's power.
    pub memory_power: u16,
    /// A one asks the bus before it to be idle.
    pub request: u16,
    /// A one answers the request.
    pub acknowledge: u16,
    /// A one says that the bus is idle.
    pub idle: u16,
    /// A one says that the chain of its memories is up.
    pub chain: u16,
    /// A one says that its memory has no power.
    pub memory: u16,
    /// A one says that it is repaired, and so up.
    pub up: u16,
}

/// A power domain.
#[derive(Debug)]
pub struct DomainEntry {
    /// Number in the device-tree binding.
    pub number: u16,
    /// Word (0, 1, …) and bit in `power` and `memory_power`.
    pub power: (u8, u8),
    /// Bit in `chain` and `memory`.
    pub memory: u8,
    /// Bit in `up`.
    pub up: u8,
    /// How its bus is told to be idle; there is none for some.
    pub bus: Option<Request>,
}

/// Where the bus before a domain is told to be idle.
#[derive(Debug)]
pub struct Request {
    /// Word (0, 1, …) and bit in `request`.
    pub at: (u8, u8),
    /// Bit in `acknowledge` and `idle`.
    pub answer: u8,
}

/// A power domain of a PMU.
pub struct Domain<M> {
    registers: Arc<M>,
    services: Arc<dyn Services>,
    layout: &'static PmuLayout,
    entry: &'static DomainEntry,
    /// One transition at a time.
    lock: Mutex<()>,
}

/// The register of word `word` at `base`.
fn word(base: u16, word: u8) -> usize {
    usize::from(base).saturating_add(usize::from(word).saturating_mul(4))
}

impl<M: Mmio> Domain<M> {
    /// The domain that `entry` describes.
    #[must_use]
    pub const fn new(
        registers: Arc<M>,
        services: Arc<dyn Services>,
        layout: &'static PmuLayout,
        entry: &'static DomainEntry,
    ) -> Self {
        let lock = Mutex::new(());
        Self {
            registers,
            services,
            layout,
            entry,
            lock,
        }
    }

    fn bit(&self, register: u16, bit: u8) -> bool {
        self.registers.read32(usize::from(register)) >> (bit & 31) & 1 != 0
    }

    fn wait(&self, register: u16, bit: u8, value: bool) -> Result<(), SupplyError> {
        until(&*self.services, LIMIT_US, || {
            self.bit(register, bit) == value
        })
    }

    fn is_up(&self) -> bool {
        self.bit(self.layout.up, self.entry.up)
    }

    fn power(&self, register: u16, off: bool) {
        let (place, bit) = self.entry.power;
        self.registers
            .write32(word(register, place), masked(bit, off));
    }

    fn bus(&self, idle: bool) -> Result<(), SupplyError> {
        let Some(request) = &self.entry.bus else {
            return Ok(());
        };
        let (place, bit) = request.at;
        self.registers
            .write32(word(self.layout.request, place), masked(bit, idle));
        self.wait(self.layout.acknowledge, request.answer, idle)?;
        self.wait(self.layout.idle, request.answer, idle)
    }

    /// Memory that has kept its power while the domain had none is taken
    /// through a power cycle of its own.
    fn reset_memory(&self) -> Result<(), SupplyError> {
        let bit = self.entry.memory;
        self.wait(self.layout.chain, bit, true)?;
        let start = self.services.now_us();
        while self.services.now_us().saturating_sub(start) < MEMORY_PAUSE_US {
            core::hint::spin_loop();
        }
        self.power(self.layout.memory_power, true);
        self.wait(self.layout.memory, bit, true)?;
        self.power(self.layout.memory_power, false);
        self.wait(self.layout.memory, bit, false)
    }
}

impl<M: Mmio + Send + Sync> Switch for Domain<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        let _guard = self.lock.lock();
        if !self.is_up() {
            let kept = !self.bit(self.layout.memory, self.entry.memory);
            self.power(self.layout.power, false);
            if kept {
                self.reset_memory()?;
            }
            self.wait(self.layout.up, self.entry.up, true)?;
        }
        self.bus(false)
    }

    fn disable(&self) -> Result<(), SupplyError> {
        let _guard = self.lock.lock();
        // What is asked and does not come true is taken back: the domain is on.
        if let Err(error) = self.bus(true) {
            let _ = self.bus(false);
            return Err(error);
        }
        self.power(self.layout.power, true);
        let down = self.wait(self.layout.up, self.entry.up, false);
        if down.is_err() {
            self.power(self.layout.power, false);
            let _ = self.bus(false);
        }
        down
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.is_up())
    }
}
