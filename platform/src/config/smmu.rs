//! Policy for each SMMU: when it may sleep.
use super::device::DeviceConfig;
use super::driving::{self, Driving};
use super::power::PowerSource;
use super::vm::VmConfig;
use super::{DEFAULT_IDLE_DELAY_US, MAX_DELAY_US, Reader};
use crate::facts::Smmu;
use crate::facts::reference::Supply;
use crate::facts::smmu::{TBU_RANGE, Tbu};
use crate::supply::{SupplyKind, known, lacks};
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// An SMMU and when it may sleep.
#[derive(Debug, Clone)]
pub struct SmmuConfig {
    /// Index into [`crate::facts::Board::smmus`], where registers, interrupts,
    /// clocks and power domains are.
    pub smmu: usize,
    /// Its path.
    pub path: String,
    /// Its name for people.
    pub name: String,
    /// From the last activity to the clocks stopping, in microseconds.
    pub idle_delay_us: u64,
    /// From the last activity to the power domain going down, in microseconds;
    /// `None`: never.
    pub off_delay_us: Option<u64>,
    /// Never sleeps.
    pub always_on: bool,
    /// Its masters: indices of VM and device in the plan.
    pub masters: Vec<(usize, usize)>,
    /// Its TBUs with a supply of their own, in the order of the facts.
    pub tbus: Vec<TbuConfig>,
    /// How it is to be driven.
    pub driving: Driving,
}

/// A TBU and when it may sleep.
#[derive(Debug, Clone)]
pub struct TbuConfig {
    /// Index into [`Smmu::tbus`].
    pub tbu: usize,
    /// Its path.
    pub path: String,
    /// Its name for people.
    pub name: String,
    /// From the last activity to its clocks stopping, in microseconds.
    pub idle_delay_us: u64,
    /// Never sleeps; its supplies stay as firmware left them.
    pub always_on: bool,
}

const IDLE: &str = "stagegate,idle-delay-us";
const OFF: &str = "stagegate,off-delay-us";
const ALWAYS_ON: &str = "stagegate,always-on";

/// Our properties of an SMMU's node.
const KNOWN: &[&str] = &[
    IDLE,
    OFF,
    ALWAYS_ON,
    driving::GRANULE,
    driving::KEEP,
    driving::PREFETCH,
];
/// Our properties of a TBU's node.
const TBU_KNOWN: &[&str] = &[IDLE, ALWAYS_ON, TBU_RANGE];

pub(super) fn read(r: &mut Reader<'_, '_>, vms: &[VmConfig]) -> Vec<SmmuConfig> {
    let board = r.board;
    let enabled = board.smmus.iter().enumerate().filter(|(_, s)| s.enabled);
    enabled
        .map(|(index, smmu)| one(r, index, smmu, vms))
        .collect()
}

fn one(r: &mut Reader<'_, '_>, index: usize, smmu: &Smmu, vms: &[VmConfig]) -> SmmuConfig {
    let id = smmu.node;
    r.check_own_names(id, KNOWN);
    let masters = masters(smmu.node, vms);
    let sleepless = |&(vm, device): &(usize, usize)| {
        let device = vms.get(vm).and_then(|v: &VmConfig| v.devices.get(device));
        device.is_some_and(|d: &DeviceConfig| d.power_sources == [PowerSource::AlwaysOn])
    };
    let told = r.flag(id, ALWAYS_ON);
    let always_on = told || (!masters.is_empty() && masters.iter().all(sleepless));
    let idle_delay_us = delay(r, id, IDLE).unwrap_or(DEFAULT_IDLE_DELAY_US);
    let off_delay_us = delay(r, id, OFF);
    // Of a list that cannot be read, that was said.
    let unread = r
        .report
        .errors()
        .any(|f| f.code == "supply" && f.node == smmu.path);
    if !masters.is_empty() && !always_on && !smmu.is_switchable() && !unread {
        let what = "masters stand behind it, but nothing can switch it off";
        let remedy = "give it clocks or power-domains, or stagegate,always-on";
        r.error("smmu-no-supply", (id, "clocks"), what, remedy);
    }
    if !masters.is_empty() && !always_on {
        check_numbers(r, id, (&smmu.clocks, &smmu.power_domains));
    }
    check_delays(r, smmu, idle_delay_us, off_delay_us);
    SmmuConfig {
        smmu: index,
        path: smmu.path.clone(),
        name: name(r, id),
        idle_delay_us,
        off_delay_us,
        always_on,
        masters,
        tbus: tbus(r, smmu, idle_delay_us, vms),
        driving: driving::read(r, smmu),
    }
}

/// What people call it.
fn name(r: &Reader<'_, '_>, id: NodeId) -> String {
    let label = r.tree.node(id).property("label").and_then(|p| p.string());
    label.unwrap_or_else(|| r.tree.node(id).name()).into()
}

/// Clocks and domains of a controller with a table must be in it.
fn check_numbers(r: &mut Reader<'_, '_>, id: NodeId, (clocks, domains): (&[Supply], &[Supply])) {
    let clocks = clocks.iter().map(|s| (SupplyKind::Clock, "clocks", s));
    let domains = domains
        .iter()
        .map(|s| (SupplyKind::PowerDomain, "power-domains", s));
    for (kind, property, supply) in clocks.chain(domains) {
        let number = supply.args.first().copied().unwrap_or(0);
        if lacks(r.tree, supply.provider, kind, number) {
            let what = format!("no driver for number {number} of {}", supply.path);
            let known = known(r.tree, supply.provider, kind);
            let remedy = if known.is_empty() {
                String::from("leave it to firmware and set stagegate,always-on")
            } else {
                let known = known.join(", ");
                format!("it has one for {known}; or leave it to firmware: stagegate,always-on")
            };
            r.error("supply-number", (id, property), what, remedy);
        }
    }
}

fn masters(smmu: NodeId, vms: &[VmConfig]) -> Vec<(usize, usize)> {
    let mut list = Vec::new();
    for (v, vm) in vms.iter().enumerate() {
        for (d, device) in vm.devices.iter().enumerate() {
            if device.streams.iter().any(|s| s.smmu == smmu) {
                list.push((v, d));
            }
        }
    }
    list
}

fn delay(r: &mut Reader<'_, '_>, id: NodeId, name: &str) -> Option<u64> {
    let property = r.tree.node(id).property(name)?;
    let value = property.number().filter(|&us| us <= MAX_DELAY_US);
    if value.is_none() {
        let remedy = format!("write microseconds, at most {MAX_DELAY_US}");
        r.error("delay", (id, name), "not a delay", remedy);
    }
    value
}

fn check_delays(r: &mut Reader<'_, '_>, smmu: &Smmu, idle: u64, off: Option<u64>) {
    let Some(off) = off else { return };
    if off < idle {
        let what = format!("power would go ({off} us) before the clocks stop ({idle} us)");
        let remedy = "choose at least the idle delay";
        r.error("delay-order", (smmu.node, OFF), what, remedy);
    }
    if smmu.power_domains.is_empty() {
        let what = "it has no power domain to switch off";
        r.warning(
            "delay-unused",
            (smmu.node, OFF),
            what,
            "add power-domains or remove it",
        );
    }
}

fn tbus(r: &mut Reader<'_, '_>, smmu: &Smmu, default: u64, vms: &[VmConfig]) -> Vec<TbuConfig> {
    let mut list = Vec::new();
    let given = vms.iter().flat_map(|vm| &vm.devices);
    let used: Vec<u32> = given
        .flat_map(|device| &device.streams)
        .filter(|stream| stream.smmu == smmu.node)
        .map(|stream| stream.id)
        .collect();
    for (index, tbu) in smmu.tbus.iter().enumerate() {
        r.check_own_names(tbu.node, TBU_KNOWN);
        overlap(r, smmu, index, tbu);
        let always_on = r.flag(tbu.node, ALWAYS_ON);
        if !always_on && used.iter().any(|&id| tbu.serves(id)) {
            check_numbers(r, tbu.node, (&tbu.clocks, &tbu.power_domains));
        }
        list.push(TbuConfig {
            tbu: index,
            path: tbu.path.clone(),
            name: name(r, tbu.node),
            idle_delay_us: delay(r, tbu.node, IDLE).unwrap_or(default),
            always_on,
        });
    }
    list
}

/// A stream goes through one TBU.
fn overlap(r: &mut Reader<'_, '_>, smmu: &Smmu, index: usize, tbu: &Tbu) {
    let last = tbu
        .first_stream
        .saturating_add(tbu.streams.saturating_sub(1));
    let before = smmu.tbus.get(..index).unwrap_or_default();
    if let Some(other) = before.iter().find(|o| o.meets(tbu.first_stream, last)) {
        let what = format!("some of its streams are behind {} too", other.path);
        let remedy = "give each stream id to one TBU";
        r.error("tbu-range", (tbu.node, tbu.range), what, remedy);
    }
}
