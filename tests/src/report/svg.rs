//! The timeline as an inline SVG picture.

use super::html::escape;
use crate::timeline::{Lane, Timeline};
use std::fmt::Write;

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 150.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;
const TOP: f64 = 28.0;

/// Draws all lanes on one time axis.
pub fn draw(timeline: &Timeline) -> String {
    let height = TOP + ROW * timeline.lanes.len() as f64 + 26.0;
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="States over time">"#
    );
    axis(&mut out, timeline, height - 24.0);
    for (index, lane) in timeline.lanes.iter().enumerate() {
        row(&mut out, timeline, lane, TOP + ROW * index as f64);
    }
    for mark in &timeline.marks {
        let x = position(timeline, mark.at_us);
        let label = escape(&mark.label);
        let _ = write!(
            out,
            r#"<line class="mark" x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{:.0}"/><text class="marktext" x="{:.1}" y="16">{label}</text>"#,
            TOP - 6.0,
            height - 24.0,
            x + 3.0
        );
    }
    out.push_str("</svg>");
    out
}

fn position(timeline: &Timeline, at_us: u64) -> f64 {
    let whole = timeline.end_us.max(1) as f64;
    LEFT + (WIDTH - LEFT - 10.0) * (at_us as f64 / whole).min(1.0)
}

fn axis(out: &mut String, timeline: &Timeline, bottom: f64) {
    let seconds = timeline.end_us as f64 / 1e6;
    let step = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0]
        .into_iter()
        .find(|step| seconds / step <= 16.0)
        .unwrap_or(120.0);
    let mut at = 0.0;
    while at <= seconds {
        let x = position(timeline, (at * 1e6) as u64);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}"/><text class="tick" x="{x:.1}" y="{}">{at} s</text>"#,
            bottom + 16.0
        );
        at = ((at + step) * 10.0).round() / 10.0;
    }
}

fn row(out: &mut String, timeline: &Timeline, lane: &Lane, top: f64) {
    let middle = top + BAR / 2.0 + 4.5;
    let _ = write!(
        out,
        r#"<text class="lane" x="{}" y="{middle}">{}</text>"#,
        LEFT - 12.0,
        escape(&lane.name)
    );
    for span in &lane.spans {
        let (x, end) = (
            position(timeline, span.from_us),
            position(timeline, span.to_us),
        );
        let width = (end - x).max(1.0);
        let state = escape(&span.state);
        let length = (span.to_us - span.from_us) as f64 / 1e3;
        let _ = write!(
            out,
            r#"<rect class="s {state}" x="{x:.1}" y="{top}" width="{width:.1}" height="{BAR}" rx="2"><title>{}: {state}, {length:.1} ms from {:.3} s</title></rect>"#,
            escape(&lane.name),
            span.from_us as f64 / 1e6
        );
        if width > 9.0 * span.state.len() as f64 {
            let _ = write!(
                out,
                r#"<text class="in {state}" x="{:.1}" y="{:.1}">{state}</text>"#,
                x + width / 2.0,
                middle - 1.0
            );
        }
    }
}
