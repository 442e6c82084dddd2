//! What a run leaves behind: `report.json` for programs, `report.html` for
//! people.

mod html;
mod svg;

use crate::checks::Checks;
use crate::timeline::{Lane, Timeline};
use crate::{Result, context};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One VM's summary.
pub struct VmSummary {
    /// Label.
    pub name: String,
    /// Kernel release, empty if it never came up.
    pub kernel: String,
    /// Times `/init` started.
    pub boots: u32,
    /// How it ended.
    pub exit: String,
}

/// One SMMU's summary; times come from the timeline.
#[derive(Default)]
pub struct SmmuSummary {
    /// Lane in the timeline.
    pub lane: Lane,
    /// Figures only the hypervisor knows, by their name in `report.json`.
    pub counters: Vec<(String, u64)>,
}

/// One master's summary.
pub struct MasterSummary {
    /// Owner.
    pub vm: String,
    /// Stream ids.
    pub stream_ids: Vec<u32>,
    /// Lane in the timeline.
    pub lane: Lane,
    /// Faults reported.
    pub faults: u64,
}

/// Everything about a run.
pub struct Report<'a> {
    /// What was run, for the headline.
    pub title: String,
    /// VMs.
    pub vms: Vec<VmSummary>,
    /// SMMUs.
    pub smmus: Vec<SmmuSummary>,
    /// Masters.
    pub masters: Vec<MasterSummary>,
    /// Checks.
    pub checks: &'a Checks,
    /// Picture.
    pub timeline: Timeline,
    /// The end of the console output, for the page.
    pub console: Vec<String>,
}

impl Report<'_> {
    /// Whether everything was as it should be.
    pub fn passed(&self) -> bool {
        self.checks.passed()
    }

    /// Writes both files into `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let text = format!("{:#}\n", self.json());
        for (name, text) in [("report.json", text), ("report.html", html::page(self))] {
            let path = dir.join(name);
            fs::write(&path, text).map_err(context(path.display()))?;
        }
        Ok(())
    }

    /// `report.json`.
    pub fn json(&self) -> Value {
        json!({
            "scenario": if self.passed() { "pass" } else { "fail" },
            "duration_us": self.timeline.end_us,
            "vms": self.vms.iter().map(VmSummary::json).collect::<Value>(),
            "smmus": self.smmus.iter().map(SmmuSummary::json).collect::<Value>(),
            "masters": self.masters.iter().map(MasterSummary::json).collect::<Value>(),
            "checks": self.checks.json(),
        })
    }
}

impl VmSummary {
    fn json(&self) -> Value {
        json!({"name": self.name, "kernel": self.kernel, "booted": self.boots > 0,
               "boots": self.boots, "exit": self.exit})
    }
}

impl SmmuSummary {
    fn json(&self) -> Value {
        let lane = &self.lane;
        let mut value = json!({
            "name": lane.name,
            "on_us": lane.total_us("on"),
            "idle_us": lane.total_us("idle"),
            "gated_us": lane.total_us("gated"),
            "off_us": lane.total_us("off"),
            "gates": lane.entries("gated"),
        });
        for (name, count) in &self.counters {
            value[name] = json!(count);
        }
        value
    }
}

impl MasterSummary {
    fn json(&self) -> Value {
        json!({"name": self.lane.name, "vm": self.vm, "stream_ids": self.stream_ids,
               "active_us": self.lane.total_us("active"), "idle_us": self.lane.total_us("idle"),
               "faults": self.faults})
    }
}

#[cfg(test)]
mod tests;
