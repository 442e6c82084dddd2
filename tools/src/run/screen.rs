//! Lines that scroll, above an area that is drawn again and again. The cursor
//! rests in the first line of that area, the console's open line; so erasing
//! it is erasing all below the cursor.
use std::collections::VecDeque;
use std::fmt::Write;

/// Lines kept to paint the screen anew.
const KEPT: usize = 300;
/// Terminals that know it show a frame at once; others ignore it.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
const ERASE: &str = "\r\x1b[J";
/// A line too long for a terminal that has just shrunk must not wrap.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// The screen of the operator's terminal.
#[derive(Debug)]
pub struct Screen {
    rows: usize,
    columns: usize,
    kept: VecDeque<String>,
    /// How many of the kept have not been shown.
    fresh: usize,
    repaint: bool,
}

impl Screen {
    /// A screen of this size, whose cursor is at the start of a line.
    #[must_use]
    pub fn new((rows, columns): (usize, usize)) -> Self {
        Self {
            rows,
            columns,
            kept: VecDeque::new(),
            fresh: 0,
            repaint: false,
        }
    }

    /// Columns.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The terminal has another size. Where its old contents stand now depends
    /// on the terminal: the next frame paints all of them anew.
    pub fn resize(&mut self, (rows, columns): (usize, usize)) {
        (self.rows, self.columns) = (rows, columns);
        self.repaint = true;
    }

    /// Adds a line that scrolls.
    pub fn print(&mut self, line: String) {
        self.kept.push_back(line);
        self.fresh += 1;
        if self.kept.len() > KEPT && self.fresh < self.kept.len() {
            self.kept.pop_front();
        }
    }

    /// What to write for new lines, the open line with its cursor, and the area
    /// below it.
    #[must_use]
    pub fn frame(&mut self, (open, cursor): (&str, usize), area: &[String]) -> String {
        let mut out = String::from(BEGIN);
        let fits = self.rows.saturating_sub(2).min(area.len());
        let first = if std::mem::take(&mut self.repaint) {
            out += "\x1b[H\x1b[2J";
            self.kept
                .len()
                .saturating_sub(self.rows.saturating_sub(fits + 1))
        } else {
            out += ERASE;
            self.kept.len() - self.fresh
        };
        for line in self.kept.range(first..) {
            let _ = write!(out, "{line}\r\n");
        }
        self.fresh = 0;
        // Of a line too long, the part with the cursor.
        let room = self.columns.saturating_sub(1).max(1);
        let skip = cursor.saturating_sub(room - 1);
        out.extend(open.chars().skip(skip).take(room));
        out += NO_WRAP;
        for line in area.iter().take(fits) {
            let _ = write!(out, "\r\n{line}");
        }
        out += WRAP;
        if fits > 0 {
            let _ = write!(out, "\x1b[{fits}A");
        }
        out.push('\r');
        if cursor > skip {
            let _ = write!(out, "\x1b[{}C", cursor - skip);
        }
        out += END;
        out
    }

    /// What to write last: lines still due, and nothing left below.
    #[must_use]
    pub fn leave(&mut self) -> String {
        let mut out = String::from(ERASE);
        let first = self.kept.len() - self.fresh;
        for line in self.kept.range(first..) {
            let _ = write!(out, "{line}\r\n");
        }
        self.fresh = 0;
        out + RESTORE
    }
}

/// Undoes whatever a frame that was cut short has changed.
pub const RESTORE: &str = "\x1b[?2026l\x1b[?7h\x1b[0m\r\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZero;

    fn some(size: u16) -> NonZero<u16> {
        NonZero::new(size).unwrap()
    }

    struct Seen {
        screen: Screen,
        terminal: vt100::Parser,
    }

    impl Seen {
        fn new(rows: u16, columns: u16) -> Self {
            Self {
                screen: Screen::new((rows.into(), columns.into())),
                terminal: vt100::Parser::new(some(rows), some(columns), 100),
            }
        }

        fn frame(&mut self, open: &str, area: &[&str]) -> String {
            let area: Vec<String> = area.iter().map(ToString::to_string).collect();
            let frame = self.screen.frame((open, open.len()), &area);
            self.terminal.process(frame.as_bytes());
            self.terminal.screen().contents()
        }
    }

    #[test]
    fn lines_scroll_above_the_area() {
        let mut seen = Seen::new(6, 20);
        seen.screen.print("one".into());
        assert_eq!(seen.frame("# ls", &["A", "B"]), "one\n# ls\nA\nB");
        assert_eq!(seen.terminal.screen().cursor_position(), (1, 4));
        for word in ["two", "three", "four", "five"] {
            seen.screen.print(word.into());
        }
        assert_eq!(seen.frame("", &["A2", "B"]), "three\nfour\nfive\n\nA2\nB");
        seen.screen.print("x".repeat(30));
        let wrapped = format!("five\n{}\n{}\n\nA3\nB", "x".repeat(20), "x".repeat(10));
        // An emulator joins what it has wrapped itself.
        let shown = seen.frame("", &["A3", "B"]).replace(&"x".repeat(30), &{
            format!("{}\n{}", "x".repeat(20), "x".repeat(10))
        });
        assert_eq!(shown, wrapped);
    }

    #[test]
    fn a_resize_paints_anew() {
        let mut seen = Seen::new(8, 40);
        for number in 0..20 {
            seen.screen.print(format!("line {number}"));
        }
        seen.frame("# ", &["----------------------------------------", "B"]);
        for (rows, columns) in [(5, 10), (12, 30), (3, 4), (8, 40)] {
            seen.terminal
                .screen_mut()
                .set_size(some(rows), some(columns));
            seen.screen.resize((rows.into(), columns.into()));
            let dashes = "-".repeat(columns.into());
            let shown = seen.frame("# ", &[&dashes, "B"]);
            let area = usize::from(rows).saturating_sub(2).min(2);
            let lines: Vec<&str> = shown.lines().collect();
            assert_eq!(lines.len(), usize::from(rows), "{shown}");
            assert_eq!(lines[lines.len() - area], dashes, "{shown}");
            assert_eq!(shown.matches('B').count(), area - 1, "{shown}");
        }
        assert!(seen.terminal.screen().contents().starts_with("line 15\n"));
    }

    #[test]
    fn nothing_is_left_below() {
        let mut seen = Seen::new(6, 20);
        seen.frame("half", &["A", "B"]);
        seen.screen.print("half".into());
        let end = seen.screen.leave();
        seen.terminal.process(end.as_bytes());
        assert_eq!(seen.terminal.screen().contents().trim_end(), "half");
        assert_eq!(seen.terminal.screen().cursor_position(), (1, 0));
    }

    #[test]
    fn of_a_long_open_line_the_cursor_is_seen() {
        let mut seen = Seen::new(4, 10);
        assert_eq!(seen.frame("0123456789abcdef", &["A"]), "89abcdef\nA");
        assert_eq!(seen.terminal.screen().cursor_position(), (0, 8));
    }
}
