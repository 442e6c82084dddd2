//! SVG, laid out in columns. One box is as high as its row, so that a board
//! with eighty masters stays readable by scrolling.
use super::model::{Picture, Shape, Sort};
use std::collections::BTreeMap;
use std::fmt::Write;

const BOX_WIDTH: usize = 230;
const BOX_HEIGHT: usize = 36;
const ROW: usize = 46;
const COLUMN: usize = 330;
const MARGIN: usize = 20;
const HEAD: usize = 56;

const STYLE: &str = "\
text{font:12px sans-serif;fill:#222}\
.note{font-size:10px;fill:#666}\
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
path{fill:none;stroke:#999;stroke-width:1.2}";

/// Where a box stands: column and row.
type Places = Vec<(usize, usize)>;

pub(super) fn render(picture: &Picture) -> String {
    let (places, columns, rows) = places(picture);
    let width = columns * COLUMN + BOX_WIDTH + 2 * MARGIN;
    let height = HEAD + rows * ROW + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"26\">{0}</text>\n",
        escape(&picture.title)
    );
    links(&mut out, picture, &places);
    heads(&mut out, picture);
    for (shape, &(column, row)) in picture.shapes.iter().zip(&places) {
        shape_box(&mut out, shape, x(column), y(row));
    }
    out.push_str("</svg>\n");
    out
}

const fn x(column: usize) -> usize {
    MARGIN + column * COLUMN
}

const fn y(row: usize) -> usize {
    HEAD + MARGIN + row * ROW
}

/// Places boxes column by column, each near what it is linked to, so that
/// links cross little: first from the left to find an order, then from the
/// right to level suppliers with what they supply.
fn places(picture: &Picture) -> (Places, usize, usize) {
    let last = picture.shapes.iter().map(|s| s.column).max().unwrap_or(0);
    let mut places: Places = vec![(0, 0); picture.shapes.len()];
    for column in 0..=last {
        let near = |index: usize, places: &Places| {
            let above = picture.links.iter().filter(|l| l.to == index);
            above.filter_map(|l| places.get(l.from)).map(|p| p.1).min()
        };
        let order = members(picture, column, |i| near(i, &places).unwrap_or(usize::MAX));
        stack(
            &mut places,
            column,
            order.into_iter().map(|(_, index)| (0, index)),
        );
    }
    for column in (0..last).rev() {
        let level = |index: usize, places: &Places| {
            let below = picture.links.iter().filter(|l| l.from == index);
            let rows: Vec<usize> = below
                .filter_map(|l| places.get(l.to))
                .map(|p| p.1)
                .collect();
            let own = places.get(index).map_or(0, |p| p.1);
            rows.iter()
                .sum::<usize>()
                .checked_div(rows.len())
                .unwrap_or(own)
        };
        let order = members(picture, column, |i| level(i, &places));
        stack(&mut places, column, order.into_iter());
    }
    let rows = places.iter().map(|p| p.1 + 1).max().unwrap_or(1);
    (places, last, rows)
}

/// The boxes of a column with a key each, in order of the keys.
fn members(picture: &Picture, column: usize, key: impl Fn(usize) -> usize) -> Vec<(usize, usize)> {
    let shapes = picture
        .shapes
        .iter()
        .enumerate()
        .filter(|(_, s)| s.column == column);
    let mut list: Vec<(usize, usize)> = shapes.map(|(index, _)| (key(index), index)).collect();
    list.sort_unstable();
    list
}

/// Gives each box the row it wants, or the next free one below.
fn stack(places: &mut Places, column: usize, order: impl Iterator<Item = (usize, usize)>) {
    let mut free = 0;
    for (wanted, index) in order {
        let row = free.max(wanted);
        if let Some(place) = places.get_mut(index) {
            *place = (column, row);
        }
        free = row + 1;
    }
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
            "<text class=\"head\" x=\"{}\" y=\"{}\">{head}</text>",
            x(column),
            HEAD
        );
    }
}

fn links(out: &mut String, picture: &Picture, places: &Places) {
    for link in &picture.links {
        let (Some(&from), Some(&to)) = (places.get(link.from), places.get(link.to)) else {
            continue;
        };
        let (x1, y1) = (x(from.0) + BOX_WIDTH, y(from.1) + BOX_HEIGHT / 2);
        let (x2, y2) = (x(to.0), y(to.1) + BOX_HEIGHT / 2);
        let middle = x1.midpoint(x2);
        let _ = writeln!(
            out,
            "<path d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
        );
    }
}

fn shape_box(out: &mut String, shape: &Shape, x: usize, y: usize) {
    let class = match shape.sort {
        Sort::Supplier => "supplier",
        Sort::Smmu => "smmu",
        Sort::Tbu => "tbu",
        Sort::Master => "master",
        Sort::Vm => "vm",
    };
    let bad = if shape.fine { "" } else { " bad" };
    let _ = write!(
        out,
        "<g class=\"{class}{bad}\"><title>{} {}</title>\
         <rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"5\"/>\
         <text x=\"{}\" y=\"{}\">{}</text>",
        escape(&shape.title),
        escape(&shape.note),
        x + 8,
        y + 15,
        escape(&cut(&shape.title, 34)),
    );
    let note = escape(&cut(&shape.note, 40));
    let _ = writeln!(
        out,
        "<text class=\"note\" x=\"{}\" y=\"{}\">{note}</text></g>",
        x + 8,
        y + 29
    );
}

/// At most `limit` characters; the full text is in the tooltip.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.into();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

fn escape(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;")
}
