//! What power costs a whole machine, in instructions: with a clock that can be
//! switched before the SMMU, and with none.

use super::counting;
use crate::cases;
use crate::devicetree::Template;
use crate::machine::{Finished, Machine};
use crate::setup::Setup;
use crate::{Result, paths};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Devices of the guest, behind one SMMU.
const SLOTS: [u32; 2] = [6, 7];
/// The operator's word that nothing switches the SMMU.
const ALWAYS_ON: &str = "/dts-v1/; /plugin/; &smmu { stagegate,always-on; };";
const LIMIT: Duration = Duration::from_secs(60);

/// What one machine's guest counted, and what QEMU saw of its timers.
pub struct Counted {
    /// Figures by name.
    pub figures: BTreeMap<String, u64>,
    /// The machine's end, with its trace.
    pub finished: Finished,
}

/// Counts on a machine whose SMMU's clock `switchable` is a gate, or not.
///
/// # Errors
/// The guest did not come to its end, or a case failed.
pub fn count(switchable: bool) -> Result<Counted> {
    let name = if switchable { "switched" } else { "fixed" };
    let machine = counting(Machine::virt(1, 1024)).trace(["arm_gt_recalc"]);
    let mut setup = Setup::new(cases::with_edu(machine, &SLOTS))?;
    let kernel = setup.module(&cases::image()?)?;
    setup.overlay(match switchable {
        true => Template::named("clock-gate")?,
        false => Template::text("always-on", ALWAYS_ON),
    });
    setup.vms(&[cases::with_devices(&kernel, "powerbench", &SLOTS)]);
    let mut running = setup.start(&paths::fresh_dir(&format!("bench-power-{name}"))?)?;
    let verdicts = cases::listen(&mut running);
    verdicts.all_passed()?;
    Ok(Counted {
        figures: verdicts.figures.into_iter().collect(),
        finished: running.finish(LIMIT)?,
    })
}

/// All figures, for the report: what the machine without a clock counted
/// follows as `fixed_*`.
///
/// # Errors
/// As [`count`].
pub fn figures() -> Result<Value> {
    let mut report = Map::new();
    for (prefix, switchable) in [("", true), ("fixed_", false)] {
        for (name, value) in count(switchable)?.figures {
            println!("{prefix}{name}: {value}");
            report.insert(format!("{prefix}{name}"), value.into());
        }
    }
    Ok(Value::Object(report))
}
