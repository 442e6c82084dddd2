//! A machine from start to end, with what its operator sees and types.
use super::keys::{Action, Keys};
use super::layout::Layout;
use super::power::{Power, TRACES, VmState};
use super::screen::Screen;
use super::table::{self, Colour, Style, paint};
use super::terminal::{self, Terminal};
use super::text::Text;
use crate::qemu::console::Line;
use crate::qemu::machine::Machine;
use crate::qemu::process::{Child, Output};
use crate::qemu::qmp::Qmp;
use crate::qemu::{Result, context, trace};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time between two frames, at least, and with nothing new.
const FRAME: Duration = Duration::from_millis(50);
const STILL: Duration = Duration::from_millis(500);
/// QEMU has this long to end when told to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Columns of the last table on a pipe.
const PIPE: usize = 80;
const KEYS: &str = "Ctrl-a ? keys, Ctrl-t x ends";

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The machine switched itself off.
    Off,
    /// It did, and these VMs had crashed.
    Crashed(Vec<String>),
    /// Stagegate started nothing.
    Nothing,
    /// QEMU failed.
    Failed(String),
    /// The limit passed.
    TimedOut,
    /// Somebody ended it: the signal, or that of Ctrl-c for a key.
    Told(i32),
}

impl Ending {
    /// Exit status for shells.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Crashed(_) | Self::Nothing => 1,
            Self::Failed(_) => 3,
            Self::TimedOut => 124,
            Self::Told(signal) => 128_u8.saturating_add(u8::try_from(*signal).unwrap_or(0)),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => write!(f, "the machine switched itself off"),
            Self::Crashed(vms) => write!(f, "stopped after a crash: {}", vms.join(", ")),
            Self::Nothing => write!(f, "Stagegate started nothing; the lines above say why"),
            Self::Failed(why) => write!(f, "QEMU failed: {why}"),
            Self::TimedOut => write!(f, "ended: the limit passed"),
            Self::Told(_) => write!(f, "ended"),
        }
    }
}

/// What is to be run, and how it is shown.
#[derive(Debug)]
pub struct Session<'a> {
    /// The machine.
    pub machine: Machine,
    /// What there is to watch.
    pub layout: Layout,
    /// For logs: `console.log`, `trace.log`, `command`.
    pub dir: &'a Path,
    /// Plain lines even on a terminal.
    pub plain: bool,
    /// The longest it may take.
    pub limit: Option<Duration>,
}

enum Event {
    Console(Vec<u8>),
    ConsoleEnd,
    Message(String),
    MessagesEnd,
    Keys(Vec<u8>),
    Signal(i32),
}

/// Runs a session to its end.
///
/// # Errors
/// QEMU does not start, or nothing can be written any more.
pub fn run(session: Session<'_>, out: &mut dyn Write) -> Result<Ending> {
    let Session { dir, limit, .. } = session;
    let live = !session.plain && terminal::is_live();
    let machine = session.machine.trace(TRACES);
    let start = now();
    let parts = machine.launch(Output::Lines, dir)?;
    // Before the terminal is touched, so that no signal finds it raw.
    let (sender, events) = sync_channel(256);
    signals(&sender)?;
    let _terminal = (live && std::io::stdin().is_terminal()).then(Terminal::enter);
    if _terminal.is_some() {
        keyboard(&sender);
    }
    let input = parts.console.try_clone().map_err(context("console"))?;
    console(parts.console, dir, &sender)?;
    if let Some(messages) = parts.messages {
        listen(messages, dir, sender)?;
    }
    let style = if live {
        terminal::style()
    } else {
        table::PLAIN
    };
    let mut run = Run {
        power: Power::new(session.layout, start),
        start,
        input,
        qmp: parts.qmp,
        text: Text::default(),
        keys: Keys::default(),
        view: live.then(|| Screen::new(terminal::size())),
        style,
        ending: None,
        deadline: limit.map(|limit| Instant::now() + limit),
        out,
    };
    let watched = run.watch(&events, parts.child);
    let written = run.leave();
    let ending = watched?;
    written.map_err(context("cannot write"))?;
    Ok(ending)
}

/// Microseconds since the Unix epoch, as in QEMU's trace.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn signals(sender: &SyncSender<Event>) -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH]).map_err(context("signals"))?;
    let sender = sender.clone();
    thread::spawn(move || {
        signals
            .forever()
            .try_for_each(|signal| sender.send(Event::Signal(signal)))
    });
    Ok(())
}

fn keyboard(sender: &SyncSender<Event>) {
    let sender = sender.clone();
    thread::spawn(move || pump(std::io::stdin(), &sender, Event::Keys));
}

/// Sends on what is read, until the end.
fn pump(mut from: impl Read, sender: &SyncSender<Event>, event: fn(Vec<u8>) -> Event) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        if sender.send(event(bytes)).is_err() {
            return;
        }
    }
}

/// Passes on what is read and writes it to a file too.
struct Copied<R>(R, File);

impl<R: Read> Read for Copied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        // A full disk does not end the run.
        let _ = self.1.write_all(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn logged<R>(from: R, dir: &Path, name: &str) -> Result<Copied<R>> {
    let path = dir.join(name);
    let file = File::create(&path).map_err(context(path.display()))?;
    Ok(Copied(from, file))
}

fn console(stream: UnixStream, dir: &Path, sender: &SyncSender<Event>) -> Result<()> {
    let stream = logged(stream, dir, "console.log")?;
    let sender = sender.clone();
    thread::spawn(move || {
        pump(stream, &sender, Event::Console);
        sender.send(Event::ConsoleEnd)
    });
    Ok(())
}

fn listen(
    messages: impl Read + Send + 'static,
    dir: &Path,
    sender: SyncSender<Event>,
) -> Result<()> {
    let messages = BufReader::new(logged(messages, dir, "trace.log")?);
    thread::spawn(move || {
        let lines = messages.split(b'\n').map_while(std::result::Result::ok);
        for line in lines {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(Event::Message(line)).is_err() {
                return;
            }
        }
        let _ = sender.send(Event::MessagesEnd);
    });
    Ok(())
}

struct Run<'o> {
    power: Power,
    start: u64,
    input: UnixStream,
    qmp: Qmp,
    text: Text,
    keys: Keys,
    view: Option<Screen>,
    style: Style,
    /// Why it is to end.
    ending: Option<Ending>,
    deadline: Option<Instant>,
    out: &'o mut dyn Write,
}

impl Run<'_> {
    /// Follows the machine until QEMU has ended.
    fn watch(&mut self, events: &Receiver<Event>, mut child: Child) -> Result<Ending> {
        let mut closed = false;
        let mut next_frame = Instant::now();
        loop {
            let wait = next_frame.saturating_duration_since(Instant::now());
            match events.recv_timeout(wait) {
                Ok(Event::ConsoleEnd) => closed = true,
                Ok(event) => {
                    self.take(event).map_err(context("cannot write"))?;
                    next_frame = next_frame.min(Instant::now() + FRAME);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => closed = true,
            }
            if closed {
                break;
            }
            if self.deadline.is_some_and(|d| d <= Instant::now()) {
                if self.ending.is_some() {
                    break;
                }
                self.end(Ending::TimedOut);
            }
            self.draw().map_err(context("cannot write"))?;
            next_frame = Instant::now() + STILL;
        }
        if !closed {
            child.kill();
        }
        let status = child.wait()?;
        // What QEMU still had to say.
        while let Ok(event) = events.recv_timeout(PATIENCE) {
            match event {
                Event::MessagesEnd => break,
                event => self.take(event).map_err(context("cannot write"))?,
            }
        }
        Ok(self.verdict(status))
    }

    fn verdict(&mut self, status: std::process::ExitStatus) -> Ending {
        if let Some(ending) = self.ending.take() {
            return ending;
        }
        let reason = self.qmp.shutdown_reason().unwrap_or_default();
        if !status.success() || !reason.starts_with("guest-") {
            return Ending::Failed(format!("{status} {reason}"));
        }
        let all = self.power.layout.vms.iter().zip(&self.power.vms);
        let crashed = all.filter(|(_, state)| **state == VmState::Crashed);
        let crashed: Vec<String> = crashed.map(|(name, _)| name.clone()).collect();
        match crashed.is_empty() {
            true => Ending::Off,
            false => Ending::Crashed(crashed),
        }
    }

    /// Tells QEMU to end.
    fn end(&mut self, why: Ending) {
        if self.ending.is_none() {
            self.ending = Some(why);
            self.deadline = Some(Instant::now() + PATIENCE);
            let _ = self.qmp.quit();
        }
    }

    fn take(&mut self, event: Event) -> std::io::Result<()> {
        match event {
            Event::Console(bytes) => {
                for line in self.text.feed(&bytes) {
                    self.line(&line)?;
                }
            }
            Event::Message(text) => self.message(&text)?,
            Event::Keys(bytes) => self.typed(&bytes),
            Event::Signal(SIGWINCH) => {
                if let Some(view) = &mut self.view {
                    view.resize(terminal::size());
                }
            }
            Event::Signal(signal) => self.end(Ending::Told(signal)),
            Event::ConsoleEnd | Event::MessagesEnd => {}
        }
        Ok(())
    }

    fn typed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match self.keys.typed(*byte) {
                Some(Action::End) => self.end(Ending::Told(SIGINT)),
                // A machine that has ended takes nothing.
                Some(Action::Send(byte)) => drop(self.input.write_all(&[byte])),
                None => {}
            }
        }
    }

    /// A line of the console.
    fn line(&mut self, text: &str) -> std::io::Result<()> {
        let line = Line {
            at: SystemTime::now(),
            text: text.into(),
        };
        let (who, words) = line.source().unwrap_or_default();
        self.power.hear(who, words);
        if who == "stagegate" && words.ends_with(": nothing is started") {
            self.end(Ending::Nothing);
        }
        // Lines for programs are not for people.
        if self.view.is_some() && who == "stagegate" && words.starts_with("@sg ") {
            return Ok(());
        }
        let shown = match who {
            "" => text.into(),
            who => painted(&self.power.layout.vms, who, words, text, self.style),
        };
        self.print(shown)
    }

    /// A line of QEMU: an event, or a message.
    fn message(&mut self, text: &str) -> std::io::Result<()> {
        let Some(event) = trace::event(text) else {
            let shown = paint(self.style, Colour::Red, &format!("[qemu] {text}"));
            return self.print(shown);
        };
        for (at, what) in self.power.event(&event) {
            if self.view.is_none() {
                let ms = at.saturating_sub(self.start) / 1000;
                let line = format!("[power] {:>4}.{:03} s  {what}", ms / 1000, ms % 1000);
                self.print(line)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, line: String) -> std::io::Result<()> {
        match &mut self.view {
            Some(view) => view.print(line),
            None => {
                writeln!(self.out, "{line}")?;
                self.out.flush()?;
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> std::io::Result<()> {
        let Some(view) = &mut self.view else {
            return Ok(());
        };
        let (at, width) = (now(), view.columns());
        let since = at.saturating_sub(self.start);
        let mut area = vec![table::title(&self.power, since, KEYS, width, self.style)];
        area.extend(table::lines(&self.power, at, width, self.style));
        let (open, cursor) = self.text.open();
        let frame = view.frame((&open, cursor), &area);
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }

    /// Leaves the last lines and the final table on the screen.
    fn leave(&mut self) -> std::io::Result<()> {
        let (open, _) = self.text.open();
        if !open.is_empty() {
            let text = self.text.take();
            self.line(&text)?;
        }
        let area = |width| table::lines(&self.power, now(), width, self.style);
        match self.view.take() {
            Some(mut view) => {
                for line in area(view.columns()) {
                    view.print(line);
                }
                self.out.write_all(view.leave().as_bytes())?;
            }
            None => {
                for line in area(PIPE) {
                    writeln!(self.out, "{}", line.trim_end())?;
                }
            }
        }
        self.out.flush()
    }
}

/// A line with its speaker in a colour, and errors in red.
fn painted(vms: &[String], who: &str, words: &str, text: &str, style: Style) -> String {
    const OF_VMS: [Colour; 4] = [Colour::Green, Colour::Yellow, Colour::Blue, Colour::Magenta];
    let colour = match vms.iter().position(|vm| vm == who) {
        Some(index) => OF_VMS[index % OF_VMS.len()],
        None => Colour::Cyan,
    };
    let prefix = text.strip_suffix(words).unwrap_or_default();
    let bad = who == "stagegate" && words.starts_with("error: ");
    let words = paint(style, if bad { Colour::Red } else { Colour::None }, words);
    paint(style, colour, prefix) + &words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_its_status() {
        assert_eq!(Ending::Off.code(), 0);
        assert_eq!(Ending::Crashed(vec!["a".into()]).code(), 1);
        assert_eq!(Ending::Nothing.code(), 1);
        assert_eq!(Ending::Failed(String::new()).code(), 3);
        assert_eq!(Ending::TimedOut.code(), 124);
        assert_eq!(Ending::Told(SIGINT).code(), 130);
        assert_eq!(Ending::Told(SIGTERM).code(), 143);
    }

    #[test]
    fn speakers_have_colours_and_errors_are_red() {
        let style = Style {
            colour: true,
            unicode: true,
        };
        let vms = ["disk".to_string()];
        let line = painted(&vms, "disk", "hi", "[disk] hi", style);
        assert_eq!(line, "\x1b[32m[disk] \x1b[0mhi");
        let text = "[stagegate] error: x";
        let line = painted(&vms, "stagegate", "error: x", text, style);
        assert_eq!(line, "\x1b[36m[stagegate] \x1b[0m\x1b[31merror: x\x1b[0m");
        assert_eq!(
            painted(&vms, "stagegate", "error: x", text, table::PLAIN),
            text
        );
    }
}
