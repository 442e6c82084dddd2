//! What a device's node refers to and its VM does not have.
//!
//! The guest's tree gets the device's own properties. Registers, interrupts,
//! clocks and power domain are said anew there; what refers to any other node
//! of the board is left out, and the operator told.
use super::Reader;
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;

/// What becomes of a property in the guest's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// It is copied.
    Copied,
    /// The guest's tree says it in its own way, or needs it not.
    SaidAnew,
    /// It goes with one that is left out.
    WithAnother,
    /// It refers to another node; what to do about that.
    LeftOut(&'static str),
}

/// Said anew for the guest, or without meaning there.
const SAID_ANEW: &[&str] = &[
    "reg",
    "interrupts",
    "interrupts-extended",
    "interrupt-parent",
    "iommus",
    "clocks",
    "power-domains",
    "power-domain-names",
    "phandle",
    "linux,phandle",
    "status",
    "dma-coherent",
    "name",
];

/// Names for the entries of a list that is left out.
const WITH_ANOTHER: &[&str] = &[
    "reset-names",
    "phy-names",
    "dma-names",
    "interconnect-names",
    "nvmem-cell-names",
    "memory-region-names",
    "mbox-names",
    "pinctrl-names",
    "assigned-clock-rates",
];

const USE_ONCE: &str = "it stays as firmware left it: let the boot loader use the device once";
const RATES: &str = "rates stay as firmware set them: let the boot loader use the device once";
const SWITCH: &str = "it stays as firmware left it: let the boot loader switch it on";
const ETHERNET: &str = "write fixed-link = <0 1 1000 0 0> on the device in an overlay";
const CARD: &str = "write non-removable or broken-cd on the device in an overlay";
const VALUE: &str = "write the value itself in an overlay, as local-mac-address";
const WITHOUT: &str = "its driver has to do without, or the device cannot be given";

/// Properties that refer to other nodes, by their whole name.
const NAMES: &[(&str, &str)] = &[
    ("resets", USE_ONCE),
    ("phys", USE_ONCE),
    ("usb-phy", USE_ONCE),
    ("mmc-pwrseq", USE_ONCE),
    ("phy-handle", ETHERNET),
    ("cd-gpios", CARD),
    ("wp-gpios", "write disable-wp on the device in an overlay"),
    ("nvmem-cells", VALUE),
    ("interconnects", RATES),
    ("operating-points-v2", RATES),
    ("required-opps", RATES),
    ("dmas", WITHOUT),
    ("memory-region", WITHOUT),
    ("mboxes", WITHOUT),
    ("extcon", WITHOUT),
    ("snps,mtl-rx-config", WITHOUT),
    ("snps,mtl-tx-config", WITHOUT),
    ("snps,axi-config", WITHOUT),
    ("rockchip,grf", WITHOUT),
    ("rockchip,pmu", WITHOUT),
    ("rockchip,vop-grf", WITHOUT),
    ("rockchip,vo1-grf", WITHOUT),
    ("mediatek,gce-client-reg", WITHOUT),
    ("mediatek,scp", WITHOUT),
    ("mediatek,vdecsys", WITHOUT),
    ("mediatek,vpu", WITHOUT),
    ("nvidia,head", WITHOUT),
    ("nvidia,outputs", WITHOUT),
    ("allwinner,sram", WITHOUT),
    ("samsung,disp-sysreg", WITHOUT),
    ("qcom,smem-states", WITHOUT),
    ("qcom,qmp", WITHOUT),
    ("qcom,gmu", WITHOUT),
    ("qcom,ice", WITHOUT),
    ("qcom,rproc", WITHOUT),
    ("qcom,halt-regs", WITHOUT),
    ("qcom,spare-regs", WITHOUT),
    ("qcom,ext-regs", WITHOUT),
    ("qcom,qaccept-regs", WITHOUT),
];

/// The same by how the name begins or ends.
const BEGINNINGS: &[(&str, &str)] = &[("pinctrl-", USE_ONCE), ("assigned-clock", RATES)];
const ENDINGS: &[(&str, &str)] = &[
    ("-supply", SWITCH),
    ("-gpios", USE_ONCE),
    ("-gpio", USE_ONCE),
];

/// What becomes of the property `name` of a device given to a VM.
#[must_use]
pub fn passing(name: &str) -> Passing {
    if SAID_ANEW.contains(&name) {
        return Passing::SaidAnew;
    }
    if WITH_ANOTHER.contains(&name) {
        return Passing::WithAnother;
    }
    let whole = NAMES.iter().find(|(n, _)| *n == name);
    let begins = || BEGINNINGS.iter().find(|(b, _)| name.starts_with(b));
    let ends = || ENDINGS.iter().find(|(e, _)| name.ends_with(e));
    match whole.or_else(begins).or_else(ends) {
        Some(&(_, remedy)) => Passing::LeftOut(remedy),
        None => Passing::Copied,
    }
}

/// Names each dependency of `device` that its VM will not have.
pub(super) fn check(r: &mut Reader<'_, '_>, device: NodeId) {
    for property in r.tree.node(device).properties() {
        let Passing::LeftOut(remedy) = passing(property.name) else {
            continue;
        };
        let first = property.cell(0).and_then(|p| r.tree.by_phandle(p));
        let meant = first.map_or_else(|| String::from("other node"), |id| r.tree.path(id));
        let what = format!("left out of its VM's tree, which has no {meant}");
        r.warning("device-needs", (device, property.name), what, remedy);
    }
    let node = r.tree.node(device);
    if ["clocks", "power-domains"]
        .iter()
        .any(|p| node.property(p).is_some())
    {
        let what = "clocks and power domains stay as firmware left them: its VM has its own \
                    SCMI server's in their place";
        r.report
            .note("device-clocks", (&r.tree.path(device), "clocks"), what);
    }
}
