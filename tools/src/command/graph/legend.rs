//! What the picture's boxes and colours mean.
use super::model::{Mark, Sort};
use super::svg::{MARGIN, class, escape, mark};
use std::fmt::Write;

const ENTRIES: [(Sort, Mark, &str); 7] = [
    (
        Sort::Supplier,
        Mark::Fine,
        "supplier of clocks, power or lines: on before what it is linked to",
    ),
    (
        Sort::Smmu,
        Mark::Fine,
        "SMMU: “gate” is from the last activity to its clocks stopping, “off” to its power going",
    ),
    (
        Sort::Tbu,
        Mark::Fine,
        "TBU: a part of its SMMU that has supplies of its own",
    ),
    (
        Sort::Master,
        Mark::Fine,
        "master: its stream ids (id/mask), and what tells that it is active",
    ),
    (
        Sort::Vm,
        Mark::Fine,
        "VM: what is linked to it is given to it",
    ),
    (
        Sort::Master,
        Mark::Bad,
        "does not come up, or bypasses its SMMU: the text says why",
    ),
    (Sort::Master, Mark::Off, "disabled in the tree"),
];

const LINE: usize = 20;

/// Height of the legend in pixels.
pub(super) const HEIGHT: usize = LINE * (ENTRIES.len() + 1);
/// Width of the legend in pixels.
pub(super) const WIDTH: usize = 600;

pub(super) fn draw(out: &mut String, top: usize) {
    let _ = writeln!(
        out,
        "<text class=\"head\" x=\"{MARGIN}\" y=\"{}\">legend</text>",
        top + 12
    );
    for (index, (sort, state, text)) in ENTRIES.into_iter().enumerate() {
        let y = top + LINE * (index + 1);
        let _ = writeln!(
            out,
            "<g class=\"{}{}\"><rect x=\"{MARGIN}\" y=\"{y}\" width=\"26\" height=\"14\" rx=\"3\"/>\
             <text class=\"note\" x=\"{}\" y=\"{}\">{}</text></g>",
            class(sort),
            mark(state),
            MARGIN + 36,
            y + 11,
            escape(text)
        );
    }
}
