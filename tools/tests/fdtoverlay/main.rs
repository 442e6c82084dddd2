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
use std::path::PathBuf;
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
