//! Our merging and compiling against the reference tools.
mod boards;
#[path = "../common/mod.rs"]
mod common;
mod generate;

use common::installed;
use platform::fdt::{Blob, Node};
use platform::overlay::{Named, merge};
use platform::report::Report;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const BOARD: &str = include_str!("../data/board.dts");
const GOOD: &str = include_str!("../data/good.dtso");
/// An overlay on top of what the first one adds.
const SECOND: &str = "/dts-v1/; /plugin/;
    &smmu1 { label = \"second\"; };
    &gate { new: child { self = <&new>; clocks = <&osc &gate>; }; };
    &{/chosen/stagegate/vm@2} { cpus = <1>; stagegate,vuart; };";

/// A tree as plain maps: order does not matter, content does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain {
    properties: BTreeMap<String, Vec<u8>>,
    children: BTreeMap<String, Plain>,
}

fn plain(node: Node<'_>) -> Plain {
    let properties = node.properties().map(|p| (p.name.into(), p.value.to_vec()));
    Plain {
        properties: properties.collect(),
        children: node
            .children()
            .map(|c| (c.name().into(), plain(c)))
            .collect(),
    }
}

fn read(bytes: &[u8]) -> (Plain, Vec<(u64, u64)>) {
    let blob = Blob::check(bytes).unwrap();
    (plain(blob.root()), blob.reservations().collect())
}

fn scratch(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

#[test]
fn merging_gives_what_fdtoverlay_gives() {
    if !installed("fdtoverlay", "device-tree-compiler") {
        return;
    }
    let directory = scratch("merge");
    let compile = |name: &str, source: &str| {
        let bytes = platform::dts::compile(source).unwrap();
        std::fs::write(directory.join(name), &bytes).unwrap();
        bytes
    };
    let base = compile("base.dtb", BOARD);
    let overlays = [compile("first.dtbo", GOOD), compile("second.dtbo", SECOND)];
    for count in 1..=overlays.len() {
        let named: Vec<_> = overlays[..count]
            .iter()
            .map(|bytes| Named { name: "o", bytes })
            .collect();
        let mut report = Report::new();
        let ours = merge(&Blob::check(&base).unwrap(), &named, &mut report).unwrap();
        let status = Command::new("fdtoverlay")
            .current_dir(&directory)
            .args(["-i", "base.dtb", "-o", "merged.dtb"])
            .args(&["first.dtbo", "second.dtbo"][..count])
            .status();
        assert!(status.unwrap().success());
        let theirs = std::fs::read(directory.join("merged.dtb")).unwrap();
        assert_eq!(read(&ours), read(&theirs), "after {count}");
    }
}

/// What each makes of an overlay; `None` where it refuses.
fn both(directory: &Path, base: &[u8], overlay: &[u8]) -> [Option<Vec<u8>>; 2] {
    std::fs::write(directory.join("base.dtb"), base).unwrap();
    std::fs::write(directory.join("overlay.dtbo"), overlay).unwrap();
    let named = Named {
        name: "o",
        bytes: overlay,
    };
    let ours = merge(&Blob::check(base).unwrap(), &[named], &mut Report::new());
    let output = Command::new("fdtoverlay")
        .current_dir(directory)
        .args(["-i", "base.dtb", "-o", "merged.dtb", "overlay.dtbo"])
        .output();
    let theirs = output.unwrap().status.success();
    let theirs = theirs.then(|| std::fs::read(directory.join("merged.dtb")).unwrap());
    [ours, theirs]
}

/// References behind texts of all lengths, and places that do not exist.
#[test]
fn references_stand_where_fdtoverlay_has_them() {
    if !installed("fdtoverlay", "device-tree-compiler") {
        return;
    }
    let directory = scratch("places");
    let base = "/dts-v1/; / { a: a { phandle = <0x10>; }; b: b { phandle = <0x11>; }; };";
    let base = platform::dts::compile(base).unwrap();
    for length in 0..9 {
        let text = &"abcdefgh"[..length];
        let source = format!(
            "/dts-v1/; /plugin/; &a {{ own: own {{ phandle = <1>; }};
                x = \"{text}\", <&b 7>, \"{text}\", <&a &b>; y = \"{text}\", <&own &b>; }};"
        );
        let overlay = platform::dts::compile(&source).unwrap();
        let [ours, theirs] = both(&directory, &base, &overlay).map(Option::unwrap);
        assert_eq!(read(&ours), read(&theirs), "{length}");
        // Each digit of a place changed: the same verdict, and the same tree.
        let place = format!("__overlay__:x:{}\0", length + 1);
        let place = place.as_bytes();
        let at = overlay.windows(place.len()).position(|w| w == place);
        let digit = at.unwrap() + place.len() - 2;
        for byte in b"0123456789:-" {
            let mut changed = overlay.clone();
            changed[digit] = *byte;
            let [ours, theirs] = both(&directory, &base, &changed);
            let what = format!("{length}, {}", *byte as char);
            assert_eq!(ours.is_some(), theirs.is_some(), "{what}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert_eq!(read(&ours), read(&theirs), "{what}");
            }
        }
    }
}

#[test]
fn compiling_gives_what_dtc_gives() {
    if !installed("dtc", "device-tree-compiler") {
        return;
    }
    let directory = scratch("compile");
    // Phandles are numbered as each tool likes, so sources here set their own.
    let sources = [
        "/dts-v1/; /memreserve/ 16 32; / { a { phandle = <1>; b; c = \"x\", \"y\"; d = [01 02];
          e = <1 0x2 (3)>, \"z\"; f = /bits/ 16 <1 2>; g = <0xffffffff>; }; };",
        "/dts-v1/; / { l: n@1 { phandle = <9>; x = <&l 1>; p = &l; }; };
          &l { y = <&{/n@1}>; /delete-property/ p; };",
        "/dts-v1/; /plugin/; &far { a = <1 &far &near>; near: near { phandle = <1>; }; };
          &{/some/path} { b = <&near>; };",
    ];
    for (index, source) in sources.iter().enumerate() {
        let (input, output) = (format!("{index}.dts"), format!("{index}.dtb"));
        std::fs::write(directory.join(&input), source).unwrap();
        let status = Command::new("dtc")
            .current_dir(&directory)
            .args(["-@", "-q", "-I", "dts", "-O", "dtb", "-o", &output, &input])
            .status();
        assert!(status.unwrap().success());
        let theirs = std::fs::read(directory.join(&output)).unwrap();
        let ours = platform::dts::compile(source).unwrap();
        assert_eq!(read(&ours), read(&theirs), "{source}");
    }
}
