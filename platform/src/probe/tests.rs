use super::*;
use crate::config::{Inputs, plan};
use crate::facts::Board;
use crate::fdt::Blob;
use crate::report::Report;
use crate::tree::Tree;
use alloc::format;

/// A graph of devices 0.. with links (consumer, supplier, need).
fn graph(count: usize, links: &[(Index, Index, Need)]) -> Graph {
    let mut graph = Graph::new();
    for i in 0..count {
        graph.add(format!("d{i}"), State::New);
    }
    for &(consumer, supplier, need) in links {
        graph.link(consumer, supplier, need);
    }
    graph
}

fn state(graph: &Graph, index: Index) -> State {
    graph.devices()[index].state.clone()
}

use Need::{Optional, OrBypass, Required};

#[test]
fn suppliers_come_first_whatever_the_order_of_the_tree() {
    let mut graph = graph(4, &[(0, 1, Required), (1, 2, Required), (0, 3, Required)]);
    let mut probed = Vec::new();
    assert!(graph.run(&mut |i| {
        probed.push(i);
        Probed::Ready
    }));
    assert_eq!(probed, [2, 3, 1, 0]);
    assert_eq!(graph.order(), probed);
}

#[test]
fn a_late_supplier_is_waited_for_with_a_reason() {
    let mut graph = graph(3, &[(0, 1, Required), (1, 2, Required)]);
    assert!(!graph.run(&mut |_| Probed::NotYet("asleep")));
    assert_eq!(state(&graph, 2), State::NotYet("asleep"));
    assert_eq!(graph.outcome(0), "deferred: waits for d1");
    assert!(graph.run(&mut |_| Probed::Ready));
    assert_eq!(graph.order(), [2, 1, 0]);
}

#[test]
fn who_said_not_yet_is_asked_again_when_something_appears() {
    // 0 is ready only after 1 is, though no link says so.
    let mut graph = graph(2, &[]);
    let mut first = false;
    graph.run(&mut |i| match i {
        0 if !first => Probed::NotYet("needs a colleague"),
        0 => Probed::Ready,
        _ => {
            first = true;
            Probed::Ready
        }
    });
    assert_eq!(graph.order(), [1, 0]);
}

#[test]
fn waiting_does_not_spin() {
    let mut graph = graph(3, &[(0, 1, Required)]);
    let mut asked = [0; 3];
    graph.run(&mut |i| {
        asked[i] += 1;
        if i == 2 {
            Probed::Ready
        } else {
            Probed::NotYet("never")
        }
    });
    assert_eq!(asked, [0, 2, 1]);
}

#[test]
fn who_never_comes_takes_its_consumers_along() {
    let mut graph = graph(4, &[(0, 1, Required), (1, 2, Required), (3, 2, OrBypass)]);
    graph.run(&mut |i| {
        if i == 2 {
            Probed::Failed("broken")
        } else {
            Probed::Ready
        }
    });
    assert_eq!(state(&graph, 2), State::Failed("broken"));
    assert_eq!(state(&graph, 1), State::Refused(2));
    assert_eq!(graph.outcome(0), "refused: d1 needs d2: failed: broken");
    assert_eq!(state(&graph, 3), State::Bypassed(2));
}

#[test]
fn an_optional_supplier_is_waited_for_but_not_needed() {
    let mut graph = graph(2, &[(0, 1, Optional)]);
    graph.run(&mut |_| Probed::NotYet("late"));
    assert_eq!(state(&graph, 0), State::Waiting(1));
    graph.run(&mut |i| {
        if i == 1 {
            Probed::Failed("gone")
        } else {
            Probed::Ready
        }
    });
    assert_eq!(state(&graph, 0), State::Ready);
}

#[test]
fn a_master_is_not_bypassed_while_its_smmu_may_still_come() {
    let mut graph = graph(2, &[(0, 1, OrBypass)]);
    graph.run(&mut |_| Probed::NotYet("later"));
    assert_eq!(state(&graph, 0), State::Waiting(1));
    graph.finish();
    assert_eq!(state(&graph, 0), State::Bypassed(1));
}

#[test]
fn the_end_of_waiting_gives_everyone_an_outcome() {
    let mut graph = graph(4, &[(0, 1, Required), (1, 2, Required)]);
    graph.run(&mut |i| {
        if i == 3 {
            Probed::Ready
        } else {
            Probed::NotYet("silent firmware")
        }
    });
    graph.finish();
    assert!(graph.devices().iter().all(|d| d.state.is_final()));
    assert_eq!(
        graph.outcome(0),
        "refused: d1 needs d2: failed: silent firmware"
    );
    assert_eq!(state(&graph, 3), State::Ready);
}

#[test]
fn rings_are_found_and_named() {
    let links = [
        (0, 1, Required),
        (1, 2, Required),
        (2, 0, Required),
        (3, 1, Required),
    ];
    let mut graph = graph(5, &[&links[..], &[(4, 4, Required)]].concat());
    graph.run(&mut |_| Probed::Ready);
    graph.finish();
    assert_eq!(state(&graph, 1), State::Cycle(alloc::vec![0, 1, 2]));
    assert_eq!(graph.outcome(2), "waits for itself: d0 → d1 → d2 → d0");
    assert_eq!(graph.outcome(3), "refused: d1 waits for itself");
    assert_eq!(graph.outcome(4), "waits for itself: d4 → d4");
}

#[test]
fn any_graph_ends_with_an_outcome_for_all() {
    // Every graph of four devices with up to one required supplier each, and
    // every single failing device.
    for code in 0..5usize.pow(4) {
        let target = |i: usize| code / 5usize.pow(i as u32) % 5;
        let links: Vec<_> = (0..4)
            .filter(|&i| target(i) < 4)
            .map(|i| (i, target(i), Required))
            .collect();
        for failing in 0..5 {
            let mut graph = graph(4, &links);
            graph.run(&mut |i| {
                if i == failing {
                    Probed::Failed("x")
                } else {
                    Probed::Ready
                }
            });
            graph.finish();
            for (i, device) in graph.devices().iter().enumerate() {
                assert!(device.state.is_final(), "{code} {failing} {i}");
                let sound = device.state != State::Ready
                    || device
                        .links
                        .iter()
                        .all(|l| state(&graph, l.supplier) == State::Ready);
                assert!(sound, "{code} {failing} {i} is ready without its supplier");
            }
        }
    }
}

const BOARD: &str = include_str!("../../../tools/tests/data/board.dts");
const GOOD: &str = include_str!("../../../tools/tests/data/good.dtso");

/// Probes the test board under the good overlay, with edits.
fn probe_board(edits: &[(&str, &str)], answer: impl Fn(&str) -> Probed) -> Graph {
    let mut overlay = alloc::string::String::from(GOOD);
    for (old, new) in edits {
        assert!(overlay.contains(old), "{old}");
        overlay = overlay.replace(old, new);
    }
    let (board, overlay) = (
        crate::dts::compile(BOARD).unwrap(),
        crate::dts::compile(&overlay).unwrap(),
    );
    let mut report = Report::new();
    let named = [crate::overlay::Named {
        name: "o",
        bytes: &overlay,
    }];
    let merged = crate::overlay::merge(&Blob::check(&board).unwrap(), &named, &mut report).unwrap();
    let tree = Tree::new(Blob::check(&merged).unwrap());
    let board = Board::read(&tree, &mut report);
    let plan = plan(&tree, &board, Inputs::default(), &mut report);
    assert!(!report.has_errors(), "{report:?}");
    let (mut graph, _) = graph_of(&tree, &board, &plan);
    let names: Vec<_> = graph.devices().iter().map(|d| d.name.clone()).collect();
    graph.run(&mut |i| answer(&names[i]));
    graph.finish();
    graph
}

fn outcome(graph: &Graph, name: &str) -> alloc::string::String {
    graph.outcome(graph.devices().iter().position(|d| d.name == name).unwrap())
}

const NIC: &str = "/chosen/stagegate/vm@1/devices/device@0";
const DMA: &str = "/chosen/stagegate/vm@1/devices/device@1";

#[test]
fn a_board_comes_up_suppliers_first() {
    let graph = probe_board(&[], |_| Probed::Ready);
    let at = |name: &str| {
        let place = graph
            .order()
            .iter()
            .position(|&i| graph.devices()[i].name == name);
        place.unwrap_or_else(|| panic!("{name}"))
    };
    let chain = ["/oscillator", "/soc/clock-gate", "/soc/iommu@9050000", NIC];
    assert!(chain.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    let chain = [
        "/firmware/scmi",
        "/firmware/scmi/protocol@11",
        "/soc/iommu@9080000",
        DMA,
    ];
    assert!(chain.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    assert_eq!(
        outcome(&graph, "/soc/iommu@90b0000"),
        "refused: /clock-mystery: no driver"
    );
}

#[test]
fn silent_firmware_costs_only_who_depends_on_it() {
    let graph = probe_board(&[], |name| match name {
        "/firmware/scmi" => Probed::NotYet("no answer"),
        _ => Probed::Ready,
    });
    assert_eq!(outcome(&graph, NIC), "ready");
    assert!(outcome(&graph, DMA).ends_with("needs /firmware/scmi: failed: no answer"));
}

#[test]
fn a_failed_smmu_is_passed_only_where_the_operator_wrote_so() {
    let fail = |name: &str| match name {
        "/soc/iommu@9080000" => Probed::Failed("no such version"),
        _ => Probed::Ready,
    };
    assert!(outcome(&probe_board(&[], fail), DMA).starts_with("refused"));
    let edit = ("device = <&dma0>;", "device = <&dma0>; stagegate,optional;");
    assert_eq!(
        outcome(&probe_board(&[edit], fail), DMA),
        "bypassed: /soc/iommu@9080000 never came"
    );
}

#[test]
fn an_smmu_that_stays_on_needs_no_driver_for_its_clocks() {
    let edit = (
        "clocks = <&gate>;",
        "clocks = <&mystery 1>; stagegate,always-on;",
    );
    let graph = probe_board(&[edit], |_| Probed::Ready);
    assert_eq!(outcome(&graph, NIC), "ready");
}

/// What the hypervisor does once guests run: asks one at a time. `answer` is
/// told who is asked, and for the how manieth time. Who was asked.
fn ask(
    graph: &mut Graph,
    turns: usize,
    mut answer: impl FnMut(Index, usize) -> Probed,
) -> alloc::vec::Vec<Index> {
    let mut asked = alloc::vec::Vec::new();
    for _ in 0..turns {
        let before = asked.len();
        let one = graph.ask_one(&mut |i| {
            asked.push(i);
            answer(i, asked.iter().filter(|&&other| other == i).count())
        });
        assert_eq!(
            asked[before..],
            one.map_or(alloc::vec![], |i| alloc::vec![i])
        );
    }
    asked
}

#[test]
fn who_comes_late_brings_those_that_waited() {
    let links = [(0, 1, Required), (1, 2, Required), (3, 1, Required)];
    let mut graph = graph(4, &links);
    graph.run(&mut |_| Probed::NotYet("asleep"));
    graph.settle(&|_| true);
    assert!(graph.waits());
    assert_eq!(graph.outcome(0), "deferred: waits for d1");
    let asked = ask(&mut graph, 8, |i, times| match (i, times) {
        (2, 1..3) => Probed::NotYet("asleep"),
        _ => Probed::Ready,
    });
    // Nobody before its suppliers, and nobody again once it is ready.
    assert_eq!(asked, [2, 2, 2, 1, 3, 0]);
    assert_eq!(graph.order(), [2, 1, 3, 0]);
    assert!(!graph.waits());
}

#[test]
fn who_never_comes_is_asked_in_turn_with_others() {
    let mut graph = graph(3, &[(0, 1, Required)]);
    graph.settle(&|_| true);
    let asked = ask(&mut graph, 5, |i, _| match i {
        1 => Probed::NotYet("never"),
        _ => Probed::Failed("gone"),
    });
    assert_eq!(asked, [1, 2, 1, 1, 1]);
    assert_eq!(graph.outcome(0), "deferred: waits for d1");
    assert!(graph.waits());
}

#[test]
fn who_fails_late_takes_its_consumers_along() {
    let mut graph = graph(3, &[(0, 1, Required), (1, 2, Required)]);
    graph.run(&mut |_| Probed::NotYet("asleep"));
    graph.settle(&|_| true);
    ask(&mut graph, 2, |_, times| match times {
        1 => Probed::NotYet("asleep"),
        _ => Probed::Failed("broken"),
    });
    assert_eq!(graph.outcome(0), "refused: d1 needs d2: failed: broken");
    assert!(!graph.waits());
}

#[test]
fn a_ring_behind_a_late_supplier_is_named_when_that_comes() {
    // 0 and 1 need each other, which shows only when 2 is there.
    let links = [(0, 2, Required), (0, 1, Required), (1, 0, Required)];
    let mut graph = graph(3, &links);
    graph.run(&mut |_| Probed::NotYet("asleep"));
    graph.settle(&|_| true);
    assert_eq!(graph.outcome(0), "deferred: waits for d2");
    assert_eq!(ask(&mut graph, 3, |_, _| Probed::Ready), [2]);
    assert_eq!(graph.outcome(0), "waits for itself: d0 → d1 → d0");
    assert!(!graph.waits());
}

#[test]
fn a_supplier_that_somebody_does_without_does_not_come_late() {
    // 0 may run without 1, which waits for 3; 2 may not.
    let links = [(0, 1, OrBypass), (1, 3, Required), (2, 1, Required)];
    let mut graph = graph(4, &links);
    graph.run(&mut |_| Probed::NotYet("asleep"));
    graph.settle(&|_| true);
    assert_eq!(state(&graph, 0), State::Bypassed(1));
    assert_eq!(
        graph.outcome(2),
        "refused: d1: failed: it did not come in time"
    );
    assert_eq!(ask(&mut graph, 2, |_, _| Probed::Ready), [3]);
    assert_eq!(state(&graph, 0), State::Bypassed(1));
}

#[test]
fn who_may_not_come_late_is_refused_when_the_waiting_ends() {
    let mut graph = graph(3, &[(0, 1, Required), (2, 1, Required)]);
    graph.run(&mut |_| Probed::NotYet("asleep"));
    graph.settle(&|i| i != 2);
    assert_eq!(state(&graph, 2), State::Failed("it did not come in time"));
    assert_eq!(state(&graph, 0), State::Waiting(1));
}

#[test]
fn nobody_is_asked_when_nothing_is_late() {
    let mut graph = graph(3, &[(0, 1, Required)]);
    graph.run(&mut |i| match i {
        2 => Probed::Failed("broken"),
        _ => Probed::Ready,
    });
    graph.settle(&|_| true);
    assert!(!graph.waits());
    assert_eq!(ask(&mut graph, 3, |_, _| Probed::Ready), []);
}
