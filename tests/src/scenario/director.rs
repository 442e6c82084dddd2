//! Listens to the guests, answers them, lets them wait for each other, and
//! looks into the machine's memory at the right moments.

use super::canary;
use crate::Result;
use crate::checks::Checks;
use crate::console::{End, Line};
use crate::guest::{self, Said, Vm};
use crate::machine::Running;
use crate::timeline::epoch_us;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A moment that guests or the host have named.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Microseconds since the Unix epoch.
    pub at_us: u64,
    /// VM, or `all` where both have met.
    pub who: String,
    /// E.g. `idle nvme`, `attack 0x80000000`, `one-idle`.
    pub what: String,
}

/// The host's side of the scenario.
pub struct Director {
    /// VMs in the order of their consoles.
    pub vms: Vec<Vm>,
    /// Verdicts.
    pub checks: Checks,
    /// Named moments.
    pub marks: Vec<Mark>,
    waiting: BTreeMap<String, Vec<usize>>,
}

impl Director {
    /// For VMs with these names.
    pub fn new(names: &[&str]) -> Self {
        Self {
            vms: names.iter().map(|name| Vm::new(name)).collect(),
            checks: Checks::default(),
            marks: Vec::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Listens until the machine ends or the time is up.
    pub fn watch(&mut self, running: &mut Running, limit: Duration) -> Result<End> {
        let deadline = Instant::now() + limit;
        loop {
            let line = match running.console.next(deadline) {
                Ok(line) => line,
                Err(end) => return Ok(end),
            };
            if let Some((index, said)) = self.heard(&line) {
                self.react(index, said, &line, running)?;
            }
        }
    }

    /// Whose statement a line is: the hypervisor puts the VM's name before it.
    fn heard(&self, line: &Line) -> Option<(usize, Said)> {
        let (source, words) = line.source()?;
        let index = self.vms.iter().position(|vm| vm.name == source)?;
        Some((index, guest::parse(words)?))
    }

    fn react(
        &mut self,
        index: usize,
        said: Said,
        line: &Line,
        running: &mut Running,
    ) -> Result<()> {
        if let Said::Fact(key, what) = &said
            && key == "mark"
        {
            self.mark(line, &self.vms[index].name.clone(), what);
            return Ok(());
        }
        if let Said::Ask(question) = &said
            && let Some(point) = question.strip_prefix("meet ")
        {
            return self.meet(point, index, line, running);
        }
        match self.vms[index].hear(said, line, &mut self.checks) {
            Some(answer) => running.console.send(&typed(index, &answer)),
            None => Ok(()),
        }
    }

    fn mark(&mut self, line: &Line, who: &str, what: &str) {
        self.marks.push(Mark {
            at_us: epoch_us(line.at),
            who: who.to_string(),
            what: what.to_string(),
        });
    }

    /// The last one to come lets all go on.
    fn meet(
        &mut self,
        point: &str,
        index: usize,
        line: &Line,
        running: &mut Running,
    ) -> Result<()> {
        let here = self.waiting.entry(point.to_string()).or_default();
        here.push(index);
        if here.len() < self.vms.len() {
            return Ok(());
        }
        self.mark(line, "all", point);
        if point == super::BUSY {
            canary::check(running, &mut self.checks)?;
        }
        for index in self.waiting.remove(point).unwrap_or_default() {
            running.console.send(&typed(index, "go"))?;
        }
        Ok(())
    }
}

/// Keys that bring a line to a VM: Ctrl-a and its number select it. Then back
/// to the monitor: the hypervisor keeps the lines of VMs whole unless one is
/// selected.
fn typed(index: usize, answer: &str) -> Vec<u8> {
    format!("\x01{}{answer}\n\x010", index + 1).into_bytes()
}
