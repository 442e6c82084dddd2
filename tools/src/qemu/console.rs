//! The machine's serial line: complete lines with the time they came, and a
//! way to type. Waiting always has a deadline and never sleeps.

use super::{Result, context};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// One line as it came out of the machine.
#[derive(Clone, Debug)]
pub struct Line {
    /// When its end arrived.
    pub at: SystemTime,
    /// The text, without line end and terminal control sequences.
    pub text: String,
}

impl Line {
    /// Who speaks, and what, if the hypervisor put a name before the line:
    /// `(disk) text`, or `[stagegate] text` before the console is shared.
    pub fn source(&self) -> Option<(&str, &str)> {
        let close = match self.text.chars().next()? {
            '(' => ") ",
            '[' => "] ",
            _ => return None,
        };
        self.text[1..].split_once(close)
    }

    /// What was said, whoever spoke.
    pub fn words(&self) -> &str {
        self.source().map_or(&self.text, |(_, words)| words)
    }

    /// Whether `who` said something that contains `what`.
    pub fn is(&self, who: &str, what: &str) -> bool {
        self.source()
            .is_some_and(|(source, words)| source == who && words.contains(what))
    }
}

/// Why no further line came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine has closed its serial line: QEMU ended.
    Closed,
    /// The deadline passed.
    TimedOut,
}

/// A serial line.
pub struct Console {
    lines: Receiver<Line>,
    input: UnixStream,
    seen: Vec<Line>,
    echo: bool,
}

impl Console {
    /// Starts reading from `stream`; everything is also written to `log`.
    pub fn new(stream: UnixStream, log: &Path, echo: bool) -> Result<Self> {
        let input = stream.try_clone().map_err(context("console"))?;
        let log = File::create(log).map_err(context(log.display()))?;
        let (sender, lines) = channel();
        thread::spawn(move || pump(stream, BufWriter::new(log), &sender));
        Ok(Self {
            lines,
            input,
            seen: Vec::new(),
            echo,
        })
    }

    /// The next line, or why there is none.
    pub fn next(&mut self, deadline: Instant) -> std::result::Result<Line, End> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                if self.echo {
                    println!("{}", line.text);
                }
                self.seen.push(line.clone());
                Ok(line)
            }
            Err(RecvTimeoutError::Timeout) => Err(End::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(End::Closed),
        }
    }

    /// Waits for a line that contains `needle`.
    pub fn expect(&mut self, needle: &str, limit: Duration) -> Result<Line> {
        self.until(needle, limit, |line| line.text.contains(needle))
    }

    /// Waits for `who` to say something that contains `what`.
    pub fn expect_from(&mut self, who: &str, what: &str, limit: Duration) -> Result<Line> {
        self.until(&format!("({who}) {what}"), limit, |line| line.is(who, what))
    }

    /// As [`Self::expect_from`], for what may have been said already: those who
    /// run at the same time speak in any order.
    pub fn expect_once_from(&mut self, who: &str, what: &str, limit: Duration) -> Result<()> {
        if self.seen.iter().any(|line| line.is(who, what)) {
            return Ok(());
        }
        self.expect_from(who, what, limit).map(drop)
    }

    /// Waits for a line that contains all of `words`.
    pub fn expect_all(&mut self, words: &[&str], limit: Duration) -> Result<Line> {
        self.until(&words.join("' and '"), limit, |line| {
            words.iter().all(|w| line.text.contains(w))
        })
    }

    fn until(
        &mut self,
        sought: &str,
        limit: Duration,
        found: impl Fn(&Line) -> bool,
    ) -> Result<Line> {
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline) {
                Ok(line) if found(&line) => return Ok(line),
                Ok(_) => {}
                Err(end) => {
                    return Err(format!(
                        "waiting for '{sought}': {end:?} after {limit:?}; the last lines were:\n{}",
                        self.tail(25)
                    ));
                }
            }
        }
    }

    /// Reads until the machine ends by itself.
    pub fn drain(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match self.next(deadline) {
                Ok(_) => {}
                Err(End::Closed) => return Ok(()),
                Err(End::TimedOut) => {
                    return Err(format!(
                        "the machine did not end within {limit:?}; the last lines were:\n{}",
                        self.tail(25)
                    ));
                }
            }
        }
    }

    /// Types bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.input
            .write_all(bytes)
            .map_err(context("typing on the console"))
    }

    /// All lines read so far.
    pub fn seen(&self) -> &[Line] {
        &self.seen
    }

    /// The last `count` lines as one text.
    pub fn tail(&self, count: usize) -> String {
        let start = self.seen.len().saturating_sub(count);
        let lines: Vec<_> = self.seen[start..]
            .iter()
            .map(|l| format!("    {}", l.text))
            .collect();
        lines.join("\n")
    }
}

fn pump(mut stream: UnixStream, mut log: BufWriter<File>, lines: &Sender<Line>) {
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        // A full disk must not stop the test.
        let _ = log.write_all(&buffer[..count]).and_then(|()| log.flush());
        for &byte in &buffer[..count] {
            match byte {
                b'\n' => {
                    let text = plain(&pending);
                    pending.clear();
                    let at = SystemTime::now();
                    if lines.send(Line { at, text }).is_err() {
                        return;
                    }
                }
                _ => pending.push(byte),
            }
        }
    }
    if !pending.is_empty() {
        let (at, text) = (SystemTime::now(), plain(&pending));
        let _ = lines.send(Line { at, text });
    }
}

/// Drops carriage returns and ANSI escape sequences.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {}
            '\x1b' => {
                // CSI: up to its final letter.
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, Console) {
        let (machine, host) = UnixStream::pair().unwrap();
        (
            machine,
            Console::new(host, Path::new("/dev/null"), false).unwrap(),
        )
    }

    #[test]
    fn expects_lines_in_order_and_reports_the_end() {
        let (mut machine, mut console) = pair();
        machine
            .write_all(b"one\r\n\x1b[31mtwo\x1b[0m\nthr")
            .unwrap();
        let limit = Duration::from_secs(5);
        assert_eq!(console.expect("tw", limit).unwrap().text, "two");
        drop(machine);
        assert_eq!(console.next(Instant::now() + limit).unwrap().text, "thr");
        assert_eq!(
            console.next(Instant::now() + limit).unwrap_err(),
            End::Closed
        );
        let error = console.expect("never", limit).unwrap_err();
        assert!(error.contains("two"), "{error}");
    }

    #[test]
    fn typing_reaches_the_machine() {
        let (mut machine, mut console) = pair();
        console.send(b"hi").unwrap();
        let mut got = [0; 2];
        machine.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hi");
    }

    #[test]
    fn speakers_are_told_apart() {
        let line = |text: &str| Line {
            at: SystemTime::now(),
            text: text.into(),
        };
        assert_eq!(
            line("(disk) (x) hello").source(),
            Some(("disk", "(x) hello"))
        );
        assert!(line("[stagegate] up").is("stagegate", "up"));
        assert_eq!(line("PASS x").words(), "PASS x");
        assert_eq!(line("(unfinished").source(), None);
    }

    #[test]
    fn silence_is_a_timeout() {
        let (_machine, mut console) = pair();
        assert_eq!(console.next(Instant::now()).unwrap_err(), End::TimedOut);
    }
}
