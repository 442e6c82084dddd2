//! Several consoles on one wire: lines with a prefix out, a chosen one in.
//!
//! Output keeps lines whole: the console in focus is passed on byte by byte
//! (prompts show at once, cursor keys work), the others line by line and without
//! control sequences: only the guest in focus may move the operator's cursor,
//! change colours, or make a line look like somebody else's. If one must speak
//! while another's line is open, it starts a new line.
//!
//! Input goes to the console in focus, save for Ctrl-a, which commands the
//! multiplexer: three in a row move the focus on, as in Xen; Ctrl-a and a
//! digit choose (0 the monitor, 1 the first VM); Ctrl-a `a` is a Ctrl-a for
//! the guest; any other key goes to the monitor's menu.

use super::Ring;
use super::escape::{CANCEL, Escape};
use arrayvec::ArrayVec;

/// Source number of the hypervisor's own messages and its monitor. VM n has
/// source number n + 1.
pub const HYPERVISOR: usize = 0;

const CTRL_A: u8 = 1;
/// Longest name shown in a prefix.
const NAME: usize = 16;
/// Longest piece of a line held back for one that is not in focus.
const LINE: usize = 256;
/// Bytes on their way to the wire.
const OUT: usize = 8192;
/// Most a single byte, or the closing of a held-back line, can add to it:
/// line break, prefix, line, line break.
const WORST: usize = LINE + NAME + 8;

/// Who gets what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The hypervisor's monitor.
    Monitor,
    /// The VM of this number, from 0.
    Vm(usize),
}

impl Focus {
    const fn source(self) -> usize {
        match self {
            Self::Monitor => HYPERVISOR,
            Self::Vm(vm) => vm.saturating_add(1),
        }
    }
}

/// What a typed byte means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// Nothing yet.
    Nothing,
    /// Input for a VM's PL011.
    ForVm(usize, u8),
    /// Input for the monitor's command line.
    ForMonitor(u8),
    /// Focus moved; the multiplexer has announced it.
    Switched(Focus),
    /// Ctrl-a and this key: a command for the monitor.
    Menu(u8),
}

#[derive(Debug)]
struct Source {
    name: ArrayVec<u8, NAME>,
    /// The last byte was a carriage return, not yet written: it may be half of
    /// a line end.
    cr: bool,
    /// Where its control sequences stand.
    escape: Escape,
    /// Held back until its line is complete.
    line: ArrayVec<u8, LINE>,
}

/// The multiplexer for the hypervisor and up to `N - 1` VMs. Pure: it moves
/// bytes between buffers, its user owns the wires and the lock.
#[derive(Debug)]
pub struct Mux<const N: usize> {
    sources: ArrayVec<Source, N>,
    focus: Focus,
    /// Ctrl-a typed in a row.
    escapes: u8,
    /// Whose line is open on the wire.
    open: Option<usize>,
    /// Whose turn to be asked first.
    turn: usize,
    out: Ring<OUT>,
}

impl<const N: usize> Mux<N> {
    /// A multiplexer that knows only the hypervisor, under this name, with the
    /// monitor in focus.
    #[must_use]
    pub fn new(hypervisor: &str) -> Self {
        let mut mux = Self {
            sources: ArrayVec::new(),
            focus: Focus::Monitor,
            escapes: 0,
            open: None,
            turn: 0,
            out: Ring::new(),
        };
        mux.add(hypervisor);
        mux
    }

    /// Adds the next VM; its number, or `None` if there are too many. Of its
    /// name, printable ASCII is shown, at most 16 characters.
    pub fn add_vm(&mut self, name: &str) -> Option<usize> {
        let source = self.add(name)?;
        source.checked_sub(1)
    }

    fn add(&mut self, name: &str) -> Option<usize> {
        let name = name
            .bytes()
            .filter(u8::is_ascii_graphic)
            .take(NAME)
            .collect();
        let source = Source {
            name,
            cr: false,
            escape: Escape::Text,
            line: ArrayVec::new(),
        };
        self.sources.try_push(source).ok()?;
        self.sources.len().checked_sub(1)
    }

    /// Who has the focus.
    #[must_use]
    pub fn focus(&self) -> Focus {
        self.focus
    }

    /// Moves the focus. `false`: there is no such VM.
    pub fn set_focus(&mut self, focus: Focus) -> bool {
        if focus.source() >= self.sources.len() {
            return false;
        }
        if focus != self.focus {
            self.cancel(self.focus.source());
        }
        self.focus = focus;
        // What it said so far, a prompt perhaps, is what one wants to see.
        self.release_line(focus.source());
        true
    }

    /// A sequence of `source` that the terminal has seen half of must not take
    /// in what others say next.
    fn cancel(&mut self, source: usize) {
        let state = self.sources.get(source);
        if state.is_some_and(|state| state.escape.is_open()) {
            self.put(CANCEL);
        }
    }

    /// Interprets a byte typed at the physical console.
    pub fn typed(&mut self, byte: u8) -> Typed {
        match (self.escapes, byte) {
            (0..=1, CTRL_A) => {
                self.escapes = self.escapes.saturating_add(1);
                Typed::Nothing
            }
            (0, _) => self.deliver(byte),
            (_, CTRL_A) => {
                self.escapes = 0;
                let next = match self.focus {
                    Focus::Monitor => Focus::Vm(0),
                    Focus::Vm(vm) => Focus::Vm(vm.saturating_add(1)),
                };
                self.switch(next)
            }
            _ => {
                self.escapes = 0;
                self.command(byte)
            }
        }
    }

    fn deliver(&self, byte: u8) -> Typed {
        match self.focus {
            Focus::Monitor => Typed::ForMonitor(byte),
            Focus::Vm(vm) => Typed::ForVm(vm, byte),
        }
    }

    fn command(&mut self, key: u8) -> Typed {
        match key {
            b'a' => self.deliver(CTRL_A),
            b'0' => self.switch(Focus::Monitor),
            b'1'..=b'9' => {
                let focus = Focus::Vm(usize::from(key.wrapping_sub(b'1')));
                match focus.source() < self.sources.len() {
                    true => self.switch(focus),
                    false => Typed::Menu(key),
                }
            }
            _ => Typed::Menu(key),
        }
    }

    /// Moves the focus to `next`, or to the monitor if there is no such VM,
    /// and says so.
    fn switch(&mut self, next: Focus) -> Typed {
        if !self.set_focus(next) {
            self.set_focus(Focus::Monitor);
        }
        let name = self
            .sources
            .get(self.focus.source())
            .map(|s| s.name.clone());
        if self.out.room() >= WORST {
            self.begin(HYPERVISOR);
            self.put_all(b"console input to ");
            self.put_all(&name.unwrap_or_default());
            self.end_line();
        }
        Typed::Switched(self.focus)
    }

    /// Takes output from all sources in turn while there is room: `fetch` is
    /// asked for the next bytes of a source number, puts them into the slice
    /// and says how many. Returns whether anything was taken.
    pub fn pump(&mut self, mut fetch: impl FnMut(usize, &mut [u8]) -> usize) -> bool {
        /// Taken from one source before the next is asked.
        const TURN: usize = 64;
        let mut any = false;
        let mut quiet = 0;
        while quiet < self.sources.len() {
            let source = self.turn;
            // Each byte of a turn may need a prefix of its own.
            if self.out.room() < WORST + TURN * (NAME + 8) {
                break;
            }
            self.turn = match source.checked_add(1) {
                Some(next) if next < self.sources.len() => next,
                _ => 0,
            };
            let mut bytes = [0; TURN];
            let count = fetch(source, &mut bytes).min(TURN);
            for byte in bytes.iter().take(count) {
                self.output(source, *byte);
            }
            quiet = if count == 0 {
                quiet.saturating_add(1)
            } else {
                0
            };
            any |= count != 0;
        }
        any
    }

    /// Lets out what `source` has held back of a line, for instance when its
    /// VM stops, or after a while of silence.
    pub fn release_line(&mut self, source: usize) {
        let Some(held) = self.sources.get_mut(source).filter(|s| !s.line.is_empty()) else {
            return;
        };
        let line = core::mem::take(&mut held.line);
        self.begin(source);
        self.put_all(&line);
    }

    /// Next byte for the wire.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.out.peek()
    }

    /// The byte from [`Mux::peek`] is on the wire.
    pub fn sent(&mut self) {
        self.out.pop();
    }

    /// Sends as much as `put` takes (it returns `false` when the wire is
    /// full). Returns whether something is left: then the wire's transmit
    /// interrupt is wanted.
    pub fn drain(&mut self, mut put: impl FnMut(u8) -> bool) -> bool {
        while let Some(byte) = self.peek() {
            if !put(byte) {
                return true;
            }
            self.sent();
        }
        false
    }

    fn output(&mut self, source: usize, byte: u8) {
        let focused = self.focus.source() == source;
        // Line ends are ours to write. A lone carriage return is a cursor
        // movement, which a guest in focus may do.
        if let Some(state) = self.sources.get_mut(source) {
            let lone = core::mem::replace(&mut state.cr, byte == b'\r');
            if lone && focused && byte != b'\n' {
                self.begin(source);
                self.put(b'\r');
            }
        }
        if let Some(state) = self.sources.get_mut(source)
            && !state.escape.next(byte)
            && !focused
        {
            return;
        }
        match byte {
            b'\r' => {}
            b'\n' => {
                self.release_line(source);
                self.begin(source);
                self.end_line();
            }
            _ if focused || self.open == Some(source) => {
                self.begin(source);
                self.put(byte);
            }
            _ => {
                let Some(state) = self.sources.get_mut(source) else {
                    return;
                };
                let full = state.line.try_push(byte).is_err();
                if full {
                    self.release_line(source);
                    self.end_line();
                    if let Some(state) = self.sources.get_mut(source) {
                        // Just emptied.
                        let _ = state.line.try_push(byte);
                    }
                }
            }
        }
    }

    /// Makes sure that what follows stands in a line of `source`.
    fn begin(&mut self, source: usize) {
        if self.open == Some(source) {
            return;
        }
        if self.open.is_some() {
            self.end_line();
        }
        let name = self
            .sources
            .get(source)
            .map(|s| s.name.clone())
            .unwrap_or_default();
        self.put(b'[');
        self.put_all(&name);
        self.put_all(b"] ");
        self.open = Some(source);
    }

    fn end_line(&mut self) {
        self.put_all(b"\r\n");
        self.open = None;
    }

    fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(*byte));
    }

    fn put(&mut self, byte: u8) {
        // Room was made sure of before anything was taken from a source; the
        // hypervisor's own announcements may be cut short.
        let _ = self.out.push(byte);
    }
}
