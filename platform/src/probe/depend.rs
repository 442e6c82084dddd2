//! What a node of the tree depends on, and which driver of ours serves it.
use crate::facts::reference::references;
use crate::fdt::Node;
use crate::supply::{bank, qcom, rockchip};
use crate::tree::{NodeId, Tree};
use alloc::vec::Vec;

/// Drivers for suppliers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// A clock that always runs.
    FixedClock,
    /// A clock derived from another at a fixed ratio.
    FixedFactor,
    /// A clock behind a GPIO line.
    GpioGate,
    /// PL061 GPIO controller.
    Pl061,
    /// Another GPIO controller, with a layout of its own.
    Gpio,
    /// SCMI firmware reached by SMC, HVC or a mailbox.
    Scmi,
    /// A protocol below SCMI firmware.
    ScmiProtocol,
    /// ZynqMP platform firmware (EEMI).
    Eemi,
    /// Clock controller below ZynqMP firmware.
    EemiClock,
    /// Qualcomm clock controller with a table of its own.
    Qualcomm,
    /// Rockchip clock unit or power controller with a table of its own.
    Rockchip,
}

const DRIVERS: &[(&str, Driver)] = &[
    ("fixed-clock", Driver::FixedClock),
    ("fixed-factor-clock", Driver::FixedFactor),
    ("gpio-gate-clock", Driver::GpioGate),
    ("arm,pl061", Driver::Pl061),
    ("arm,scmi", Driver::Scmi),
    ("arm,scmi-smc", Driver::Scmi),
    ("arm,scmi-smc-param", Driver::Scmi),
    ("xlnx,zynqmp-firmware", Driver::Eemi),
    ("xlnx,zynqmp-clk", Driver::EemiClock),
];

/// The driver for a supplier's node, if there is one.
#[must_use]
pub fn driver_of(tree: &Tree<'_>, id: NodeId) -> Option<Driver> {
    let node = tree.node(id);
    let listed = DRIVERS.iter().find(|(name, _)| node.is_compatible(name));
    if qcom::table(&node).is_some() {
        return Some(Driver::Qualcomm);
    }
    if rockchip::table(&node).is_some() {
        return Some(Driver::Rockchip);
    }
    if bank::is_known(&node) {
        return Some(Driver::Gpio);
    }
    listed.map(|&(_, driver)| driver).or_else(|| {
        let parent = tree.node(tree.parent(id)?);
        let firmware = parent
            .property("compatible")?
            .strings()
            .any(|s| s.starts_with("arm,scmi"));
        let protocol = node.base_name() == "protocol";
        (firmware && protocol && driver_of(tree, tree.parent(id)?).is_some())
            .then_some(Driver::ScmiProtocol)
    })
}

impl Driver {
    /// Whether the clocks a controller itself consumes matter to us. Those of
    /// an SoC's clock controller are crystals the SoC cannot run without.
    const fn needs_inputs(self) -> bool {
        !matches!(
            self,
            Self::Qualcomm | Self::Rockchip | Self::EemiClock | Self::Pl061 | Self::Gpio
        )
    }
}

/// List properties that name suppliers.
const LISTS: &[(&str, &str)] = &[
    ("clocks", "#clock-cells"),
    ("power-domains", "#power-domain-cells"),
    ("enable-gpios", "#gpio-cells"),
];

/// The direct suppliers of a node, each once. The firmware node above a
/// firmware protocol counts.
#[must_use]
pub fn suppliers_of(tree: &Tree<'_>, id: NodeId) -> Vec<NodeId> {
    let mut list = Vec::new();
    let driver = driver_of(tree, id);
    if driver.is_none_or(Driver::needs_inputs) {
        for &(property, cells) in LISTS {
            list.extend(named(tree, &tree.node(id), property, cells));
        }
    }
    if driver == Some(Driver::Rockchip) {
        // Each domain of a power controller has a node, which names the clocks
        // of its transitions.
        for domain in tree.subtree(id).filter(|&domain| domain != id) {
            list.extend(named(tree, &tree.node(domain), "clocks", "#clock-cells"));
        }
    }
    if matches!(driver, Some(Driver::ScmiProtocol | Driver::EemiClock)) {
        list.extend(tree.parent(id));
    }
    let mut once: Vec<NodeId> = Vec::new();
    for supplier in list {
        if supplier != id && !once.contains(&supplier) {
            once.push(supplier);
        }
    }
    once
}

fn named(tree: &Tree<'_>, node: &Node<'_>, property: &str, cells: &str) -> Vec<NodeId> {
    let list = node
        .property(property)
        .and_then(|p| references(tree, p, cells).ok());
    list.unwrap_or_default()
        .into_iter()
        .flatten()
        .map(|r| r.provider)
        .collect()
}

/// Whether `from` is `on`, or gets something from it, however indirectly.
#[must_use]
pub fn depends_on(tree: &Tree<'_>, from: NodeId, on: NodeId) -> bool {
    let mut seen = Vec::new();
    let mut open = alloc::vec![from];
    while let Some(at) = open.pop() {
        if at == on {
            return true;
        }
        if !seen.contains(&at) {
            seen.push(at);
            open.extend(suppliers_of(tree, at));
        }
    }
    false
}
