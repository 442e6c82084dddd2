//! The serial line as people read it: complete lines, and the open one with
//! its cursor. Only what edits a single line is obeyed; a guest cannot reach
//! the rest of the operator's terminal.

/// Longest line kept open; a longer one is broken.
const LONGEST: usize = 4096;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Start,
    /// Within a control sequence, with its first number.
    Sequence(u16),
    /// Within a string (OSC, DCS), up to BEL or ESC.
    String,
}

/// The serial line.
#[derive(Debug, Default)]
pub struct Text {
    line: Vec<char>,
    cursor: usize,
    escape: Escape,
    /// The first bytes of a character.
    pending: Vec<u8>,
}

impl Text {
    /// Takes bytes and returns the lines they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            for c in self.decode(byte).chars() {
                if c == '\n' || self.line.len() >= LONGEST {
                    lines.push(self.take());
                }
                self.character(c);
            }
        }
        lines
    }

    /// The open line, and where in it the cursor stands.
    #[must_use]
    pub fn open(&self) -> (String, usize) {
        (self.line.iter().collect(), self.cursor)
    }

    /// Closes the open line.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        let line: String = self.line.drain(..).collect();
        line.trim_end().into()
    }

    /// Characters completed by this byte.
    fn decode(&mut self, byte: u8) -> String {
        self.pending.push(byte);
        match std::str::from_utf8(&self.pending) {
            Ok(text) => {
                let text = text.to_string();
                self.pending.clear();
                text
            }
            // More bytes of it may come.
            Err(error) if error.error_len().is_none() => String::new(),
            Err(_) => {
                let text = String::from_utf8_lossy(&self.pending).into_owned();
                self.pending.clear();
                text
            }
        }
    }

    fn character(&mut self, c: char) {
        self.escape = match (self.escape, c) {
            (_, '\x1b') => Escape::Start,
            (Escape::Start, '[') => Escape::Sequence(0),
            (Escape::Start, ']' | 'P' | '_' | '^') => Escape::String,
            (Escape::Sequence(n), '0'..='9') => {
                let digit = c.to_digit(10).unwrap_or(0) as u16;
                Escape::Sequence(n.saturating_mul(10).saturating_add(digit))
            }
            (Escape::Sequence(n), '\x20'..='?') => Escape::Sequence(n),
            (Escape::Sequence(n), _) => {
                self.sequence(n, c);
                Escape::None
            }
            (Escape::String, '\x07') | (Escape::Start, _) => Escape::None,
            (Escape::String, _) => Escape::String,
            (Escape::None, _) => {
                self.plain(c);
                Escape::None
            }
        };
    }

    fn plain(&mut self, c: char) {
        match c {
            '\r' => self.cursor = 0,
            '\x08' => self.cursor = self.cursor.saturating_sub(1),
            '\t' => {
                for _ in 0..8 - self.cursor % 8 {
                    self.put(' ');
                }
            }
            c if c.is_control() => {}
            c => self.put(c),
        }
    }

    fn put(&mut self, c: char) {
        if self.line.len() <= self.cursor {
            self.line.resize(self.cursor, ' ');
            self.line.push(c);
        } else if let Some(place) = self.line.get_mut(self.cursor) {
            *place = c;
        }
        self.cursor += 1;
    }

    /// Movements and deletions within a line, as shells' editors use them.
    fn sequence(&mut self, number: u16, last: char) {
        let count = usize::from(number.max(1));
        match last {
            'C' => self.cursor = (self.cursor + count).min(LONGEST),
            'D' => self.cursor = self.cursor.saturating_sub(count),
            'G' => self.cursor = count.saturating_sub(1).min(LONGEST),
            'J' | 'K' if number == 0 => self.line.truncate(self.cursor),
            'J' | 'K' if number == 2 => self.line.clear(),
            'P' => {
                let end = self.cursor.saturating_add(count).min(self.line.len());
                self.line.drain(self.cursor.min(end)..end);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> (String, usize) {
        let mut text = Text::default();
        assert!(text.feed(bytes).is_empty());
        text.open()
    }

    #[test]
    fn lines_come_when_they_end() {
        let mut text = Text::default();
        assert_eq!(text.feed(b"one\r\ntw"), ["one"]);
        assert_eq!(text.feed(b"o\n\nthr"), ["two", ""]);
        assert_eq!(text.open(), ("thr".into(), 3));
        assert_eq!(text.take(), "thr");
        assert_eq!(text.open(), (String::new(), 0));
    }

    #[test]
    fn a_shell_edits_its_line() {
        assert_eq!(open(b"# lx\x08s\x1b[J"), ("# ls".into(), 4));
        assert_eq!(open(b"# abc\x1b[2D"), ("# abc".into(), 3));
        assert_eq!(open(b"# abc\r\x1b[K$ "), ("$ ".into(), 2));
        assert_eq!(open(b"abcdef\x1b[3G\x1b[2P"), ("abef".into(), 2));
        assert_eq!(open(b"a\tb"), ("a       b".into(), 9));
        assert_eq!(open(b"\x1b[9999C!").1, LONGEST + 1);
    }

    #[test]
    fn nothing_reaches_the_terminal() {
        let hostile = b"\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b[?1049h\x1bcx\x07\x00";
        assert_eq!(open(hostile), ("redx".into(), 4));
    }

    #[test]
    fn characters_may_come_in_pieces() {
        let mut text = Text::default();
        text.feed(&[0xc3]);
        text.feed(&[0xa9, b'!', 0xff]);
        assert_eq!(text.open().0, "é!\u{fffd}");
    }

    #[test]
    fn an_endless_line_is_broken() {
        let mut text = Text::default();
        let lines = text.feed(&[b'x'; 3 * LONGEST]);
        assert_eq!(lines.len(), 2);
        assert!(text.open().0.len() <= LONGEST);
    }
}
