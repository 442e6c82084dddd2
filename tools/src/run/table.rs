//! How the power view looks: a few lines of at most the terminal's width.
use super::power::{Power, State, VmState};
use std::fmt::Write;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colours.
    pub colour: bool,
    /// More than ASCII.
    pub unicode: bool,
}

/// Plain text.
pub const PLAIN: Style = Style {
    colour: false,
    unicode: false,
};

/// Colours by their SGR number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// The terminal's own.
    None = 0,
    /// Bold.
    Bold = 1,
    /// Faint.
    Faint = 2,
    /// Red.
    Red = 31,
    /// Green.
    Green = 32,
    /// Yellow.
    Yellow = 33,
    /// Blue.
    Blue = 34,
    /// Magenta.
    Magenta = 35,
    /// Cyan.
    Cyan = 36,
}

/// A line that knows its width and stops at a limit.
struct Row {
    text: String,
    left: usize,
    style: Style,
}

impl Row {
    fn new(width: usize, style: Style) -> Self {
        Self {
            text: String::new(),
            left: width,
            style,
        }
    }

    fn put(mut self, colour: Colour, text: &str) -> Self {
        let text: String = text.chars().take(self.left).collect();
        self.left -= text.chars().count();
        self.text += &paint(self.style, colour, &text);
        self
    }

    /// In a column of `width` and a gap; too long a text is cut.
    fn cell(self, colour: Colour, text: &str, width: usize) -> Self {
        let cut: String = text.chars().take(width).collect();
        self.put(colour, &format!("{cut:<width$} "))
    }

    fn right(self, text: &str, width: usize) -> Self {
        self.put(Colour::None, &format!("{text:>width$} "))
    }
}

/// A text in a colour, if the terminal has any.
#[must_use]
pub fn paint(style: Style, colour: Colour, text: &str) -> String {
    match (style.colour, colour) {
        (false, _) | (_, Colour::None) => text.into(),
        _ => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
    }
}

const NAME: usize = 18;
const STATE: usize = 6;
const TIME: usize = 6;

/// Columns for the holders: a wider terminal shows more of them, and more past.
fn held(width: usize) -> usize {
    14 + (width.saturating_sub(80) / 2).min(26)
}

/// The holders, or the first and how many more, where not all have room.
fn names(holders: &[&str], width: usize) -> String {
    let all = holders.join(", ");
    match holders {
        [first, more @ ..] if all.chars().count() > width && !more.is_empty() => {
            let more = format!(" +{}", more.len());
            let room = width.saturating_sub(more.len());
            first.chars().take(room).chain(more.chars()).collect()
        }
        _ => all,
    }
}

/// The table at the moment `now`, of lines no longer than `width`.
#[must_use]
pub fn lines(power: &Power, now: u64, width: usize, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let held = held(width);
    let head = Row::new(width, style)
        .put(
            Colour::Bold,
            &format!("{:NAME$} {:STATE$} {:held$} ", "SMMU", "state", "held by"),
        )
        .put(
            Colour::Bold,
            &format!("{:>TIME$} {:>TIME$} {:>TIME$} ", "on", "idle", "gated"),
        )
        .put(Colour::Bold, "wakes  last minute");
    lines.push(head.text);
    for index in 0..power.units.len() {
        lines.extend(unit(power, index, now, width, style));
    }
    let head = Row::new(width, style)
        .put(
            Colour::Bold,
            &format!("{:NAME$} {:STATE$} {:held$} ", "master", "state", "of"),
        )
        .put(
            Colour::Bold,
            &format!("{:>TIME$} {:>TIME$} {:>TIME$}", "active", "idle", "faults"),
        );
    lines.push(head.text);
    for index in 0..power.masters.len() {
        lines.extend(master(power, index, now, width, style));
    }
    lines
}

fn unit(power: &Power, index: usize, now: u64, width: usize, style: Style) -> Option<String> {
    let (unit, its) = (power.layout.units.get(index)?, power.units.get(index)?);
    let holders: Vec<&str> = power.holders(index).collect();
    let times = its.times(now);
    let colour = match its.state {
        State::On => Colour::Green,
        State::Idle => Colour::Yellow,
        State::Gated => Colour::Faint,
    };
    let mut row = Row::new(width, style)
        .cell(Colour::None, &unit.name, NAME)
        .cell(colour, its.state.name(), STATE)
        .cell(Colour::None, &names(&holders, held(width)), held(width));
    for time in [times.on, times.idle, times.gated] {
        row = row.right(&seconds(time), TIME);
    }
    if unit.gate.is_none() {
        return Some(row.put(Colour::Faint, "always on").text);
    }
    let row = row.right(&its.wakes.to_string(), 5).put(Colour::None, " ");
    let cells = row.left.min(30);
    let strip = its.strip(now, 60_000_000 / cells.max(1) as u64, cells);
    Some(row.put(colour, &bars(&strip, style)).text)
}

fn master(power: &Power, index: usize, now: u64, width: usize, style: Style) -> Option<String> {
    let (master, its) = (power.layout.masters.get(index)?, power.masters.get(index)?);
    let (colour, word) = match its.active {
        Some(true) => (Colour::Green, "active"),
        Some(false) => (Colour::Faint, "idle"),
        None => (Colour::None, "-"),
    };
    let mut row = Row::new(width, style)
        .cell(Colour::None, &master.name, NAME)
        .cell(colour, word, STATE)
        .cell(Colour::None, &master.vm, held(width));
    let times = its.times(now);
    for time in [times.map(|t| t.on), times.map(|t| t.idle)] {
        row = row.right(&time.map_or("-".into(), seconds), TIME);
    }
    let faults = its.faults.map_or("-".into(), |f| f.to_string());
    Some(row.right(&faults, TIME).text)
}

/// Parts from 0 to 1 as bars.
fn bars(parts: &[f64], style: Style) -> String {
    const UNICODE: [char; 9] = ['_', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 4] = ['_', '.', 'o', '#'];
    let signs: &[char] = if style.unicode { &UNICODE } else { &ASCII };
    let last = signs.len() - 1;
    let sign = |part: &f64| {
        // Whatever is not nothing is shown.
        let step = (part * last as f64).ceil() as usize;
        signs.get(step.min(last)).copied().unwrap_or(' ')
    };
    parts.iter().map(sign).collect()
}

/// A time in at most six characters.
fn seconds(us: u64) -> String {
    let s = us / 1_000_000;
    match s {
        0..100 => format!("{s}.{}s", us / 100_000 % 10),
        100..1000 => format!("{s}s"),
        1000..36000 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s / 60 % 60),
    }
}

/// The line above the table: who runs, since when, and the keys.
#[must_use]
pub fn title(power: &Power, since_us: u64, keys: &str, width: usize, style: Style) -> String {
    let dash = if style.unicode { "─" } else { "-" };
    let mut said = format!("{dash}{dash} {}", clock(since_us));
    for (name, state) in power.layout.vms.iter().zip(&power.vms) {
        let word = match state {
            VmState::Silent => "starting",
            VmState::Running => "running",
            VmState::Off => "off",
            VmState::Crashed => "crashed",
        };
        let _ = write!(said, ", {name} {word}");
    }
    let _ = write!(said, " {dash}{dash} {keys} ");
    let row = Row::new(width, style).put(Colour::Cyan, &said);
    let rest = dash.repeat(row.left);
    row.put(Colour::Cyan, &rest).text
}

fn clock(us: u64) -> String {
    let s = us / 1_000_000;
    format!("{:02}:{:02}", s / 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::super::power::tests::{RUN, after};
    use super::*;

    const UNICODE: Style = Style {
        colour: false,
        unicode: true,
    };

    #[test]
    fn holders_without_room_are_counted() {
        assert_eq!(names(&["disk-one", "nic"], 14), "disk-one, nic");
        assert_eq!(names(&["disk-one", "disk-two"], 14), "disk-one +1");
        assert_eq!(names(&["a-very-long-name", "b", "c"], 14), "a-very-long +2");
        assert_eq!(names(&["a-very-long-name"], 14), "a-very-long-name");
        assert_eq!(names(&[], 14), "");
    }

    #[test]
    fn the_table() {
        let (mut power, _) = after(RUN);
        power.hear("disk", "hello");
        power.hear("stagegate", "@sg master nvme vm=disk faults=2");
        let now = 61_000_000;
        let mut shown = vec![title(&power, 60_000_000, "Ctrl-c ends", 80, UNICODE)];
        shown.extend(lines(&power, now, 80, UNICODE));
        let expected = "\
── 01:00, disk running, nic starting ── Ctrl-c ends ────────────────────────────
SMMU               state  held by            on   idle  gated wakes  last minute
smmuv3@9050000     gated                   0.9s   1.3s  57.8s     2  ▄__________
tbu                gated                   0.0s   0.0s  60.0s     0  ___________
iommu@1            on     dma             60.0s   0.0s   0.0s always on
master             state  of             active   idle faults
nvme               idle   disk             0.9s  59.1s      2
igb                idle   nic              0.0s  60.0s      -
dma                -      nic                 -      -      -";
        let shown: Vec<&str> = shown.iter().map(|l| l.trim_end()).collect();
        assert_eq!(shown.join("\n"), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let (power, _) = after(RUN);
        let colour = Style {
            colour: true,
            unicode: true,
        };
        for width in 0..120 {
            let plain = lines(&power, 9_000_000, width, PLAIN);
            assert!(plain.iter().all(|l| l.chars().count() <= width));
            for (plain, coloured) in plain.iter().zip(lines(&power, 9_000_000, width, colour)) {
                let mut text = super::super::text::Text::default();
                text.feed(coloured.as_bytes());
                assert_eq!(text.open().0.chars().count(), plain.chars().count());
            }
        }
    }

    #[test]
    fn times_fit_their_column() {
        let shown = [0, 1_250_000, 99_900_000, 100_000_000, 4_000_000_000];
        let shown = shown.map(seconds);
        assert_eq!(shown, ["0.0s", "1.2s", "99.9s", "100s", "66m40s"]);
        assert_eq!(seconds(90_000_000_000), "25h00m");
        assert_eq!(bars(&[0.0, 0.01, 0.5, 1.0], PLAIN), "_.o#");
    }
}
