//! Applying overlays to the board's tree, with the result `fdtoverlay` gives.
//!
//! The work is dtoolkit's; what it would get wrong or explain badly is checked
//! before and after. A base tree to which an overlay does not apply is left
//! alone.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
mod labels;

use crate::fdt::{Blob, Node};
use crate::region::{Region, pairs};
use crate::report::Report;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use dtoolkit::error::OverlayError;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::model::overlay::OverlayApplier;

/// An overlay and what to call it in messages.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// File name, or path of the module node.
    pub name: &'a str,
    /// The blob.
    pub bytes: &'a [u8],
}

/// Applies overlays in order and returns the merged blob. `None` when one of
/// them does not apply; the report then says why.
#[must_use]
pub fn merge(base: &Blob<'_>, overlays: &[Named<'_>], report: &mut Report) -> Option<Vec<u8>> {
    let mut merged = base.bytes().to_vec();
    for overlay in overlays {
        merged = apply(&merged, overlay, report)?;
    }
    Some(merged)
}

fn apply(base: &[u8], overlay: &Named<'_>, report: &mut Report) -> Option<Vec<u8>> {
    let base_blob = checked(base, overlay.name, report)?;
    let blob = checked(overlay.bytes, overlay.name, report)?;
    if !applicable(&base_blob, &blob, overlay.name, report) {
        return None;
    }
    let mut tree = DeviceTree::from_fdt(&Fdt::new_unchecked(base_blob.bytes()));
    let mut added = DeviceTree::from_fdt(&Fdt::new_unchecked(blob.bytes()));
    labels::resolve(&base_blob, &mut added);
    let result = OverlayApplier::new(&mut tree).apply_overlay_tree(added);
    if let Err(error) = result {
        explain(&error, overlay.name, report);
        return None;
    }
    let mut merged = tree.to_dtb();
    // The model has no place for the boot CPU's number (header, offset 28).
    if let (Some(to), Some(from)) = (merged.get_mut(28..32), base.get(28..32)) {
        to.copy_from_slice(from);
    }
    checked(&merged, overlay.name, report)?;
    Some(merged)
}

fn checked<'a>(bytes: &'a [u8], name: &str, report: &mut Report) -> Option<Blob<'a>> {
    match Blob::check(bytes) {
        Ok(blob) => Some(blob),
        Err(error) => {
            let remedy = "compile or copy the file again";
            report.error("blob", (name, ""), format!("{error}"), remedy);
            None
        }
    }
}

/// Everything that can be told before anything is changed.
fn applicable(base: &Blob<'_>, overlay: &Blob<'_>, name: &str, report: &mut Report) -> bool {
    let root = overlay.root();
    let has_body = |n: &Node<'_>| n.child("__overlay__").is_some();
    let bodies: Vec<Node<'_>> = root.children().filter(has_body).collect();
    let place = (name, "");
    if bodies.is_empty() {
        let what = "it is no overlay: no fragment has an __overlay__";
        report.error(
            "not-overlay",
            place,
            what,
            "compile it from a source with /plugin/",
        );
        return false;
    }
    if let Some(odd) = bodies.iter().find(|n| n.base_name() != "fragment") {
        let what = format!("{} is not named fragment@n", odd.name());
        report.error("overlay-fragment", place, what, "compile it with dtc");
        return false;
    }
    labels_resolve(base, &root, name, report)
}

/// Each label the overlay refers to must be a symbol of the base, and its node
/// must have a phandle: without one, dtoolkit would invent a number that
/// collides with the overlay's own, and libfdt refuses.
fn labels_resolve(base: &Blob<'_>, root: &Node<'_>, name: &str, report: &mut Report) -> bool {
    let Some(fixups) = root.child("__fixups__") else {
        return true;
    };
    let symbols = base.root().child("__symbols__");
    let mut fine = true;
    for label in fixups.properties().map(|p| p.name) {
        let Some(symbols) = symbols else {
            let what = format!("label &{label}: the base tree has no labels (__symbols__)");
            let remedy = "compile the base with dtc -@, or first apply an overlay that adds \
                          __symbols__, as docs/configuration.md shows";
            report.error("no-symbols", (name, ""), what, remedy);
            return false;
        };
        let path = symbols.property(label).and_then(|p| p.string());
        let target = path.and_then(|p| base.find(p));
        let (code, what, remedy) = match (path, target) {
            (None, _) => (
                "no-label",
                format!("the base tree has no label &{label}"),
                "correct the name, or name the node by path: &{/path}",
            ),
            (Some(path), None) => (
                "stale-label",
                format!("label &{label} stands for {path}, which does not exist"),
                "correct __symbols__ in the base tree",
            ),
            (Some(path), Some(node)) if crate::tree::phandle(&node).is_none() => (
                "no-phandle",
                format!("{path} (&{label}) has no phandle to refer to"),
                "first apply an overlay that gives it one: &{/path} { phandle = <…>; }",
            ),
            _ => continue,
        };
        report.error(code, (name, ""), what, remedy);
        fine = false;
    }
    fine
}

fn explain(error: &OverlayError, name: &str, report: &mut Report) {
    let (code, what, remedy) = match error {
        OverlayError::TargetNotFound(target) => (
            "no-target",
            format!("the base tree has no node {target}"),
            "correct the path in &{/path}",
        ),
        OverlayError::InvalidFragmentTarget => (
            "overlay-target",
            String::from("a fragment does not say what it applies to"),
            "compile it with dtc from &label { } or &{/path} { }",
        ),
        OverlayError::Model(error) => (
            "long-label",
            format!("a label cannot be kept: {error}"),
            "labels may have 31 characters",
        ),
        other => ("overlay", format!("{other}"), "compile the overlay again"),
    };
    report.error(code, (name, ""), what, remedy);
}

/// Overlays a boot loader has put into RAM: modules directly below `/chosen`
/// with `compatible = "stagegate,overlay", "multiboot,module"`, in order.
pub fn modules<'a>(blob: &Blob<'a>) -> impl Iterator<Item = (&'a str, Region)> + use<'a> {
    let chosen = blob.root().child("chosen");
    chosen.into_iter().flat_map(|chosen| {
        let (address, size) = (chosen.address_cells(), chosen.size_cells());
        chosen
            .children()
            .filter(|c| c.is_compatible("stagegate,overlay") && c.is_enabled())
            .filter_map(move |c| {
                let region = pairs(c.property("reg")?, address, size).next()?;
                Some((c.name(), region))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = include_str!("../../tools/tests/data/board.dts");
    const GOOD: &str = include_str!("../../tools/tests/data/good.dtso");

    fn merge_all(base: &[u8], overlays: &[&[u8]]) -> Option<Vec<u8>> {
        let named: Vec<_> = overlays
            .iter()
            .map(|bytes| Named { name: "o", bytes })
            .collect();
        merge(&Blob::check(base).unwrap(), &named, &mut Report::new())
    }

    #[test]
    fn later_overlays_see_what_earlier_ones_added() {
        let compile = |source| crate::dts::compile(source).unwrap();
        let base = compile("/dts-v1/; /memreserve/ 16 32; / { a: a { }; };");
        let first = compile("/plugin/; &a { b: b { x = <&b>; }; };");
        let second = compile("/plugin/; &b { y = <&a &b>; x = <7>; };");
        let merged = merge_all(&base, &[&first, &second]).unwrap();
        let blob = Blob::check(&merged).unwrap();
        let phandle = |path| crate::tree::phandle(&blob.find(path).unwrap()).unwrap();
        let b = blob.find("/a/b").unwrap();
        let cells: Vec<u32> = b.property("y").unwrap().cells().collect();
        assert_eq!(cells, [phandle("/a"), phandle("/a/b")]);
        assert_eq!(b.property("x").unwrap().u32(), Some(7));
        assert_eq!(blob.reservations().collect::<Vec<_>>(), [(16, 32)]);
        assert!(merge_all(&base, &[&second, &first]).is_none());
    }

    #[test]
    fn the_boot_cpu_survives() {
        let mut base = crate::dts::compile(BOARD).unwrap();
        base[28..32].copy_from_slice(&0x101u32.to_be_bytes());
        let overlay = crate::dts::compile(GOOD).unwrap();
        assert_eq!(
            merge_all(&base, &[&overlay]).unwrap()[28..32],
            0x101u32.to_be_bytes()
        );
    }

    #[test]
    fn modules_of_the_boot_loader_are_found_in_order() {
        let source = "/dts-v1/; / { chosen { #address-cells = <2>; #size-cells = <2>;
            module@1 { compatible = \"stagegate,overlay\", \"multiboot,module\"; reg = <0 16 0 32>; };
            module@2 { compatible = \"multiboot,module\"; reg = <0 48 0 32>; };
            module@3 { compatible = \"stagegate,overlay\"; reg = <1 0 0 8>; }; }; };";
        let bytes = crate::dts::compile(source).unwrap();
        let found: Vec<_> = modules(&Blob::check(&bytes).unwrap()).collect();
        let region = |base, size| Region { base, size };
        assert_eq!(
            found,
            [
                ("module@1", region(16, 32)),
                ("module@3", region(1 << 32, 8))
            ]
        );
    }

    /// One damaged byte or word at a time, anywhere. `STAGEGATE_FLIPS` sets
    /// how many.
    #[test]
    fn a_damaged_overlay_is_refused_or_applied_without_harm() {
        let base = crate::dts::compile(BOARD).unwrap();
        let good = crate::dts::compile(GOOD).unwrap();
        let flips = std::env::var("STAGEGATE_FLIPS")
            .ok()
            .and_then(|n| n.parse().ok());
        let mut random = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..flips.unwrap_or(150) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut bad = good.clone();
            let at = random as usize % bad.len();
            bad[at] = (random >> 32) as u8;
            if random >> 60 == 0 {
                bad.truncate(at);
            }
            let Some(merged) = merge_all(&base, &[&bad]) else {
                continue;
            };
            let tree = crate::tree::Tree::new(Blob::check(&merged).unwrap());
            let mut report = Report::new();
            let board = crate::facts::Board::read(&tree, &mut report);
            let plan = crate::config::plan(&tree, &board, Default::default(), &mut report);
            let (mut graph, entries) = crate::probe::graph_of(&tree, &board, &plan);
            graph.run(&mut |_| crate::probe::Probed::Ready);
            graph.finish();
            graph.explain(&entries, &mut report);
        }
    }
}
