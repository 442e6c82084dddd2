//! What the checker says to each of many mistakes, word for word.
mod common;

use platform::config::Inputs;
use platform::fdt::Blob;
use platform::overlay::{Named, merge};
use platform::report::{Report, Severity};
use stagegate::command::Survey;
use std::fmt::Write;

const BOARD: &str = include_str!("data/board.dts");
const GOOD: &str = include_str!("data/good.dtso");

/// An overlay that is fine for a board, and mistakes made in it.
struct Suite {
    board: Vec<u8>,
    good: &'static str,
    /// The cases, and the file they are in.
    cases: &'static str,
    file: &'static str,
}

/// The board made up for these tests.
fn made_up() -> Suite {
    Suite {
        board: platform::dts::compile(BOARD).unwrap(),
        good: GOOD,
        cases: include_str!("data/bad_overlays.txt"),
        file: "bad_overlays.txt",
    }
}

/// A Dragonboard 845c as Debian describes it, where its tree is there.
fn dragonboard() -> Option<Suite> {
    let tree = common::board_trees()?.join("qcom/sdm845-db845c.dtb");
    Some(Suite {
        board: std::fs::read(&tree).unwrap_or_else(|e| panic!("{}: {e}", tree.display())),
        good: include_str!("../../docs/boards/qcom-sdm845.dtso"),
        cases: include_str!("data/bad_overlays_sdm845.txt"),
        file: "bad_overlays_sdm845.txt",
    })
}

struct Case<'c> {
    name: &'c str,
    edits: Vec<(String, String)>,
    expected: Vec<&'c str>,
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

fn escape(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t")
}

fn case(block: &str) -> Case<'_> {
    let mut lines = block.lines();
    let name = lines.next().unwrap();
    let mut edits = Vec::new();
    for line in lines.by_ref().take_while(|l| *l != "--") {
        let (old, new) = line
            .split_once(" => ")
            .unwrap_or_else(|| panic!("{name}: {line:?}"));
        edits.push((unescape(old), unescape(new)));
    }
    Case {
        name,
        edits,
        expected: lines.filter(|l| !l.is_empty()).collect(),
    }
}

impl Suite {
    fn cases(&self) -> Vec<Case<'static>> {
        self.cases.split("\n## ").skip(1).map(case).collect()
    }

    /// The good overlay with the case's mistakes made in it.
    fn source(&self, case: &Case<'_>) -> String {
        let mut source = self.good.to_string();
        for (old, new) in &case.edits {
            assert!(
                source.contains(old),
                "{}: nothing to replace: {old:?}",
                case.name
            );
            source = source.replace(old, new);
        }
        source
    }

    /// All errors and warnings about the overlay.
    fn findings(&self, overlay: &str) -> Vec<String> {
        let overlay = match platform::dts::compile(overlay) {
            Ok(overlay) => overlay,
            Err(error) => return vec![error.to_string()],
        };
        let mut report = Report::new();
        let named = [Named {
            name: "vms.dtbo",
            bytes: &overlay,
        }];
        if let Some(merged) = merge(&Blob::check(&self.board).unwrap(), &named, &mut report) {
            let blob = Blob::check(&merged).unwrap();
            report
                .findings
                .extend(Survey::new(blob, Inputs::default()).report.findings);
        }
        let loud = report
            .findings
            .iter()
            .filter(|f| f.severity != Severity::Note);
        loud.map(ToString::to_string).collect()
    }

    /// Those that the good overlay does not have as well.
    fn said(&self, case: &Case<'_>, always: &[String]) -> Vec<String> {
        let mut said = self.findings(&self.source(case));
        said.retain(|line| !always.contains(line));
        said
    }

    /// The cases file with what is said now.
    fn blessed(&self) -> String {
        let head = self.cases.split("\n## ").next().unwrap();
        let always = self.findings(self.good);
        let cases = self.cases();
        cases.iter().fold(format!("{head}\n"), |mut text, case| {
            let _ = writeln!(text, "## {}", case.name);
            for (old, new) in &case.edits {
                let _ = writeln!(text, "{} => {}", escape(old), escape(new));
            }
            text.push_str("--\n");
            for line in self.said(case, &always) {
                let _ = writeln!(text, "{line}");
            }
            text.push('\n');
            text
        })
    }

    /// Every mistake gets its message; at least so many of them an error.
    fn check(&self, least: usize) {
        let cases = self.cases();
        if std::env::var_os("STAGEGATE_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
            let text = self.blessed().trim_end().to_string() + "\n";
            std::fs::write(format!("{path}{}", self.file), text).unwrap();
            return;
        }
        let mut wrong = String::new();
        let always = self.findings(self.good);
        for case in &cases {
            let found = self.said(case, &always);
            if found != case.expected {
                let _ = writeln!(
                    wrong,
                    "{}:\n  said {found:#?}\n  not  {:#?}",
                    case.name, case.expected
                );
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        let bad = cases
            .iter()
            .filter(|c| c.expected.iter().any(|e| e.starts_with("error")));
        assert!(bad.count() >= least, "too few cases with errors");
    }
}

#[test]
fn every_mistake_gets_its_message() {
    let suite = made_up();
    assert!(suite.findings(GOOD).is_empty());
    suite.check(40);
}

#[test]
fn so_does_every_mistake_on_a_real_board() {
    if let Some(suite) = dragonboard() {
        suite.check(20);
    }
}

#[test]
fn every_message_says_where_what_and_how_to_put_it_right() {
    let cases = [
        include_str!("data/bad_overlays.txt"),
        include_str!("data/bad_overlays_sdm845.txt"),
    ];
    let cases = cases.iter().flat_map(|text| text.split("\n## ").skip(1));
    for case in cases.map(case) {
        for line in case.expected.iter().filter(|l| l.starts_with("error")) {
            let (what, remedy) = line.rsplit_once("; ").unwrap_or((line, ""));
            assert!(!remedy.is_empty(), "{}: no remedy: {line}", case.name);
            assert!(
                what.contains("/") || what.contains("vms.dtbo"),
                "{}: no node",
                case.name
            );
        }
    }
}

/// Findings for blobs that are no overlays, or for bases they do not fit.
fn merge_findings(base: &[u8], overlay: &[u8]) -> Vec<&'static str> {
    let mut report = Report::new();
    let named = [Named {
        name: "vms.dtbo",
        bytes: overlay,
    }];
    let merged = merge(&Blob::check(base).unwrap(), &named, &mut report);
    assert_eq!(merged.is_none(), report.has_errors());
    report.errors().map(|f| f.code).collect()
}

#[test]
fn what_is_no_overlay_is_refused() {
    let board = platform::dts::compile(BOARD).unwrap();
    let good = platform::dts::compile(GOOD).unwrap();
    assert_eq!(merge_findings(&board, &board), ["not-overlay"]);
    assert_eq!(merge_findings(&board, b"MZ"), ["blob"]);
    for cut in [0, 39, 40, 200, good.len() - 1] {
        assert_eq!(
            merge_findings(&board, &good[..cut]),
            ["blob"],
            "cut at {cut}"
        );
    }
    assert!(merge_findings(&board, &good).is_empty());
}

#[test]
fn a_base_without_labels_or_phandles_is_explained() {
    let overlay = "/dts-v1/; /plugin/; &smmu { clocks = <&clk>; clk: clk { }; };";
    let overlay = platform::dts::compile(overlay).unwrap();
    let base = |source: &str| platform::dts::compile(source).unwrap();
    let no_symbols = base("/dts-v1/; / { smmu { }; };");
    assert_eq!(merge_findings(&no_symbols, &overlay), ["no-symbols"]);
    let no_phandle = base("/dts-v1/; / { smmu { }; __symbols__ { smmu = \"/smmu\"; }; };");
    assert_eq!(merge_findings(&no_phandle, &overlay), ["no-phandle"]);
    let stale = base("/dts-v1/; / { __symbols__ { smmu = \"/gone\"; }; };");
    assert_eq!(merge_findings(&stale, &overlay), ["stale-label"]);
    let fine = base("/dts-v1/; / { smmu: smmu { }; };");
    assert!(merge_findings(&fine, &overlay).is_empty());
}
