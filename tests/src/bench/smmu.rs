//! What the SMMU drivers cost: instructions of map and unmap, and of power,
//! counted by callgrind on the host, and the commands that each issues.
//!
//! Each figure is a process of its own under callgrind, which counts only
//! while `counted` runs.

use super::registers::{SmmuV2, SmmuV3, Tally, Words};
use pgtable::{Attrs, Config, Granule, Heap, Ipa, Pa, Table};
use serde_json::{Value, json};
use smmu::power::Delays;
use smmu::v2::{self, Implementation, V2};
use smmu::v3::{self, V3};
use smmu::{
    Clock, DomainId, Hardware, LinkId, Smmu, SmmuConfig, Stage2, StreamId, SupplyError, Time,
};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Turns of each case: enough that what the first one does besides is lost.
const TURNS: u64 = 1000;

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;
const PAGE: u64 = 0x1000;
const BLOCK: u64 = 0x20_0000;
const LIST: u64 = 16;

/// What is mapped and unmapped.
const SHAPES: [&str; 3] = ["4k", "2m", "list16"];
/// Changes of power, and the state that each is made in.
const POWER: [(&str, &str); 3] = [("active", "on"), ("wake", "gated"), ("gate", "on")];

struct Now(AtomicU64);

impl Time for Now {
    fn now_ns(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A clock that does what it is told at once.
struct Gate;

impl Clock for Gate {
    fn prepare(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn enable(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn disable(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn unprepare(&self) {}
}

/// As the hypervisor keeps them: of whichever architecture.
type AnyHardware = Box<dyn Hardware + Send>;

struct Unit {
    smmu: Smmu<'static, AnyHardware>,
    domain: DomainId,
    links: [LinkId; 2],
}

struct Rig {
    time: &'static Now,
    table: Table<Heap>,
    unit: Option<Unit>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Rig {
    fn new(engine: &str, tally: Option<&'static Tally>) -> Self {
        let time = leak(Now(AtomicU64::new(0)));
        let config = Config::new(Granule::K4, 40, 48).unwrap();
        let table = Table::new(config.with_contiguous(false), Heap).unwrap();
        // What keeps the tables that the cases use.
        table.map(Ipa(IPA), Pa(PA), PAGE, Attrs::DMA).unwrap();
        let unit = (engine != "tables").then(|| unit(engine, &table, time, tally));
        Self { time, table, unit }
    }

    fn settle(&self, on: bool) {
        let Some(unit) = &self.unit else { return };
        if on {
            unit.smmu.master_active(unit.links[0]).unwrap();
        } else {
            unit.smmu.master_idle(unit.links[0]).unwrap();
            self.time.0.fetch_add(1_000_000_000, Relaxed);
            unit.smmu.tick(self.time.now_ns());
        }
    }

    fn map(&self, shape: &str) {
        let (ipa, attrs) = (Ipa(place(shape).0), Attrs::DMA);
        match shape {
            "list16" => {
                let page = |n| (Pa(PA + n * 2 * PAGE), PAGE);
                self.table
                    .map_list(ipa, (0..LIST).map(page), attrs)
                    .unwrap();
            }
            _ => self.table.map(ipa, Pa(PA), place(shape).1, attrs).unwrap(),
        }
    }

    fn unmap(&self, shape: &str) {
        let (ipa, len) = place(shape);
        let gone = self.table.unmap(Ipa(ipa), len).unwrap();
        let forget = |stale: pgtable::Stale| match &self.unit {
            Some(unit) => unit.smmu.invalidate(unit.domain, &[stale.into()]).map(drop),
            None => Ok(()),
        };
        self.table.release(gone, forget).unwrap();
    }

    /// One turn of a case; `count` is around what is to be counted.
    fn turn(&self, case: &str, shape: &str, count: &mut dyn FnMut(&mut dyn FnMut())) {
        match (case, &self.unit) {
            ("map", _) => {
                count(&mut || self.map(shape));
                self.unmap(shape);
            }
            ("unmap", _) => {
                self.map(shape);
                count(&mut || self.unmap(shape));
            }
            ("active", Some(unit)) => {
                count(&mut || unit.smmu.master_active(unit.links[1]).unwrap());
                unit.smmu.master_idle(unit.links[1]).unwrap();
            }
            ("wake", Some(unit)) => {
                count(&mut || unit.smmu.master_active(unit.links[0]).unwrap());
                self.settle(false);
            }
            ("gate", Some(unit)) => {
                self.settle(true);
                unit.smmu.master_idle(unit.links[0]).unwrap();
                self.time.0.fetch_add(1_000_000_000, Relaxed);
                count(&mut || unit.smmu.tick(self.time.now_ns()));
            }
            _ => {}
        }
    }
}

/// Address and length of a shape.
fn place(shape: &str) -> (u64, u64) {
    match shape {
        "2m" => (IPA + 16 * BLOCK, BLOCK),
        "list16" => (IPA + 32 * PAGE, LIST * PAGE),
        _ => (IPA + 7 * PAGE, PAGE),
    }
}

fn unit(
    engine: &str,
    table: &Table<Heap>,
    time: &'static Now,
    tally: Option<&'static Tally>,
) -> Unit {
    let clocks: [&'static dyn Clock; 1] = [&Gate];
    let config = SmmuConfig {
        clocks: &clocks,
        delays: Delays {
            idle_ns: 1_000_000,
            ..Delays::default()
        },
        ..SmmuConfig::default()
    };
    let smmu = Smmu::probe(&config, time, |power| {
        Ok(match engine {
            "v2" => {
                let config = v2::Config {
                    model: Implementation::Mmu500,
                    ..v2::Config::default()
                };
                Box::new(V2::probe(power, vec![SmmuV2::new(tally)], time, config)?) as AnyHardware
            }
            _ => {
                let memory = leak(Words::new(1 << 21));
                let registers = SmmuV3::new(engine == "v3-ranges", memory, tally);
                let config = v3::Config::default();
                Box::new(V3::probe(power, registers, memory, time, config)?)
            }
        })
    });
    let smmu = smmu.unwrap();
    let tables = Stage2::of(table.root(), table.config());
    let domain = smmu.create_domain(&tables, None).unwrap();
    let links = [8, 9].map(|stream| {
        let link = smmu.link(&[StreamId(stream)], None).unwrap();
        smmu.attach(link, domain).unwrap();
        link
    });
    Unit {
        smmu,
        domain,
        links,
    }
}

/// Callgrind counts while this runs, and what it calls.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    std::hint::black_box(work)();
}

/// Runs one case; under callgrind.
pub fn run(engine: &str, state: &str, case: &str, shape: &str) {
    let rig = Rig::new(engine, None);
    rig.settle(state == "on");
    for _ in 0..TURNS {
        rig.turn(case, shape, &mut counted);
    }
}

/// Instructions of one turn.
fn instructions(engine: &str, state: &str, case: &str, shape: &str) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*bench*smmu*counted*")
        .arg(std::env::current_exe().ok()?)
        .args(["smmu", engine, state, case, shape])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("Collected"))?;
    let total: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some((total / TURNS as f64 * 10.0).round() / 10.0)
}

/// What one turn tells the SMMU.
fn commands(engine: &str, state: &str, case: &str, shape: &str) -> Value {
    let tally = leak(Tally::default());
    let rig = Rig::new(engine, Some(tally));
    rig.settle(state == "on");
    let mut told = json!({});
    rig.turn(case, shape, &mut |work| {
        tally.take();
        work();
        told = json!(tally.take());
    });
    told
}

/// A column: an SMMU in a state.
const COLUMNS: [(&str, &str); 7] = [
    ("tables", "on"),
    ("v3-ranges", "on"),
    ("v3-ranges", "gated"),
    ("v3-pages", "on"),
    ("v3-pages", "gated"),
    ("v2", "on"),
    ("v2", "gated"),
];

/// A row of the table: what each column takes, and what it tells its SMMU.
fn row(case: &str, shape: &str, applies: impl Fn(&str, &str) -> bool) -> Option<Value> {
    let name = [case, shape].join(" ");
    let mut row = json!({});
    print!("{:16}", name.trim());
    for (engine, state) in COLUMNS {
        if !applies(engine, state) {
            print!("{:>17}", "-");
            continue;
        }
        let count = instructions(engine, state, case, shape)?;
        print!("{count:>17.1}");
        row[[engine, state].join(" ")] =
            json!({"instructions": count, "told": commands(engine, state, case, shape)});
    }
    println!();
    for (column, cell) in row.as_object().into_iter().flatten() {
        if cell["told"]
            .as_object()
            .is_some_and(|told| !told.is_empty())
        {
            println!("    {column}: {}", cell["told"]);
        }
    }
    Some(row)
}

/// All figures, printed as a table and returned as JSON.
pub fn figures() -> Value {
    print!("{:16}", "instructions");
    for (engine, state) in COLUMNS {
        print!("{:>17}", [engine, state].join(" "));
    }
    println!();
    let maps = SHAPES
        .iter()
        .flat_map(|shape| [("map", *shape), ("unmap", *shape)]);
    let power = POWER.map(|(case, _)| (case, ""));
    let mut all = json!({});
    for (case, shape) in maps.chain(power) {
        let state = POWER.iter().find(|p| p.0 == case).map(|p| p.1);
        let applies =
            |engine: &str, at: &str| state.is_none_or(|state| engine != "tables" && at == state);
        let Some(row) = row(case, shape, applies) else {
            println!("\nsmmu: no figures (is valgrind there?)");
            return Value::Null;
        };
        all[[case, shape].join(" ").trim()] = row;
    }
    all
}
