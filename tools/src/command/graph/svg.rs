//! SVG, laid out in columns and drawn to be scrolled: boxes keep their size
//! however many there are.
use super::layout::{Band, Layout, PITCH};
use super::legend;
use super::model::{Mark, Picture, Shape, Sort};
use std::collections::BTreeMap;
use std::fmt::Write;

const BOX_WIDTH: usize = 230;
const BOX_HEIGHT: usize = 40;
/// Pixels of a unit of height.
const UNIT: usize = 24;
const COLUMN: usize = 320;
pub(super) const MARGIN: usize = 20;
const HEAD: usize = 56;
/// Space left and right of a text in its box.
const PADDING: usize = 8;

/// Sizes of text in pixels.
const TITLE: usize = 12;
const NOTE: usize = 10;

const STYLE: &str = "\
text{font:12px sans-serif;fill:#222}\
.note{font-size:10px;fill:#555}\
.title{font-size:16px;font-weight:bold}\
.head{font-weight:bold;fill:#555}\
rect{stroke:#555;stroke-width:1.2}\
.supplier rect{fill:#fff3d6}\
.smmu rect{fill:#d9e8fb;stroke-width:2}\
.tbu rect{fill:#eef5fd;stroke-dasharray:4 2}\
.master rect{fill:#e3f4e1}\
.vm rect{fill:#f1e4f7}\
.bad rect{stroke:#c22;stroke-width:2}\
.bad .note{fill:#c22}\
.off rect{fill:#f4f4f4;stroke:#999}\
.off text{fill:#777}\
rect.band{fill:#f6f8fb;stroke:#dde3ea}\
rect.paper{fill:#fff;stroke:none}\
path{fill:none;stroke:#888;stroke-width:1.2}";

pub(super) fn render(picture: &Picture) -> String {
    let layout = Layout::of(picture);
    let width = (x(layout.columns) + BOX_WIDTH).max(legend::WIDTH) + MARGIN;
    let below = y(layout.height) + MARGIN;
    let height = below + legend::HEIGHT + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"26\">{0}</text>\n",
        escape(&picture.title)
    );
    layout.bands.iter().for_each(|each| band(&mut out, each));
    links(&mut out, picture, &layout);
    heads(&mut out, picture);
    for (shape, place) in picture.shapes.iter().zip(&layout.places) {
        shape_box(&mut out, shape, x(place.column), y(place.top));
    }
    legend::draw(&mut out, below);
    out.push_str("</svg>\n");
    out
}

const fn x(column: usize) -> usize {
    MARGIN + column * COLUMN
}

const fn y(units: usize) -> usize {
    HEAD + MARGIN + units * UNIT
}

fn band(out: &mut String, band: &Band) {
    const AROUND: usize = (UNIT * PITCH - BOX_HEIGHT) / 2;
    let (left, right) = (x(band.columns.0), x(band.columns.1) + BOX_WIDTH);
    let (top, bottom) = (y(band.rows.0), y(band.rows.1));
    let _ = writeln!(
        out,
        "<rect class=\"band\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
        left - 12,
        top - AROUND,
        right - left + 24,
        bottom - top
    );
}

fn heads(out: &mut String, picture: &Picture) {
    let mut heads: BTreeMap<usize, &str> = BTreeMap::new();
    for shape in &picture.shapes {
        heads.entry(shape.column).or_insert(match shape.sort {
            Sort::Supplier => "suppliers",
            Sort::Smmu => "SMMUs",
            Sort::Tbu => "TBUs",
            Sort::Master => "masters",
            Sort::Vm => "VMs",
        });
    }
    for (column, head) in heads {
        let _ = writeln!(
            out,
            "<text class=\"head\" x=\"{}\" y=\"{HEAD}\">{head}</text>",
            x(column)
        );
    }
}

fn links(out: &mut String, picture: &Picture, layout: &Layout) {
    for link in &picture.links {
        let (Some(from), Some(to)) = (layout.places.get(link.from), layout.places.get(link.to))
        else {
            continue;
        };
        let (x1, y1) = (x(from.column) + BOX_WIDTH, y(from.top) + BOX_HEIGHT / 2);
        let (x2, y2) = (x(to.column), y(to.top) + BOX_HEIGHT / 2);
        // All of the bend is in the gap before the consumer: in the columns
        // between, a link runs level.
        let bend = x2.saturating_sub(COLUMN - BOX_WIDTH);
        let middle = bend.midpoint(x2);
        let _ = writeln!(
            out,
            "<path d=\"M{x1} {y1}H{bend}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
        );
    }
}

fn shape_box(out: &mut String, shape: &Shape, x: usize, y: usize) {
    let kind = class(shape.sort);
    let full = [kind, &shape.title, &shape.note, &shape.more].join(" ");
    let _ = write!(
        out,
        "<g class=\"{kind}{}\"><title>{}</title>\
         <rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"5\"/>",
        mark(shape.mark),
        escape(full.trim_end()),
    );
    let notes = [shape.note.as_str(), &shape.more].into_iter();
    let notes: Vec<&str> = notes.filter(|line| !line.is_empty()).collect();
    let lines: &[usize] = match notes.len() {
        0 => &[24],
        1 => &[16, 31],
        _ => &[13, 24, 35],
    };
    let sizes = [
        (TITLE, ""),
        (NOTE, " class=\"note\""),
        (NOTE, " class=\"note\""),
    ];
    let texts = [shape.title.as_str()].into_iter().chain(notes);
    for ((text, line), (size, class)) in texts.zip(lines).zip(sizes) {
        let _ = write!(
            out,
            "<text{class} x=\"{}\" y=\"{}\">{}</text>",
            x + PADDING,
            y + line,
            escape(&cut(text, size, BOX_WIDTH - 2 * PADDING))
        );
    }
    out.push_str("</g>\n");
}

pub(super) const fn class(sort: Sort) -> &'static str {
    match sort {
        Sort::Supplier => "supplier",
        Sort::Smmu => "smmu",
        Sort::Tbu => "tbu",
        Sort::Master => "master",
        Sort::Vm => "vm",
    }
}

pub(super) const fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Fine => "",
        Mark::Bad => " bad",
        Mark::Off => " off",
    }
}

/// Width of a text in tenths of a pixel, in a wide sans-serif font.
fn measure(text: &str, size: usize) -> usize {
    let hundredths = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '\'' | '/' | '(' | ')' | ' ' => 40,
        'm' | 'w' | 'M' | 'W' | '@' | '…' => 100,
        c if c.is_ascii_uppercase() => 78,
        _ => 64,
    };
    text.chars().map(hundredths).sum::<usize>() * size / 10
}

/// As much of the text as fits, with the address that ends a node's name; all
/// of it is in the tooltip.
fn cut(text: &str, size: usize, width: usize) -> String {
    if measure(text, size) <= width * 10 {
        return text.into();
    }
    let address = text.rfind('@').filter(|&at| text.len() - at <= 10);
    let (mut short, end) = text.split_at(address.unwrap_or(text.len()));
    while measure(&format!("{short}…{end}"), size) > width * 10 {
        let Some((at, _)) = short.char_indices().last() else {
            break;
        };
        short = &short[..at];
    }
    format!("{}…{end}", short.trim_end_matches([' ', ',', ';']))
}

pub(super) fn escape(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;")
}
