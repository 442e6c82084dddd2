//! Output through the PL011 at its place in QEMU's `virt`.

use core::fmt::{self, Write};

/// The UART's registers.
pub const BASE: u64 = 0x0900_0000;
const DR: u64 = BASE;
const FR: u64 = BASE + 0x18;
const LCR_H: u64 = BASE + 0x2c;
const CR: u64 = BASE + 0x30;
/// Interrupt mask.
pub const IMSC: u64 = BASE + 0x38;
/// Interrupt clear.
pub const ICR: u64 = BASE + 0x44;
/// Transmit interrupt, in [`IMSC`] and [`ICR`].
pub const INT_TX: u32 = 1 << 5;
/// `INTID` of SPI 1.
pub const INTID: u32 = 33;

/// Turns FIFO and both directions on.
pub fn enable() {
    write(LCR_H, 0x70);
    write(CR, 0x301);
}

/// Reads a 32-bit register.
pub fn read(address: u64) -> u32 {
    crate::cpu::read32(address)
}

/// Writes a 32-bit register.
pub fn write(address: u64, value: u32) {
    crate::cpu::write32(address, value);
}

struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(FR) & 1 << 5 != 0 {
                core::hint::spin_loop();
            }
            write(DR, u32::from(byte));
        }
        Ok(())
    }
}

/// Prints formatted text; see `println!`.
pub fn print(arguments: fmt::Arguments<'_>) {
    let _ = Uart.write_fmt(arguments);
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {
        $crate::uart::print(format_args!("{}\n", format_args!($($arg)*)))
    };
}
