//! Consoles: the UARTs a board may speak through.
//!
//! Every driver takes the line settings (baud rate, parity) as firmware left
//! them: a hypervisor that is started by firmware that already prints has no
//! business guessing clocks. What a driver does is turn FIFOs and the two
//! directions on, move bytes, and handle its interrupt.
//!
//! A driver holds no state besides its register window, so it is `Copy` where
//! the window is; whoever prints from several CPUs serialises them.

mod cadence;
mod geni;
mod msm;
mod ns16550;
mod pl011;

pub use cadence::Cadence;
pub use geni::Geni;
pub use msm::Msm;
pub use ns16550::Ns16550;
pub use pl011::Pl011;

use crate::mmio::Mmio;

/// A UART that moves one byte at a time and never waits.
pub trait Console {
    /// Puts `byte` into the transmit FIFO. `false`: no room, the byte was not
    /// taken; try again later or on the transmit interrupt.
    fn try_put(&self, byte: u8) -> bool;
    /// Takes the oldest received byte. Bytes that arrived with an error
    /// (framing, parity, break) are dropped.
    fn get(&self) -> Option<u8>;
    /// Lets received bytes (FIFO level or time-out) raise the interrupt.
    fn enable_rx_interrupt(&self);
    /// Clears what the device latches about its interrupts. Call at the start
    /// of the handler, then [`Console::get`] until it returns `None`.
    fn ack_interrupts(&self);
    /// Lets room in the transmit FIFO raise the interrupt, or no longer.
    fn set_tx_interrupt(&self, on: bool);
}

/// What a device tree says about how a UART's registers are laid out
/// (properties `reg-shift`, `reg-io-width`, `reg-offset` is folded into the
/// window by the caller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// `reg-shift`: register n stands at byte offset `n << reg_shift`.
    pub reg_shift: Option<u8>,
    /// `reg-io-width`: bytes per access, 1, 2 or 4.
    pub reg_io_width: Option<u8>,
}

/// Any supported UART.
#[derive(Debug, Clone, Copy)]
pub enum Uart<M> {
    /// Arm PL011 or the subset the SBSA calls generic UART.
    Pl011(Pl011<M>),
    /// 8250/16550 family.
    Ns16550(Ns16550<M>),
    /// Cadence (Zynq, ZynqMP).
    Cadence(Cadence<M>),
    /// Qualcomm GENI.
    Geni(Geni<M>),
    /// Qualcomm MSM (UARTDM).
    Msm(Msm<M>),
}

impl<M: Mmio> Uart<M> {
    /// The driver for a device-tree `compatible` string, or `None` if this
    /// string names no UART known here (the caller tries the next string of
    /// the list). The device is made ready to send and receive, polled.
    pub fn from_compatible(compatible: &str, window: M, layout: Layout) -> Option<Self> {
        Some(match compatible {
            "arm,pl011" | "arm,sbsa-uart" => Self::Pl011(Pl011::new(window)),
            // Wired at word distance; the binding does not say so again.
            "brcm,bcm2835-aux-uart" | "mediatek,mt6577-uart" => {
                let layout = Layout {
                    reg_shift: Some(2),
                    reg_io_width: Some(4),
                };
                Self::Ns16550(Ns16550::new(window, layout))
            }
            "ns8250"
            | "ns16450"
            | "ns16550"
            | "ns16550a"
            | "ns16750"
            | "ns16850"
            | "snps,dw-apb-uart"
            | "ti,am654-uart"
            | "nvidia,tegra20-uart" => Self::Ns16550(Ns16550::new(window, layout)),
            "xlnx,xuartps" | "cdns,uart-r1p8" | "cdns,uart-r1p12" => {
                Self::Cadence(Cadence::new(window))
            }
            "qcom,geni-debug-uart" | "qcom,geni-uart" => Self::Geni(Geni::new(window)),
            "qcom,msm-uartdm" => Self::Msm(Msm::new(window)),
            _ => return None,
        })
    }
}

macro_rules! each {
    ($self:ident, $uart:ident => $call:expr) => {
        match $self {
            Uart::Pl011($uart) => $call,
            Uart::Ns16550($uart) => $call,
            Uart::Cadence($uart) => $call,
            Uart::Geni($uart) => $call,
            Uart::Msm($uart) => $call,
        }
    };
}

impl<M: Mmio> Console for Uart<M> {
    fn try_put(&self, byte: u8) -> bool {
        each!(self, uart => uart.try_put(byte))
    }
    fn get(&self) -> Option<u8> {
        each!(self, uart => uart.get())
    }
    fn enable_rx_interrupt(&self) {
        each!(self, uart => uart.enable_rx_interrupt());
    }
    fn ack_interrupts(&self) {
        each!(self, uart => uart.ack_interrupts());
    }
    fn set_tx_interrupt(&self, on: bool) {
        each!(self, uart => uart.set_tx_interrupt(on));
    }
}

#[cfg(test)]
mod tests;
