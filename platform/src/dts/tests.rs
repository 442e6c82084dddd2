use super::compile;
use crate::fdt::Blob;
use alloc::string::ToString;
use alloc::vec::Vec;

fn value(source: &str, path: &str, property: &str) -> Vec<u8> {
    let bytes = compile(source).unwrap();
    let node = Blob::check(&bytes).unwrap().find(path).unwrap();
    node.property(property).unwrap().value.to_vec()
}

fn of(text: &str) -> Vec<u8> {
    value(&alloc::format!("/dts-v1/; / {{ p = {text}; }};"), "/", "p")
}

#[test]
fn values_of_every_form() {
    assert_eq!(
        of("<1 0x2 (3) 'A'>"),
        [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 65]
    );
    assert_eq!(of("\"a\\n\\x41\", \"b\""), b"a\nA\0b\0");
    assert_eq!(of("[00 ff 1234]"), [0, 0xff, 0x12, 0x34]);
    assert_eq!(
        of("/bits/ 8 <1 255>, /bits/ 16 <0x1234>"),
        [1, 255, 0x12, 0x34]
    );
    assert_eq!(of("/bits/ 64 <0xffffffffffffffff>"), [0xff; 8]);
    assert_eq!(of("<(-1)>"), [0xff; 4]);
    assert_eq!(of("<1>, \"x\""), [0, 0, 0, 1, b'x', 0]);
}

#[test]
fn mistakes_name_their_line() {
    let says = |source: &str| compile(source).unwrap_err().to_string();
    assert_eq!(
        says("/dts-v1/;\n/ {\n p = <1;\n};"),
        "line 3: a name is missing"
    );
    assert_eq!(
        says("/ { p = <0x1_0>; };"),
        "line 1: \"0x1_0\" is no number"
    );
    assert_eq!(
        says("/ { p = <0x100000000>; };"),
        "line 1: 0x100000000 does not fit into 0xffffffff"
    );
    assert_eq!(says("/ { p = \"x; };"), "line 1: the text has no end");
    assert_eq!(says("/* x"), "line 1: the comment has no end");
    assert_eq!(
        says("/ {\n p = <&nowhere>; };"),
        "line 2: there is no label nowhere"
    );
    assert_eq!(
        says("/ { };\n&nowhere { };"),
        "line 2: no label nowhere so far; an overlay begins with /dts-v1/; /plugin/;"
    );
    assert_eq!(
        says("/include/ \"x\""),
        "line 1: /include/ is not understood"
    );
    assert_eq!(
        says("/ { a: x { }; a: y { }; };"),
        "line 1: label a stands twice"
    );
    assert_eq!(
        says("/ { p = [123]; };"),
        "line 1: a byte string needs pairs of hexadecimal digits"
    );
    assert_eq!(
        says("/ { p = ; };"),
        "line 1: a value is missing: \"text\", <cells> or [bytes]"
    );
    let deep = "a { ".repeat(40);
    assert!(says(&alloc::format!("/ {{ {deep}")).contains("too deeply"));
}

#[test]
fn references_become_phandles_and_paths() {
    let source = "/ { a: x { }; y { r = <&a 7>; p = &a; q = <&{/x}>; }; };";
    let bytes = compile(source).unwrap();
    let blob = Blob::check(&bytes).unwrap();
    let phandle = crate::tree::phandle(&blob.find("/x").unwrap()).unwrap();
    let y = blob.find("/y").unwrap();
    assert_eq!(
        y.property("r").unwrap().cells().collect::<Vec<_>>(),
        [phandle, 7]
    );
    assert_eq!(y.property("q").unwrap().u32(), Some(phandle));
    assert_eq!(y.property("p").unwrap().string(), Some("/x"));
    assert_eq!(
        blob.find("/__symbols__")
            .unwrap()
            .property("a")
            .unwrap()
            .string(),
        Some("/x")
    );
}

#[test]
fn later_words_win() {
    let source = "/ { a: x { p = <1>; gone; c { }; }; };
        &a { p = <2>; /delete-property/ gone; /delete-node/ c; };
        &{/x} { q; };";
    assert_eq!(value(source, "/x", "p"), [0, 0, 0, 2]);
    let bytes = compile(source).unwrap();
    let x = Blob::check(&bytes).unwrap().find("/x").unwrap();
    assert!(x.property("gone").is_none() && x.property("q").is_some());
    assert!(x.child("c").is_none());
}

#[test]
fn an_overlay_has_fragments_and_fixups() {
    let source = "/plugin/; &base { l: n { local = <&l>; far = <1 &other>; }; }; &{/x} { };";
    let bytes = compile(source).unwrap();
    let blob = Blob::check(&bytes).unwrap();
    let fixups = blob.find("/__fixups__").unwrap();
    let place = |label| fixups.property(label).unwrap().string().unwrap();
    assert_eq!(place("base"), "/fragment@0:target:0");
    assert_eq!(place("other"), "/fragment@0/__overlay__/n:far:4");
    let local = blob
        .find("/__local_fixups__/fragment@0/__overlay__/n")
        .unwrap();
    assert_eq!(
        local.property("local").unwrap().cells().collect::<Vec<_>>(),
        [0]
    );
    let path = blob
        .find("/fragment@1")
        .unwrap()
        .property("target-path")
        .unwrap();
    assert_eq!(path.string(), Some("/x"));
    let far = blob
        .find("/fragment@0/__overlay__/n")
        .unwrap()
        .property("far")
        .unwrap();
    assert_eq!(far.cells().collect::<Vec<_>>(), [1, u32::MAX]);
}

#[test]
fn no_cut_source_makes_it_fall_over() {
    let source = include_str!("../../../tools/tests/data/good.dtso");
    for (cut, _) in source.char_indices().step_by(7) {
        let _ = compile(&source[..cut]);
    }
}
