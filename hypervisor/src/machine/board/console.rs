//! The board's console, shared by the hypervisor and all VMs.
//!
//! What anybody says goes into a buffer of its own; [`pump`] moves whole lines
//! from there to the wire as it takes them, and the wire's interrupt calls it
//! again. So neither a VM nor the hypervisor ever waits for the UART, save for
//! a report about a fault at EL2, which may be the last thing it says.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use platform::console::{Console, Layout, Uart};
use platform::early::EarlyConsole;
use platform::mmio::Window;
use platform::uart::UartKind;
use spin::Once;
use spin::mutex::SpinMutex;

use crate::vuart::{Focus, HYPERVISOR, Mux, Ring, Typed};

/// Polls before a byte that the UART does not take is given up.
const PATIENCE: u32 = 100_000;
/// Bytes of input handled at once.
const MOST_INPUT: u32 = 4096;
/// The hypervisor and up to one VM for each CPU.
const SOURCES: usize = crate::arch::boot::MAX_CPUS + 1;

struct State {
    uart: Option<Uart<Window>>,
    /// Absent until there is a heap's worth of sources to multiplex.
    mux: Option<Mux<SOURCES>>,
    /// What the hypervisor has said and the multiplexer not yet taken.
    own: Ring<16384>,
}

static STATE: SpinMutex<State> = SpinMutex::new(State {
    uart: None,
    mux: None,
    own: Ring::new(),
});
/// Set when EL2 itself has failed: whoever holds the lock may never return it.
static LAST_WORDS: AtomicBool = AtomicBool::new(false);
/// Number of the VM that is typed to.
static FOCUS: AtomicU32 = AtomicU32::new(NOBODY);
/// No VM has this number.
const NOBODY: u32 = u32::MAX;
/// A copy of the UART for that case.
static EMERGENCY: SpinMutex<Option<Uart<Window>>> = SpinMutex::new(None);

/// Opens the console that the device tree names.
///
/// # Errors
/// No driver here serves this kind of UART.
pub fn open(console: &EarlyConsole) -> Result<(), UartKind> {
    let window = crate::arch::mmio::window(console.registers.base, console.registers.size);
    let uart = driver(console, window).ok_or(console.kind)?;
    STATE.lock().uart = Some(uart);
    *EMERGENCY.lock() = Some(uart);
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

/// A VM's end of the console.
pub trait Terminal: Sync {
    /// The VM's number.
    fn id(&self) -> u16;
    /// What its lines are marked with.
    fn name(&self) -> &str;
    /// Takes what it has said, as far as it fits; how many bytes.
    fn fetch(&self, out: &mut [u8]) -> usize;
    /// A byte was typed to it.
    fn typed(&self, byte: u8);
}

static TERMINALS: Once<Vec<&'static dyn Terminal>> = Once::new();

fn terminal(index: usize) -> Option<&'static dyn Terminal> {
    TERMINALS.get()?.get(index).copied()
}

/// From now on VMs share the console, in their order.
pub fn share(terminals: Vec<&'static dyn Terminal>) {
    let mut mux = Mux::new("stagegate");
    for terminal in &terminals {
        mux.add_vm(terminal.name());
    }
    TERMINALS.call_once(|| terminals);
    let mut state = STATE.lock();
    state.mux = Some(mux);
    if let Some(uart) = &state.uart {
        uart.enable_rx_interrupt();
    }
}

/// Waits, bounded, for the UART to take each byte.
struct Direct<'a>(&'a Uart<Window>);

impl Write for Direct<'_> {
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

impl Direct<'_> {
    fn put(&self, byte: u8) {
        let _taken = (0..PATIENCE).any(|_| self.0.try_put(byte));
    }
}

/// Puts what it is given into the hypervisor's buffer; where that is full the
/// rest of the text is lost, which a reader sees at the broken line.
struct Buffered<'a>(&'a mut State);

impl Write for Buffered<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if !self.0.own.push(byte) {
                self.0.advance();
                let _ = self.0.own.push(byte);
            }
        }
        Ok(())
    }
}

impl State {
    fn print(&mut self, arguments: fmt::Arguments<'_>) {
        if self.mux.is_some() {
            let _ = Buffered(self).write_fmt(arguments);
            self.advance();
        } else if let Some(uart) = &self.uart {
            let _ = write!(Direct(uart), "[stagegate] {arguments}");
        }
    }

    /// Moves what can be moved without waiting.
    fn advance(&mut self) {
        let Self {
            uart: Some(uart),
            mux: Some(mux),
            own,
        } = self
        else {
            return;
        };
        loop {
            let any = mux.pump(|source, out| fetch(own, source, out));
            let left = mux.drain(|byte| uart.try_put(byte));
            if left {
                return uart.set_tx_interrupt(true);
            }
            if !any {
                return uart.set_tx_interrupt(false);
            }
        }
    }
}

/// The next bytes of `source`.
fn fetch(own: &mut Ring<16384>, source: usize, out: &mut [u8]) -> usize {
    if source == HYPERVISOR {
        return out
            .iter_mut()
            .zip(core::iter::from_fn(|| own.pop()))
            .map(|(slot, byte)| *slot = byte)
            .count();
    }
    let terminal = source.checked_sub(1).and_then(terminal);
    terminal.map_or(0, |terminal| terminal.fetch(out))
}

/// Prints formatted text.
pub fn print(arguments: fmt::Arguments<'_>) {
    if LAST_WORDS.load(Ordering::Relaxed) {
        // The lock may be held by the CPU that failed, perhaps this one.
        if let Some(uart) = EMERGENCY.try_lock().as_deref().and_then(Option::as_ref) {
            let _ = write!(Direct(uart), "[stagegate] {arguments}");
        }
        return;
    }
    STATE.lock().print(arguments);
}

/// Moves output of VMs on; called when one has said something.
pub fn pump() {
    STATE.lock().advance();
}

/// Shows what VM `id`, which has stopped, left of an unfinished line.
pub fn release(id: u16) {
    let mut terminals = TERMINALS.get().into_iter().flatten();
    let index = terminals.position(|terminal| terminal.id() == id);
    let mut state = STATE.lock();
    if let (Some(index), Some(mux)) = (index, state.mux.as_mut()) {
        mux.release_line(index + 1);
    }
    state.advance();
}

/// From now on, print past all locks and buffers: EL2 has failed on some CPU.
pub fn last_words() {
    LAST_WORDS.store(true, Ordering::Relaxed);
}

/// The report is complete. If the CPU that failed does not hold the console,
/// which others may do for moments, all is as before.
pub fn resume() {
    if (0..PATIENCE).any(|_| STATE.try_lock().is_some()) {
        LAST_WORDS.store(false, Ordering::Relaxed);
    }
}

/// Prints without a heap, a lock or translation: for a start at the wrong
/// exception level.
pub fn print_early(console: &EarlyConsole, arguments: fmt::Arguments<'_>) {
    let window = crate::arch::mmio::early_window(console.registers.base, console.registers.size);
    if let Some(uart) = driver(console, window) {
        let _ = Direct(&uart).write_fmt(arguments);
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
        print(format_args!("{level}{}\n", record.args()));
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

/// A key that is the operator's own.
pub enum Key {
    /// Typed while the monitor has the console.
    Typed(u8),
    /// Typed after Ctrl-a.
    Menu(u8),
}

/// The UART raised its interrupt: there is input, or room for output. The
/// operator's keys go to `monitor`.
pub fn interrupt(monitor: &mut dyn FnMut(Key)) {
    // Until the FIFO is empty, or nothing may raise the interrupt again. A wire
    // is slower than this loop; the bound is for one that is broken.
    for _ in 0..MOST_INPUT {
        let typed = {
            let mut state = STATE.lock();
            let Some(uart) = state.uart else { return };
            uart.ack_interrupts();
            let Some(byte) = uart.get() else { break };
            state
                .mux
                .as_mut()
                .map_or(Typed::Nothing, |mux| mux.typed(byte))
        };
        match typed {
            Typed::ForVm(index, byte) => {
                if let Some(terminal) = terminal(index) {
                    terminal.typed(byte);
                }
            }
            Typed::ForMonitor(key) => monitor(Key::Typed(key)),
            Typed::Menu(key) => monitor(Key::Menu(key)),
            Typed::Switched(focus) => note_focus(focus),
            Typed::Nothing => {}
        }
    }
    pump();
}

/// Remembers who is typed to, for those who must not take the lock to know.
fn note_focus(focus: Focus) {
    let id = match focus {
        Focus::Vm(index) => terminal(index).map_or(NOBODY, |terminal| terminal.id().into()),
        Focus::Monitor => NOBODY,
    };
    FOCUS.store(id, Ordering::Relaxed);
}

/// Whether what is typed goes to VM `id`, whose output is then shown at once.
pub fn has_focus(id: u16) -> bool {
    FOCUS.load(Ordering::Relaxed) == u32::from(id)
}

/// Waits, bounded, until all that was said is on the wire.
pub fn flush() {
    for _ in 0..PATIENCE {
        let mut state = STATE.lock();
        state.advance();
        if state.mux.as_ref().is_none_or(|mux| mux.peek().is_none()) {
            return;
        }
    }
}
