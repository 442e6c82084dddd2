//! What tells that a device is active.
use super::Reader;
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Evidence of a device's power state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerSource {
    /// PCI D-state and bus-master enable.
    PciPm,
    /// SCMI power domain and clock requests of the guest.
    Scmi,
    /// The guest says so by hypercall.
    Hypercall,
    /// Never idle.
    AlwaysOn,
}

impl PowerSource {
    const ALL: [(&str, Self); 4] = [
        ("pci-pm", Self::PciPm),
        ("scmi", Self::Scmi),
        ("hypercall", Self::Hypercall),
        ("always-on", Self::AlwaysOn),
    ];

    /// The word in the overlay.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, s)| *s == self)
            .map_or("", |(name, _)| name)
    }
}

/// What is wrong with a word. Access to registers was a source in the first
/// drafts of the format: who wrote it is told why it is none.
fn unknown(word: &str) -> String {
    match word {
        "mmio" => "a device that nobody accesses may still do DMA".into(),
        _ => format!("{word:?} is no power source"),
    }
}

/// The sources a device's node lists, or the default for its sort.
pub(super) fn sources(r: &mut Reader<'_, '_>, id: NodeId, is_pci: bool) -> Vec<PowerSource> {
    const NAME: &str = "stagegate,power-source";
    const REMEDY: &str = "write pci-pm, scmi, hypercall or always-on";
    let default = if is_pci {
        PowerSource::PciPm
    } else {
        PowerSource::Scmi
    };
    let Some(property) = r.tree.node(id).property(NAME) else {
        return alloc::vec![default];
    };
    let mut list = Vec::new();
    for word in property.strings() {
        let Some(&(_, source)) = PowerSource::ALL.iter().find(|(name, _)| *name == word) else {
            r.error("power-source", (id, NAME), unknown(word), REMEDY);
            continue;
        };
        if source == PowerSource::PciPm && !is_pci {
            let remedy = "write scmi, hypercall or always-on";
            r.error(
                "power-source",
                (id, NAME),
                "pci-pm is for PCI functions",
                remedy,
            );
        }
        if !list.contains(&source) {
            list.push(source);
        }
    }
    if list.len() > 1 && list.contains(&PowerSource::AlwaysOn) {
        let what = "always-on leaves nothing for the others to say";
        r.error(
            "power-source",
            (id, NAME),
            what,
            "write always-on alone, or remove it",
        );
    }
    if list.is_empty() {
        list.push(default);
    }
    list
}
