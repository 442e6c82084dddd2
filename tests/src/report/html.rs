//! The page: one file, no outside reference, readable in light and dark.

use super::{Report, svg};
use crate::closeups::Closeup;
use crate::timeline::Timeline;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// Makes text safe inside HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The whole page.
pub fn page(report: &Report<'_>) -> String {
    let (passed, failed) = report.checks.count();
    let verdict = if report.passed() { "pass" } else { "fail" };
    let seconds = report.timeline.end_us as f64 / 1e6;
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Stagegate: {title}</title><style>{STYLE}</style></head><body>\
         <header><h1>Stagegate <small>{title}</small></h1>\
         <p class=\"badge {verdict}\">{verdict}</p>\
         <p class=\"sum\">{passed} checks passed, {failed} failed, {seconds:.1} s</p></header>\n",
        title = escape(&report.title),
    );
    cards(&mut out, report);
    pictures(&mut out, &report.timeline);
    powers(&mut out, report);
    checks(&mut out, report);
    let _ = writeln!(
        out,
        "<section><details><summary>Console, last {} lines</summary><pre>{}</pre></details></section></body></html>",
        report.console.len(),
        escape(&report.console.join("\n"))
    );
    out
}

fn cards(out: &mut String, report: &Report<'_>) {
    out.push_str("<section class=\"cards\">");
    for vm in &report.vms {
        let _ = write!(
            out,
            "<article><h3>{}</h3><p>Linux {}</p><p>booted {} ×, ended by {}</p></article>",
            escape(&vm.name),
            escape(&vm.kernel),
            vm.boots,
            escape(&vm.exit)
        );
    }
    for smmu in &report.smmus {
        let lane = &smmu.lane;
        let _ = write!(
            out,
            "<article><h3>{}</h3><p>on {:.2} s, gated {:.2} s</p><p>gated {} ×</p></article>",
            escape(&lane.name),
            lane.total_us("on") as f64 / 1e6,
            lane.total_us("gated") as f64 / 1e6,
            lane.entries("gated")
        );
    }
    out.push_str("</section>\n");
}

fn pictures(out: &mut String, timeline: &Timeline) {
    let end = timeline.end_us;
    let first = timeline.marks.iter().map(|m| m.at_us).min();
    let part = first.map(|first| first.saturating_sub(end / 100)..end);
    let _ = writeln!(
        out,
        "<section><h2>States over time</h2>{}{}</section>",
        svg::draw(timeline, 0..end, part.clone()),
        legend(timeline)
    );
    if let Some(part) = part {
        let _ = writeln!(
            out,
            "<section><h2>The framed part, in which devices sleep and wake</h2>{}</section>",
            svg::draw(timeline, part, None)
        );
    }
    let sleep = "Falling asleep: from the last master's idling to the stopped clock";
    close_ups(out, timeline, sleep, &timeline.sleeps);
    let wake = "Waking: from the clock to the first master";
    close_ups(out, timeline, wake, &timeline.wakes);
}

fn close_ups(out: &mut String, timeline: &Timeline, title: &str, all: &[Closeup]) {
    if all.is_empty() {
        return;
    }
    let lanes = timeline.lanes.iter().filter(|l| l.kind != "vm");
    let lanes: Vec<_> = lanes.collect();
    let _ = write!(out, "<section><h2>{title}</h2><div class=\"closeups\">");
    for closeup in all {
        out.push_str(&svg::close_up(closeup, &lanes));
    }
    out.push_str("</div></section>\n");
}

/// What the colours mean, in the order of their first use.
fn legend(timeline: &Timeline) -> String {
    let mut states: Vec<(&str, &str)> = Vec::new();
    for lane in &timeline.lanes {
        for span in &lane.spans {
            let state = (lane.kind, span.state.as_str());
            if !states.contains(&state) {
                states.push(state);
            }
        }
    }
    let items = states.iter().map(|(kind, state)| {
        let words = match (*kind, *state) {
            ("vm", state) => format!("VM {state}"),
            ("smmu", "idle") => "SMMU idle: on, the delay runs".into(),
            ("smmu", "gated") => "SMMU gated: its clock stands".into(),
            ("smmu", "deny") => "SMMU terminates everything".into(),
            ("smmu", state) => format!("SMMU {state}"),
            (_, state) => format!("master {state}"),
        };
        let (words, state) = (escape(&words), escape(state));
        format!("<li><i class=\"s {kind} {state}\"></i>{words}</li>")
    });
    format!("<ul class=\"legend\">{}</ul>", items.collect::<String>())
}

fn powers(out: &mut String, report: &Report<'_>) {
    if report.masters.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>Masters</h2><table><tr><th>master<th>VM<th>streams<th>active<th>idle<th>faults</tr>",
    );
    for master in &report.masters {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:x?}<td>{:.2} s<td>{:.2} s<td>{}</tr>",
            escape(&master.lane.name),
            escape(&master.vm),
            master.stream_ids,
            master.lane.total_us("active") as f64 / 1e6,
            master.lane.total_us("idle") as f64 / 1e6,
            master.faults
        );
    }
    out.push_str("</table></section>\n");
}

fn checks(out: &mut String, report: &Report<'_>) {
    out.push_str("<section><h2>Checks</h2><table><tr><th><th>id<th>what<th>evidence</tr>");
    for check in report.checks.all() {
        let (class, word) = if check.ok {
            ("pass", "pass")
        } else {
            ("fail", "FAIL")
        };
        let _ = write!(
            out,
            "<tr class=\"{class}\"><td class=\"v\">{word}<td>{}<td>{}<td class=\"e\">{}</tr>",
            escape(&check.id),
            escape(&check.what),
            escape(&check.evidence)
        );
    }
    out.push_str("</table></section>\n");
}
