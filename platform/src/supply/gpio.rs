//! `gpio-gate-clock`: a clock that runs while a GPIO line is active.
use super::{SupplyError, Switch};
use alloc::sync::Arc;

/// A bank of GPIO lines that can be driven.
pub trait Bank: Send + Sync {
    /// Makes `line` an output and drives it.
    ///
    /// # Errors
    /// [`SupplyError::Stuck`] when the line does not follow.
    fn drive(&self, line: u32, high: bool) -> Result<(), SupplyError>;

    /// The level of an output; `None` while `line` is an input.
    fn driven(&self, line: u32) -> Option<bool>;

    /// Number of lines.
    fn lines(&self) -> u32;
}

/// A clock behind a GPIO line.
pub struct GpioGate {
    bank: Arc<dyn Bank>,
    line: u32,
    active_low: bool,
}

/// Flag in a GPIO specifier: active when low
/// (include/dt-bindings/gpio/gpio.h, GPIO_ACTIVE_LOW).
pub const ACTIVE_LOW: u32 = 1;

/// Flag in a GPIO specifier: the line is only pulled to one level, never
/// driven to the other (GPIO_SINGLE_ENDED: open drain or open source).
pub const SINGLE_ENDED: u32 = 1 << 1;

impl GpioGate {
    /// The gate at `line`, with the flags of its specifier. Touches nothing:
    /// the line stays as firmware left it until the first switch.
    #[must_use]
    pub fn new(bank: Arc<dyn Bank>, line: u32, flags: u32) -> Self {
        Self {
            bank,
            line,
            active_low: flags & ACTIVE_LOW != 0,
        }
    }
}

impl Switch for GpioGate {
    fn enable(&self) -> Result<(), SupplyError> {
        self.bank.drive(self.line, !self.active_low)
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.bank.drive(self.line, self.active_low)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.bank.driven(self.line) == Some(!self.active_low))
    }
}
