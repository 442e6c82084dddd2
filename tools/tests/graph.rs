//! `stagegate graph`: what is drawn can be read. Texts stay in their boxes,
//! nothing lies on anything else, and everything is inside the picture.
mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn holds(&self, other: &Self) -> bool {
        self.left <= other.left
            && other.right <= self.right
            && self.top <= other.top
            && other.bottom <= self.bottom
    }
}

/// The value of an attribute in a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

fn number(tag: &str, name: &str) -> f64 {
    let value = attribute(tag, name).unwrap_or("0");
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name}={value:?} in {tag}"))
}

/// Boxes, texts and bands of a picture; panics where it is not well-formed.
#[derive(Default)]
struct Picture {
    whole: Option<Area>,
    boxes: Vec<Area>,
    bands: Vec<Area>,
    texts: Vec<(Area, String)>,
    classes: Vec<String>,
}

/// An advance as wide as that of common fonts (DejaVu Sans), in hundredths.
fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | '/' | ' ' => 0.34,
        'm' | 'w' | 'M' | 'W' | '@' | '…' => 1.0,
        c if c.is_ascii_uppercase() => 0.72,
        _ => 0.62,
    }
}

fn rect(tag: &str) -> Area {
    let (left, top) = (number(tag, "x"), number(tag, "y"));
    Area {
        left,
        top,
        right: left + number(tag, "width"),
        bottom: top + number(tag, "height"),
    }
}

fn text(tag: &str, content: &str) -> (Area, String) {
    let size = match attribute(tag, "class") {
        Some("note") => 10.0,
        Some("title") => 16.0,
        _ => 12.0,
    };
    let content = content
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    let width: f64 = content.chars().map(advance).sum::<f64>() * size;
    let (left, base) = (number(tag, "x"), number(tag, "y"));
    let area = Area {
        left,
        top: base - size * 0.74,
        right: left + width,
        bottom: base + size * 0.2,
    };
    (area, content)
}

fn read(svg: &str) -> Picture {
    let mut picture = Picture::default();
    let mut open: Vec<&str> = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, content) = piece.split_once('>').expect("a closed tag");
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).expect("name");
        if let Some(ends) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ends), "out of order");
            continue;
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
        match name {
            "svg" => picture.whole = Some(rect(tag)),
            "rect" => match attribute(tag, "class") {
                Some("band") => picture.bands.push(rect(tag)),
                Some("paper") => {}
                _ => picture.boxes.push(rect(tag)),
            },
            "text" => picture.texts.push(text(tag, content)),
            "g" => picture
                .classes
                .push(attribute(tag, "class").unwrap_or("").into()),
            _ => {}
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    picture
}

fn is_readable(name: &str, svg: &str) -> Picture {
    let picture = read(svg);
    let whole = picture.whole.expect("an svg");
    for (index, (area, words)) in picture.texts.iter().enumerate() {
        assert!(whole.holds(area), "{name}: {words:?} leaves the picture");
        for (other, others) in &picture.texts[..index] {
            assert!(
                !area.overlaps(other),
                "{name}: {words:?} lies on {others:?}: {area:?} {other:?}"
            );
        }
        for around in picture.boxes.iter().filter(|b| b.overlaps(area)) {
            assert!(
                around.holds(area),
                "{name}: {words:?} leaves its box: {area:?} {around:?}"
            );
        }
    }
    for (kind, areas) in [("box", &picture.boxes), ("band", &picture.bands)] {
        for (index, area) in areas.iter().enumerate() {
            assert!(whole.holds(area), "{name}: a {kind} leaves the picture");
            let lies = areas[..index].iter().find(|other| area.overlaps(other));
            assert_eq!(lies, None, "{name}: a {kind} lies on another");
        }
    }
    for band in &picture.bands {
        let cut = |b: &&Area| b.overlaps(band) && !band.holds(b);
        assert_eq!(
            picture.boxes.iter().find(cut),
            None,
            "{name}: half in a band"
        );
    }
    picture
}

fn draw(arguments: &[&Path]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stagegate"))
        .arg("graph")
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn scratch(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

const BOARD: &str = include_str!("data/board.dts");
const GOOD: &str = include_str!("data/good.dtso");

#[test]
fn a_configured_board_is_readable_and_says_its_delays() {
    let (board, overlay) = (scratch("g.dts", BOARD), scratch("g.dtso", GOOD));
    let picture = is_readable("good", &draw(&[&board, &overlay]));
    let says = |words: &str| picture.texts.iter().any(|(_, text)| text == words);
    for words in [
        "gate 20 ms",
        "gate 5 ms, off 1 s",
        "SMMUv3 (Generic)",
        "net",
        "stream 0x1008",
        "pci-pm",
        "legend",
    ] {
        assert!(
            says(words),
            "{words:?} is not in {:?}",
            picture.texts.iter().map(|t| &t.1).collect::<Vec<_>>()
        );
    }
    // An SMMU whose clock has no driver.
    assert!(picture.classes.iter().any(|c| c == "smmu bad"));
    assert_eq!(picture.bands.len(), 2, "one for each SMMU with masters");
}

/// Eighty masters, of which every fifth has a list of streams that no box
/// holds, and every seventh is disabled.
#[test]
fn a_board_with_eighty_masters_is_readable() {
    let mut masters = String::new();
    for n in 0..80 {
        let smmu = ["smmu1 0x", "smmu1 0x", "smmu0 0x"][n % 3];
        let mask = if n % 3 == 2 { "" } else { " 0" };
        let ids = if n % 5 == 0 { 20 } else { 1 };
        let list: Vec<String> = (0..ids)
            .map(|i| format!("<&{smmu}{:x}{mask}>", 0x1000 + n * 64 + i * 2))
            .collect();
        let off = if n % 7 == 0 {
            "status = \"disabled\";"
        } else {
            ""
        };
        let _ = writeln!(
            masters,
            "a-device-with-quite-a-long-name@{n:x} {{ iommus = {}; {off} }};",
            list.join(", ")
        );
    }
    let source = BOARD.replace("\tpcie: pcie@", &format!("{masters}\tpcie: pcie@"));
    let picture = is_readable("eighty", &draw(&[&scratch("eighty.dts", &source)]));
    let masters = picture.classes.iter().filter(|c| c.starts_with("master"));
    assert!(masters.count() > 80);
    let cut = |text: &&String| text.contains('…');
    let cut: Vec<_> = picture.texts.iter().map(|t| &t.1).filter(cut).collect();
    assert!(cut.iter().any(|text| text.ends_with("…@4f")), "{cut:?}");
}

/// The pictures in the documentation are what is drawn now. With
/// `STAGEGATE_PICTURES` they are drawn anew.
#[test]
fn the_pictures_in_the_documentation_are_current() {
    let Some(directory) = common::board_trees() else {
        return;
    };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let overlay = docs.join("boards/qcom-sdm845.dtso");
    let (db845c, idp2) = ("qcom/sdm845-db845c.dtb", "qcom/sc7280-idp2.dtb");
    for (picture, tree, overlay) in [
        ("graph-sdm845.svg", db845c, Some(overlay.as_path())),
        ("graph-sc7280.svg", idp2, None),
    ] {
        let tree = directory.join(tree);
        let mut arguments = vec![tree.as_path()];
        arguments.extend(overlay);
        let drawn = draw(&arguments);
        let path = docs.join("images").join(picture);
        if std::env::var_os("STAGEGATE_PICTURES").is_some() {
            std::fs::write(&path, &drawn).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept == drawn, "{picture} shows something else");
        is_readable(picture, &kept);
    }
}

/// The busiest of Debian's board trees, where they are.
#[test]
fn the_busiest_board_trees_are_readable() {
    let Some(directory) = common::board_trees() else {
        return;
    };
    for (tree, masters) in [
        ("qcom/sc7280-idp2.dtb", 40),
        ("qcom/sdm845-db845c.dtb", 30),
        ("qcom/sa8775p-ride.dtb", 25),
        ("qcom/sm8250-mtp.dtb", 30),
        ("arm/juno.dtb", 9),
        ("freescale/fsl-ls1088a-rdb.dtb", 5),
    ] {
        let picture = is_readable(tree, &draw(&[&directory.join(tree)]));
        let drawn = picture.classes.iter().filter(|c| c.starts_with("master"));
        let drawn = drawn.count();
        assert!(drawn >= masters, "{tree}: {drawn} masters");
    }
}
