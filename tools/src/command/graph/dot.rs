//! Graphviz DOT.
use super::model::{Mark, Picture, Sort};
use std::fmt::Write;

pub(super) fn render(picture: &Picture) -> String {
    let mut out = String::from("digraph power {\n  rankdir=LR;\n  node [shape=box];\n");
    let _ = writeln!(out, "  label={:?};", picture.title);
    for (index, shape) in picture.shapes.iter().enumerate() {
        let style = match shape.sort {
            Sort::Supplier => "shape=ellipse",
            Sort::Smmu => "style=bold",
            Sort::Tbu => "style=dashed",
            Sort::Master => "style=solid",
            Sort::Vm => "style=rounded",
        };
        let colour = match shape.mark {
            Mark::Fine => "",
            Mark::Bad => ", color=red",
            Mark::Off => ", color=gray, fontcolor=gray",
        };
        let lines = [&shape.title, &shape.note, &shape.more];
        let lines = lines.into_iter().filter(|line| !line.is_empty());
        let text = lines.cloned().collect::<Vec<_>>().join("\n");
        let _ = writeln!(out, "  n{index} [label={text:?}, {style}{colour}];");
    }
    for link in &picture.links {
        let _ = writeln!(out, "  n{} -> n{};", link.from, link.to);
    }
    out.push_str("}\n");
    out
}
