//! References of an overlay to labels of its base. They are resolved here,
//! before dtoolkit sees the overlay: its reader of `__fixups__` knows none that
//! do not stand at a multiple of four in their property, behind a text of odd
//! length, say.
use crate::fdt::Blob;
use alloc::string::String;
use alloc::vec::Vec;
use dtoolkit::model::DeviceTree;
use dtoolkit::{Node, Property};

const FIXUPS: &str = "__fixups__";

/// Puts phandles of `base` to where `overlay` refers to its labels, and takes
/// these entries out of the overlay. What has no sense stays, for dtoolkit to
/// refuse.
pub(super) fn resolve(base: &Blob<'_>, overlay: &mut DeviceTree) {
    for (label, places) in listed(overlay) {
        let Some(phandle) = phandle_of(base, &label) else {
            continue;
        };
        let mut left = Vec::new();
        for place in places.split_inclusive(|&b| b == 0) {
            if put(overlay, place, phandle).is_none() {
                left.extend_from_slice(place);
            }
        }
        let Some(fixups) = overlay.root.child_mut(FIXUPS) else {
            return;
        };
        if left.is_empty() {
            let _ = fixups.remove_property(&label);
        } else if let Some(property) = fixups.property_mut(&label) {
            property.set_value(left);
        }
    }
}

/// Labels and the places that refer to them.
fn listed(overlay: &DeviceTree) -> Vec<(String, Vec<u8>)> {
    let Some(fixups) = overlay.root.child(FIXUPS) else {
        return Vec::new();
    };
    let entry = |p: &dtoolkit::model::DeviceTreeProperty| (p.name().into(), p.value().to_vec());
    fixups.properties().map(entry).collect()
}

fn phandle_of(base: &Blob<'_>, label: &str) -> Option<u32> {
    let symbols = base.root().child("__symbols__")?;
    let path = symbols.property(label)?.string()?;
    crate::tree::phandle(&base.find(path)?)
}

/// Writes `phandle` to `place` (`path:property:offset`, ending in a zero), if
/// there is such a place.
fn put(overlay: &mut DeviceTree, place: &[u8], phandle: u32) -> Option<()> {
    let place = core::str::from_utf8(place.strip_suffix(b"\0")?).ok()?;
    let (rest, offset) = place.rsplit_once(':')?;
    let (path, name) = rest.rsplit_once(':')?;
    let offset: usize = offset.parse().ok()?;
    let property = overlay.find_node_mut(path)?.property_mut(name)?;
    let mut value = Property::value(&&*property).to_vec();
    let to = value.get_mut(offset..offset.checked_add(4)?)?;
    to.copy_from_slice(&phandle.to_be_bytes());
    property.set_value(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::{Named, merge};
    use crate::fdt::Blob;
    use crate::report::Report;
    use alloc::format;
    use alloc::vec::Vec;

    const BASE: &str = "/dts-v1/; / { a: a { phandle = <0x10>; }; b: b { phandle = <0x11>; }; };";

    fn merged(base: &str, overlay: &[u8]) -> (Option<Vec<u8>>, Report) {
        let base = crate::dts::compile(base).unwrap();
        let mut report = Report::new();
        let named = Named {
            name: "o",
            bytes: overlay,
        };
        let merged = merge(&Blob::check(&base).unwrap(), &[named], &mut report);
        (merged, report)
    }

    /// Behind texts of all lengths, with references to the base and to the
    /// overlay itself, next to some at multiples of four.
    #[test]
    fn references_may_stand_anywhere() {
        for length in 0..9 {
            let text = &"abcdefgh"[..length];
            let source = format!(
                "/dts-v1/; /plugin/; &a {{ own: own {{ phandle = <1>; }};
                    x = \"{text}\", <&b &own 7>, \"{text}\", <&a &b>; y = <&b>; }};"
            );
            let overlay = crate::dts::compile(&source).unwrap();
            let merged = merged(BASE, &overlay).0.unwrap();
            let node = Blob::check(&merged).unwrap();
            let node = node.find("/a").unwrap();
            let mut wanted = Vec::from(text.as_bytes());
            wanted.push(0);
            let own = 0x11 + 1;
            let words = |list: &[u32]| {
                list.iter()
                    .flat_map(|w| w.to_be_bytes())
                    .collect::<Vec<_>>()
            };
            wanted.extend(words(&[0x11, own, 7]));
            wanted.extend(text.as_bytes());
            wanted.push(0);
            wanted.extend(words(&[0x10, 0x11]));
            assert_eq!(node.property("x").unwrap().value, wanted, "{length}");
            assert_eq!(node.property("y").unwrap().u32(), Some(0x11));
        }
    }

    /// Beyond the end, or in a property that is not there: refused as those at
    /// multiples of four are.
    #[test]
    fn a_place_that_is_not_there_is_refused() {
        let source = "/dts-v1/; /plugin/; &a { x = \"ab\", <&b>; };";
        let good = crate::dts::compile(source).unwrap();
        assert!(merged(BASE, &good).0.is_some());
        let place = b"/fragment@0/__overlay__:x:3\0";
        let at = good.windows(place.len()).position(|w| w == place).unwrap();
        for (from_end, byte) in [(2, b'7'), (2, b'5'), (2, b'x'), (4, b'z')] {
            let mut bad = good.clone();
            bad[at + place.len() - from_end] = byte;
            let (merged, report) = merged(BASE, &bad);
            assert!(merged.is_none(), "{}", byte as char);
            assert!(report.has_errors());
        }
    }
}
