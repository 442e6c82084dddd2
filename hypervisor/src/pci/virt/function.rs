//! One function as its VM sees it: the type 0 header.

use super::HostConfig;
use super::caps::VirtualCaps;
use super::slots::Seat;
use super::vbar::{self, VirtualBar, VirtualBars};
use crate::pci::config::ConfigSpace;
use crate::pci::error::PciError;
use crate::pci::regs::{self, command, status};
use crate::pci::rid::Rid;
use crate::pci::topology::{Context, Function};

/// Command bits that the guest may set. I/O space is nobody's; error
/// reporting by SERR would raise an alarm for the whole machine.
pub const COMMAND_WRITABLE: u16 = command::MEMORY | command::BUS_MASTER | command::INTX_DISABLE;

/// Shadow of one function.
#[derive(Debug)]
pub struct VirtualFunction {
    pub physical: Rid,
    pub rid: Rid,
    /// To be written again after a return from D3hot.
    pub context: Context,
    pub bars: VirtualBars,
    pub caps: VirtualCaps,
    /// Command register as the guest wrote it.
    pub command: u16,
    pub cache_line: u8,
    pub interrupt_line: u8,
    /// D-state as the guest set it.
    pub d_state: u8,
    /// Announced to the power code as active.
    pub active: bool,
    /// The VM is to find nothing in its place.
    pub hidden: bool,
    id: u32,
    class: u32,
    subsystem: u32,
    header_type: u8,
    /// Pin, minimum grant, maximum latency: bytes 0x3d to 0x3f.
    interrupt: [u8; 3],
}

impl VirtualFunction {
    pub fn new(
        cfg: &impl ConfigSpace,
        function: &Function,
        seat: &Seat,
        pin: u8,
        config: &HostConfig,
    ) -> Result<Self, PciError> {
        let rid = function.rid;
        let mut bars = [None; 6];
        for ((number, physical), shown) in (0u8..).zip(&function.bars).zip(&mut bars) {
            let Some(physical) = physical else { continue };
            // Enabling memory for one BAR would let this one decode at zero.
            let unplaced = PciError::Unplaced {
                rid,
                bar: number,
                size: physical.size,
            };
            *shown = Some(VirtualBar::new(physical, config.page).ok_or(unplaced)?);
        }
        let [_, _, grant, latency] = cfg.read32(rid, regs::INTERRUPT_LINE).to_le_bytes();
        Ok(Self {
            physical: rid,
            rid: seat.rid,
            context: function.context(),
            bars,
            caps: VirtualCaps::new(cfg, function, config.msi),
            command: 0,
            cache_line: 0,
            interrupt_line: 0,
            d_state: 0,
            active: false,
            hidden: false,
            id: function.id,
            class: function.class,
            subsystem: cfg.read32(rid, regs::SUBSYSTEM),
            header_type: if seat.shared { 0x80 } else { 0 },
            interrupt: [pin, grant, latency],
        })
    }

    /// The shadow after a reset of the function.
    pub fn reset(&mut self) {
        self.d_state = 0;
        self.cache_line = 0;
        self.interrupt_line = 0;
        for bar in self.bars.iter_mut().flatten() {
            bar.reset();
        }
    }

    /// D0 and bus-master enable: the function can start transactions.
    pub fn can_master(&self) -> bool {
        self.d_state == 0 && self.command & command::BUS_MASTER != 0
    }

    /// The command register to have in hardware. Outside D0 nothing is
    /// decoded or mastered, so the hardware bits are clear, and that can be
    /// read back without touching a function that is changing state.
    pub fn hardware_command(&self) -> u16 {
        match self.d_state {
            0 => self.command,
            _ => self.command & !(command::MEMORY | command::BUS_MASTER),
        }
    }

    /// Reads the word at `offset`, a multiple of 4 below 4096.
    pub fn read(&self, cfg: &impl ConfigSpace, offset: u16) -> u32 {
        match offset {
            regs::VENDOR => self.id,
            regs::COMMAND => self.command_status(cfg),
            regs::REVISION => self.class,
            regs::CACHE_LINE => u32::from_le_bytes([self.cache_line, 0, self.header_type, 0]),
            regs::BAR0..=regs::BAR5 => vbar::read(&self.bars, bar_index(offset)),
            regs::SUBSYSTEM => self.subsystem,
            regs::CAPABILITIES => u32::from(self.caps.first()),
            regs::INTERRUPT_LINE => {
                let [pin, grant, latency] = self.interrupt;
                u32::from_le_bytes([self.interrupt_line, pin, grant, latency])
            }
            0x40..=0xff => self.caps.read(cfg, self.physical, offset),
            // Extended capabilities and the rest: nothing there.
            _ => 0,
        }
    }

    fn command_status(&self, cfg: &impl ConfigSpace) -> u32 {
        let real = cfg.read16(self.physical, regs::STATUS) & !status::CAPABILITIES;
        let list = if self.caps.first() == 0 {
            0
        } else {
            status::CAPABILITIES
        };
        (u32::from(real | list) << 16) | u32::from(self.command)
    }
}

/// Which BAR register lies at `offset`.
pub fn bar_index(offset: u16) -> usize {
    usize::from(offset.saturating_sub(regs::BAR0) >> 2)
}
