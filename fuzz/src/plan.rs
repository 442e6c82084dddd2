//! The board's facts, the configuration, and the order of probing.

use super::input::Input;
use platform::config::{Inputs, plan};
use platform::facts::Board;
use platform::fdt::Blob;
use platform::probe::{Probed, graph_of};
use platform::report::Report;
use platform::tree::Tree;

/// Sixteen bytes say what probing comes to, four answers each; the rest is the merged tree. Every
/// device ends with an outcome.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let script: [u8; 16] = input.bytes();
    let Ok(blob) = Blob::check(input.0) else {
        return;
    };
    let tree = Tree::new(blob);
    let mut report = Report::new();
    let board = Board::read(&tree, &mut report);
    board.require(&mut report);
    let plan = plan(&tree, &board, Inputs::default(), &mut report);
    let (mut graph, entries) = graph_of(&tree, &board, &plan);
    assert_eq!(graph.devices().len(), entries.len());
    let mut asked = 0;
    let mut probe = |_: usize| {
        let answer = script[asked / 4 % script.len()] >> (asked % 4 * 2) & 3;
        asked += 1;
        match answer {
            0 | 1 => Probed::Ready,
            2 => Probed::NotYet("not yet"),
            _ => Probed::Failed("never"),
        }
    };
    graph.run(&mut probe);
    // Something turns up late.
    graph.run(&mut probe);
    graph.settle(&|index| index % 5 != 4);
    for _ in 0..entries.len() {
        graph.ask_one(&mut probe);
    }
    graph.finish();
    graph.explain(&entries, &mut report);
    for (index, device) in graph.devices().iter().enumerate() {
        assert!(device.state.is_final(), "{}", device.name);
        assert!(!graph.outcome(index).is_empty());
    }
    for finding in &report.findings {
        assert!(!finding.to_string().is_empty());
    }
}
