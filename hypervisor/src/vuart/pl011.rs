//! A PL011 (DDI 0183, revision r1p5: FIFOs 32 deep) as a guest sees it.

use super::Ring;
use spin::Mutex;

const UARTDR: usize = 0x000;
const UARTRSR: usize = 0x004;
const UARTFR: usize = 0x018;
const UARTILPR: usize = 0x020;
const UARTIBRD: usize = 0x024;
const UARTFBRD: usize = 0x028;
const UARTLCR_H: usize = 0x02c;
const UARTCR: usize = 0x030;
const UARTIFLS: usize = 0x034;
const UARTIMSC: usize = 0x038;
const UARTRIS: usize = 0x03c;
const UARTMIS: usize = 0x040;
const UARTICR: usize = 0x044;
const UARTDMACR: usize = 0x048;

const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const FR_RXFF: u32 = 1 << 6;
const FR_TXFE: u32 = 1 << 7;
const LCR_H_FEN: u32 = 1 << 4;
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;
const INT_OE: u32 = 1 << 10;
const INT_ALL: u32 = 0x7ff;
/// Overrun: in `UARTDR` bit 11, in `UARTRSR` bit 3.
const DR_OE: u32 = 1 << 11;
const RSR_OE: u32 = 1 << 3;

/// FIFO depth a driver finds out from the peripheral id.
const DEPTH: usize = 32;
/// Bytes sent and not yet taken by the multiplexer. More than a driver knows
/// of: a page of text goes out without an interrupt.
const TX_RING: usize = 4096;
/// Bytes typed and not yet read; a paste of this size loses nothing.
const RX_RING: usize = 1024;

#[derive(Debug)]
struct State {
    tx: Ring<TX_RING>,
    rx: Ring<RX_RING>,
    /// `UARTILPR`, `UARTIBRD`, `UARTFBRD`, `UARTDMACR`: kept for reading back.
    kept: [u32; 4],
    lcr_h: u32,
    cr: u32,
    ifls: u32,
    imsc: u32,
    /// Latched raw interrupts: TX and OE.
    latched: u32,
    /// A received byte was dropped after the last one in `rx`.
    overrun: bool,
    rsr: u32,
    line: bool,
    dropped: u32,
}

impl State {
    const fn new() -> Self {
        Self {
            tx: Ring::new(),
            rx: Ring::new(),
            kept: [0; 4],
            lcr_h: 0,
            // TXE and RXE, as after reset; data moves without UARTEN too, as
            // early consoles that never set it expect from this machine.
            cr: 0x300,
            ifls: 0x12,
            imsc: 0,
            latched: 0,
            overrun: false,
            rsr: 0,
            line: false,
            dropped: 0,
        }
    }

    /// In place: this is too large to build on a small stack.
    fn reset(&mut self) {
        self.rx.clear();
        self.kept = [0; 4];
        self.lcr_h = 0;
        self.cr = 0x300;
        self.ifls = 0x12;
        self.imsc = 0;
        self.latched = 0;
        self.overrun = false;
        self.rsr = 0;
    }

    /// Received bytes at which `RX` is raised (`UARTIFLS` 5:3; without FIFO:
    /// one).
    fn rx_trigger(&self) -> usize {
        if self.lcr_h & LCR_H_FEN == 0 {
            return 1;
        }
        match self.ifls >> 3 & 7 {
            0 => DEPTH / 8,
            1 => DEPTH / 4,
            2 => DEPTH / 2,
            3 => DEPTH * 3 / 4,
            _ => DEPTH * 7 / 8,
        }
    }

    /// `UARTRIS`. The receive time-out passes at once: bytes come singly and
    /// far apart on a console.
    fn raw(&self) -> u32 {
        let mut raw = self.latched;
        if self.rx.len() >= self.rx_trigger() {
            raw |= INT_RX;
        }
        if !self.rx.is_empty() {
            raw |= INT_RT;
        }
        raw
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        let depth = if self.lcr_h & LCR_H_FEN == 0 {
            1
        } else {
            DEPTH
        };
        if self.rx.is_empty() {
            flags |= FR_RXFE;
        } else if self.rx.len() >= depth {
            flags |= FR_RXFF;
        }
        if self.tx.is_empty() {
            flags |= FR_TXFE;
        } else if self.tx.room() == 0 {
            flags |= FR_TXFF;
        }
        flags
    }

    /// Half of the transmit FIFO or more is free: a driver may now send half a
    /// FIFO without looking at `TXFF`.
    fn tx_below_trigger(&self) -> bool {
        self.tx.room() >= TX_RING / 2
    }

    fn send(&mut self, byte: u8) {
        if !self.tx.push(byte) {
            self.dropped = self.dropped.saturating_add(1);
        }
        // What is sent leaves at once as far as the guest can see: the level
        // has passed the trigger again.
        if self.tx_below_trigger() {
            self.latched |= INT_TX;
        } else {
            self.latched &= !INT_TX;
        }
    }

    fn receive(&mut self) -> u32 {
        let Some(byte) = self.rx.pop() else { return 0 };
        let mut data = u32::from(byte);
        if self.rx.is_empty() && self.overrun {
            self.overrun = false;
            data |= DR_OE;
            self.rsr |= RSR_OE;
        }
        data
    }

    fn read(&mut self, offset: usize) -> u32 {
        let [ilpr, ibrd, fbrd, dmacr] = self.kept;
        match offset {
            UARTFR => self.flags(),
            UARTDR => self.receive(),
            UARTRSR => self.rsr,
            UARTILPR => ilpr,
            UARTIBRD => ibrd,
            UARTFBRD => fbrd,
            UARTLCR_H => self.lcr_h,
            UARTCR => self.cr,
            UARTIFLS => self.ifls,
            UARTIMSC => self.imsc,
            UARTRIS => self.raw(),
            UARTMIS => self.raw() & self.imsc,
            UARTDMACR => dmacr,
            0xfe0..0x1000 => id(offset),
            _ => 0,
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let [ilpr, ibrd, fbrd, dmacr] = &mut self.kept;
        match offset {
            UARTDR => self.send(value as u8),
            UARTRSR => self.rsr = 0,
            UARTILPR => *ilpr = value & 0xff,
            UARTIBRD => *ibrd = value & 0xffff,
            UARTFBRD => *fbrd = value & 0x3f,
            UARTLCR_H => self.lcr_h = value & 0xff,
            UARTCR => self.cr = value & 0xff87,
            UARTIFLS => self.ifls = value & 0x3f,
            UARTIMSC => self.imsc = value & INT_ALL,
            UARTICR => self.latched &= !value,
            // No DMA: a driver without a DMA channel leaves these bits alone.
            UARTDMACR => *dmacr = value & 7,
            _ => {}
        }
    }
}

/// What an access did besides moving data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome<R> {
    /// What `line` returned, if the interrupt line changed.
    pub line: Option<R>,
    /// There is output for the multiplexer to fetch.
    pub output: bool,
}

/// One VM's PL011.
///
/// Each call takes the device's lock for a few dozen instructions. `line` is
/// called under it, and only when the interrupt line changes, so that line
/// changes reach the interrupt controller in the order they happened; it must
/// not call back into this device.
#[derive(Debug)]
pub struct Pl011 {
    state: Mutex<State>,
}

impl Pl011 {
    /// A PL011 after reset.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(State::new()),
        }
    }

    fn with<T, R>(
        &self,
        line: impl FnOnce(bool) -> R,
        act: impl FnOnce(&mut State) -> T,
    ) -> (T, Outcome<R>) {
        let mut state = self.state.lock();
        let result = act(&mut state);
        let high = state.raw() & state.imsc != 0;
        let changed = high != state.line;
        state.line = high;
        let output = !state.tx.is_empty();
        (
            result,
            Outcome {
                line: changed.then(|| line(high)),
                output,
            },
        )
    }

    /// A guest's read at `offset` of the 4 KiB frame. Registers are 32 bits
    /// wide; narrower reads get the low part.
    pub fn read<R>(&self, offset: usize, line: impl FnOnce(bool) -> R) -> (u32, Outcome<R>) {
        self.with(line, |state| state.read(offset))
    }

    /// A guest's write at `offset`.
    pub fn write<R>(&self, offset: usize, value: u32, line: impl FnOnce(bool) -> R) -> Outcome<R> {
        self.with(line, |state| state.write(offset, value)).1
    }

    /// Types `byte` to the guest. `false` in front: its buffer is full, the
    /// byte is lost and the guest will be told of an overrun.
    pub fn typed<R>(&self, byte: u8, line: impl FnOnce(bool) -> R) -> (bool, Outcome<R>) {
        self.with(line, |state| {
            let taken = state.rx.push(byte);
            if !taken {
                state.overrun = true;
                state.latched |= INT_OE;
            }
            taken
        })
    }

    /// Takes up to `out.len()` bytes the guest sent; how many.
    pub fn fetch<R>(&self, out: &mut [u8], line: impl FnOnce(bool) -> R) -> (usize, Outcome<R>) {
        self.with(line, |state| {
            let before = state.tx_below_trigger();
            let mut count = 0_usize;
            for slot in out {
                let Some(byte) = state.tx.pop() else { break };
                *slot = byte;
                count = count.saturating_add(1);
            }
            if !before && state.tx_below_trigger() {
                state.latched |= INT_TX;
            }
            count
        })
    }

    /// How many bytes a guest sent in spite of `TXFF`; they are lost.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.state.lock().dropped
    }

    /// Back to the state after reset, for a VM's restart. Output not yet
    /// fetched stays: it may be the guest's last words.
    pub fn reset<R>(&self, line: impl FnOnce(bool) -> R) -> Outcome<R> {
        self.with(line, State::reset).1
    }
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

/// `UARTPeriphID` (part 0x011, designer Arm, revision 3: FIFOs 32 deep) and
/// `UARTPCellID`, a byte every four.
fn id(offset: usize) -> u32 {
    match offset & 0x1c {
        0x00 => 0x11,
        0x04 => 0x10,
        0x08 => 0x34,
        0x10 => 0x0d,
        0x14 => 0xf0,
        0x18 => 0x05,
        0x1c => 0xb1,
        _ => 0x00,
    }
}
