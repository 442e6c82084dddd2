//! The timeline as inline SVG pictures: all of it, a part of it, and close-ups.

use super::html::escape;
use crate::closeups::{Closeup, length};
use crate::timeline::{Lane, Mark, Span, Timeline};
use std::fmt::Write;
use std::ops::Range;

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 110.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;
/// Between rows of labels.
const LABELS: f64 = 15.0;
/// Of a letter in a label, generously.
const LETTER: f64 = 6.6;

/// A stretch of time and where it is drawn.
struct Frame {
    time: Range<u64>,
    left: f64,
    width: f64,
    row: f64,
    bar: f64,
}

impl Frame {
    fn x(&self, at_us: u64) -> f64 {
        let whole = (self.time.end - self.time.start).max(1) as f64;
        let at = at_us.clamp(self.time.start, self.time.end) - self.time.start;
        self.left + self.width * at as f64 / whole
    }

    fn shows(&self, span: &Span) -> bool {
        span.from_us < self.time.end && span.to_us > self.time.start
    }
}

/// Draws all lanes over a stretch of time, with the marks that fall into it, or
/// with one part in a light frame that is drawn by itself.
pub fn draw(timeline: &Timeline, time: Range<u64>, part: Option<Range<u64>>) -> String {
    let frame = Frame {
        time,
        left: LEFT,
        width: WIDTH - LEFT - 14.0,
        row: ROW,
        bar: BAR,
    };
    let marks: &[Mark] = if part.is_some() { &[] } else { &timeline.marks };
    let (labels, rows) = place(&frame, marks);
    let top = 12.0 + LABELS * rows as f64;
    let bottom = top + ROW * timeline.lanes.len() as f64;
    let mut out = open("States over time", WIDTH, bottom + 24.0);
    if let Some(part) = part {
        let (x, end) = (frame.x(part.start), frame.x(part.end));
        let _ = write!(
            out,
            r#"<rect class="part" x="{x:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="4"/>"#,
            top - 7.0,
            end - x + 3.0,
            bottom - top + 4.0
        );
    }
    axis(&mut out, &frame, 0, top - 4.0..bottom, 14.0);
    for (index, lane) in timeline.lanes.iter().enumerate() {
        row(&mut out, &frame, lane, top + ROW * index as f64);
    }
    for label in labels {
        let y = 12.0 + LABELS * label.row as f64;
        let x = frame.x(label.mark.at_us);
        let _ = write!(
            out,
            r#"<line class="mark" x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}"/><text class="marktext{}" x="{:.1}" y="{y:.1}">{}</text>"#,
            y - 9.0,
            if label.before { " before" } else { "" },
            if label.before { x - 4.0 } else { x + 4.0 },
            escape(&label.mark.label),
        );
    }
    out.push_str("</svg>");
    out
}

/// A label's place above the lanes.
struct Label<'m> {
    mark: &'m Mark,
    row: usize,
    /// Left of its line, since there is no room on the right.
    before: bool,
}

/// Finds rows for labels so that none covers another nor another's line, which
/// goes down from its own row: what stands lower must have ended before.
fn place<'m>(frame: &Frame, marks: &'m [Mark]) -> (Vec<Label<'m>>, usize) {
    let mut marks: Vec<&Mark> = marks
        .iter()
        .filter(|m| frame.time.contains(&m.at_us))
        .collect();
    marks.sort_by_key(|m| m.at_us);
    let mut ends: Vec<f64> = Vec::new();
    let mut labels = Vec::new();
    for mark in marks {
        let (x, wide) = (
            frame.x(mark.at_us),
            8.0 + LETTER * mark.label.chars().count() as f64,
        );
        let before = x + wide > frame.left + frame.width;
        let begin = if before { x - wide } else { x };
        let busy = ends.iter().rposition(|end| *end > begin);
        let row = busy.map_or(0, |at| at + 1);
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = if before { x + 2.0 } else { x + wide };
        labels.push(Label { mark, row, before });
    }
    (labels, ends.len())
}

/// Draws a close-up: the named stretch with a little before and after it.
pub fn close_up(closeup: &Closeup, lanes: &[&Lane]) -> String {
    const WIDE: f64 = 520.0;
    const ROW: f64 = 17.0;
    const TOP: f64 = 44.0;
    let stretch = closeup.to_us - closeup.from_us;
    let margin = (stretch / 4).max(10);
    let frame = Frame {
        time: closeup.from_us.saturating_sub(margin)..closeup.to_us + margin,
        left: 84.0,
        width: WIDE - 84.0 - 10.0,
        row: ROW,
        bar: 12.0,
    };
    let bottom = TOP + ROW * lanes.len() as f64;
    let mut out = open(&closeup.title, WIDE, bottom + 20.0);
    let title = escape(&closeup.title);
    let _ = write!(out, r#"<text class="title" x="0" y="13">{title}</text>"#);
    axis(&mut out, &frame, closeup.from_us, TOP - 2.0..bottom, 5.0);
    for (index, lane) in lanes.iter().enumerate() {
        row(&mut out, &frame, lane, TOP + ROW * index as f64);
    }
    let (x, end) = (frame.x(closeup.from_us), frame.x(closeup.to_us));
    let _ = write!(
        out,
        r#"<path class="bracket" d="M{x:.1} {0}V{1}H{end:.1}V{0}"/><text class="length" x="{2:.1}" y="26">{3}</text>"#,
        TOP - 5.0,
        TOP - 12.0,
        (x + end) / 2.0,
        length(stretch)
    );
    if let Some((at_us, name)) = &closeup.limit {
        let x = frame.x(*at_us);
        let _ = write!(
            out,
            r#"<line class="limit" x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{bottom}"/><text class="limittext" x="{}" y="13">┆ the delay of {} is over</text>"#,
            TOP - 12.0,
            WIDE - 10.0,
            escape(name)
        );
    }
    out.push_str("</svg>");
    out
}

fn open(name: &str, width: f64, height: f64) -> String {
    format!(
        r#"<svg viewBox="0 0 {width} {height:.0}" role="img" aria-label="{}">"#,
        escape(name)
    )
}

/// Lines of equal time, counted from `zero_us`.
fn axis(out: &mut String, frame: &Frame, zero_us: u64, y: Range<f64>, most: f64) {
    let span = (frame.time.end - frame.time.start) as f64;
    let steps = (0..9).flat_map(|power| [1, 2, 5].map(|n| n * 10_u64.pow(power)));
    let step = steps
        .into_iter()
        .find(|step| span / *step as f64 <= most)
        .unwrap_or(1_000_000_000);
    let mut at = frame.time.start.saturating_sub(zero_us).div_ceil(step) * step;
    while zero_us + at <= frame.time.end {
        let x = frame.x(zero_us + at);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{:.1}"/><text class="tick" x="{x:.1}" y="{:.1}">{}</text>"#,
            y.start,
            y.end,
            y.end + 15.0,
            tick(at, step)
        );
        at += step;
    }
}

fn tick(at: u64, step: u64) -> String {
    match step {
        _ if at == 0 => "0".into(),
        1_000_000.. => format!("{} s", at / 1_000_000),
        1_000.. if at >= 1_000_000 => format!("{} s", at as f64 / 1e6),
        1_000.. => format!("{} ms", at / 1_000),
        _ if at >= 1_000 => format!("{} ms", at as f64 / 1e3),
        _ => format!("{at} µs"),
    }
}

fn row(out: &mut String, frame: &Frame, lane: &Lane, top: f64) {
    let middle = top + frame.bar / 2.0 + 4.0;
    let (kind, name) = (lane.kind, escape(&lane.name));
    let _ = write!(
        out,
        r#"<text class="lane" x="{}" y="{middle:.1}">{name}</text>"#,
        frame.left - 10.0
    );
    for span in lane.spans.iter().filter(|s| frame.shows(s)) {
        let x = frame.x(span.from_us);
        let width = (frame.x(span.to_us) - x).max(1.0);
        let state = escape(&span.state);
        let _ = write!(
            out,
            r#"<rect class="s {kind} {state}" x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{}" rx="2"><title>{name}: {state}, {} from {:.6} s</title></rect>"#,
            frame.bar,
            length(span.to_us - span.from_us),
            span.from_us as f64 / 1e6
        );
        if frame.row == ROW && width > 9.0 * span.state.len() as f64 {
            let _ = write!(
                out,
                r#"<text class="in {kind} {state}" x="{:.1}" y="{middle:.1}">{state}</text>"#,
                x + width / 2.0,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(at: &[(u64, &str)]) -> Vec<Mark> {
        let marks = at.iter().map(|(at_us, label)| Mark {
            at_us: *at_us,
            label: label.to_string(),
        });
        marks.collect()
    }

    fn rows(at: &[(u64, &str)]) -> Vec<usize> {
        let frame = Frame {
            time: 0..1000,
            left: 0.0,
            width: 1000.0,
            row: ROW,
            bar: BAR,
        };
        place(&frame, &marks(at)).0.iter().map(|l| l.row).collect()
    }

    #[test]
    fn labels_that_would_touch_stand_below_one_another() {
        assert_eq!(rows(&[(0, "busy"), (500, "wake")]), [0, 0]);
        assert_eq!(rows(&[(0, "busy"), (10, "wake"), (20, "back")]), [0, 1, 2]);
        // The third has room in the first row, but its line would cross the second.
        assert_eq!(
            rows(&[(0, "busy"), (30, "one-idle-and-on"), (60, "wake")]),
            [0, 1, 2]
        );
        assert_eq!(rows(&[(0, "busy"), (10, "wake"), (500, "back")]), [0, 1, 0]);
    }

    #[test]
    fn a_label_at_the_right_edge_stands_before_its_line() {
        assert_eq!(rows(&[(960, "a-long-label"), (990, "another")]), [0, 1]);
    }

    #[test]
    fn ticks_name_round_times() {
        assert_eq!(tick(0, 5_000), "0");
        assert_eq!(tick(20_000, 5_000), "20 ms");
        assert_eq!(tick(30_000_000, 10_000_000), "30 s");
        assert_eq!(tick(200, 100), "200 µs");
    }
}
