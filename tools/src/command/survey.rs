//! Everything there is to know about a board and its configuration.
use platform::config::{Inputs, Plan, plan};
use platform::facts::Board;
use platform::fdt::Blob;
use platform::probe::{Entry, Graph, Probed, graph_of};
use platform::report::{Report, Severity};
use platform::tree::Tree;

/// A board, the plan for it, and how probing would go.
#[derive(Debug)]
pub struct Survey<'a> {
    /// The indexed tree.
    pub tree: Tree<'a>,
    /// The board.
    pub board: Board,
    /// The plan; empty without a configuration.
    pub plan: Plan,
    /// Probe order and outcomes, with every driver taken to work.
    pub graph: Graph,
    /// What stands in the graph.
    pub entries: Vec<Entry>,
    /// Everything found.
    pub report: Report,
    /// The tree holds a configuration.
    pub configured: bool,
}

impl<'a> Survey<'a> {
    /// Surveys a checked tree.
    #[must_use]
    pub fn new(blob: Blob<'a>, inputs: Inputs<'_>) -> Self {
        let mut report = Report::new();
        let tree = Tree::new(blob);
        let board = Board::read(&tree, &mut report);
        board.require(&mut report);
        let configured = tree.find("/chosen/stagegate").is_some();
        let plan = if configured {
            plan(&tree, &board, inputs, &mut report)
        } else {
            report.note("bare-board", ("/chosen", ""), "no VMs are configured yet");
            Plan::default()
        };
        let (mut graph, entries) = graph_of(&tree, &board, &plan);
        graph.run(&mut |_| Probed::Ready);
        graph.finish();
        graph.explain(&entries, &mut report);
        soften(&mut report);
        Self {
            tree,
            board,
            plan,
            graph,
            entries,
            report,
            configured,
        }
    }
}

/// Boot loaders fill in the memory node; on a file it is no error that none is
/// there yet.
fn soften(report: &mut Report) {
    for finding in &mut report.findings {
        if finding.code == "no-memory" {
            finding.severity = Severity::Warning;
        }
    }
}
