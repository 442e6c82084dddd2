//! The board's console, shared by all CPUs.

use core::fmt::{self, Write};
use platform::console::{Console, Layout, Uart};
use platform::early::EarlyConsole;
use platform::mmio::Window;
use platform::uart::UartKind;
use spin::mutex::SpinMutex;

/// Polls before a byte that the UART does not take is dropped: a console whose
/// receiver has stopped must not stop the machine.
const PATIENCE: u32 = 1_000_000;

static UART: SpinMutex<Option<Uart<Window>>> = SpinMutex::new(None);

/// Opens the console that the device tree names.
///
/// # Errors
/// No driver here serves this kind of UART.
pub fn open(console: &EarlyConsole) -> Result<(), UartKind> {
    let window = crate::arch::mmio::window(console.registers.base, console.registers.size);
    let uart = driver(console, window).ok_or(console.kind)?;
    *UART.lock() = Some(uart);
    Ok(())
}

/// The driver for what the device tree says.
fn driver(console: &EarlyConsole, window: Window) -> Option<Uart<Window>> {
    let layout = Layout {
        reg_shift: u8::try_from(console.reg_shift).ok(),
        reg_io_width: u8::try_from(console.io_width).ok(),
    };
    let compatible = match console.kind {
        UartKind::Pl011 => "arm,pl011",
        UartKind::Cadence => "xlnx,xuartps",
        UartKind::Ns16550 => "ns16550a",
        UartKind::Geni => "qcom,geni-debug-uart",
        UartKind::MsmDm => "qcom,msm-uartdm",
        _ => return None,
    };
    Uart::from_compatible(compatible, window, layout)
}

/// Prints whole lines, each byte as soon as the UART takes it.
struct Raw<'a>(&'a Uart<Window>);

impl Write for Raw<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}

impl Raw<'_> {
    fn put(&self, byte: u8) {
        for _ in 0..PATIENCE {
            if self.0.try_put(byte) {
                return;
            }
        }
    }
}

/// Prints formatted text.
pub fn print(arguments: fmt::Arguments<'_>) {
    if let Some(uart) = UART.lock().as_ref() {
        let _ = Raw(uart).write_fmt(arguments);
    }
}

/// Prints without a heap, a lock or translation: for a start at the wrong
/// exception level.
pub fn print_early(console: &EarlyConsole, arguments: fmt::Arguments<'_>) {
    let window = crate::arch::mmio::early_window(console.registers.base, console.registers.size);
    if let Some(uart) = driver(console, window) {
        let _ = Raw(&uart).write_fmt(arguments);
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => "error: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        print(format_args!("[stagegate] {level}{}\n", record.args()));
    }

    fn flush(&self) {}
}

/// Sends what the rest of the program logs to the console.
pub fn init_log() {
    static LOGGER: Logger = Logger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// The UART raised its interrupt.
pub fn interrupt() {
    if let Some(uart) = UART.lock().as_ref() {
        uart.ack_interrupts();
        while uart.get().is_some() {}
    }
}

/// Waits, bounded, until what was printed has left.
pub fn flush() {}
