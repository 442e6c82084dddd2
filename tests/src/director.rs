//! Listens to the guests, answers them, lets them wait for each other, wakes
//! those that sleep, and does the host's part at the right moments.

use crate::Result;
use crate::checks::Checks;
use crate::console::{End, Line};
use crate::guest::{self, Said, Vm};
use crate::machine::Running;
use crate::timeline::epoch_us;
use std::collections::{BTreeMap, BTreeSet};
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

/// What the host does when a guest sets a mark, or all have met: it is told
/// which.
pub type Hook<'h> = &'h mut dyn FnMut(&str, &mut Running, &mut Checks) -> Result<()>;

/// A guest that suspends itself says so before; after this long without a
/// word from anyone it is asleep, and a key wakes it.
const ASLEEP: Duration = Duration::from_secs(2);
/// How many limits a story may take in all.
const LIMITS: u32 = 4;
const SUSPENDS: &str = "suspend";
const RESUMED: &str = "resumed";
/// How a guest asks to be told when another VM is off.
const GONE: &str = "gone ";

/// The host's side of a story that guests play.
pub struct Director {
    /// VMs in the order of their consoles.
    pub vms: Vec<Vm>,
    /// Verdicts.
    pub checks: Checks,
    /// Named moments.
    pub marks: Vec<Mark>,
    waiting: BTreeMap<String, Vec<usize>>,
    /// Questions after the end of a VM that are answered: it is off.
    gone: BTreeSet<String>,
    asleep: Option<usize>,
}

impl Director {
    /// For VMs with these names.
    pub fn new(names: &[&str]) -> Self {
        Self {
            vms: names.iter().map(|name| Vm::new(name)).collect(),
            checks: Checks::default(),
            marks: Vec::new(),
            waiting: BTreeMap::new(),
            gone: BTreeSet::new(),
            asleep: None,
        }
    }

    /// Listens until the machine ends. `limit` is for what hangs: the longest
    /// time without a statement of any guest. Guests that talk for ever get a
    /// few times that.
    pub fn watch(&mut self, running: &mut Running, limit: Duration, hook: Hook<'_>) -> Result<End> {
        let last = Instant::now() + limit * LIMITS;
        let mut deadline = Instant::now() + limit;
        loop {
            let patience = match self.asleep {
                Some(_) => deadline.min(Instant::now() + ASLEEP),
                None => deadline,
            };
            let line = match (running.console.next(patience), self.asleep) {
                (Ok(line), _) => line,
                (Err(End::TimedOut), Some(index)) if Instant::now() < deadline => {
                    running.console.send(&typed(index, ""))?;
                    continue;
                }
                (Err(end), _) => return Ok(end),
            };
            self.ended(&line, running)?;
            if let Some((index, said)) = self.heard(&line) {
                deadline = last.min(Instant::now() + limit);
                self.react(index, said, &line, running, hook)?;
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
        hook: Hook<'_>,
    ) -> Result<()> {
        if let Some(what) = named(&said) {
            self.moment(what, index, line, running, hook)?;
        }
        if let Said::Ask(question) = &said {
            if let Some(point) = question.strip_prefix("meet ") {
                return self.meet(point, index, line, running, hook);
            }
            if question.starts_with(GONE) && !self.gone.contains(question) {
                self.waiting
                    .entry(question.clone())
                    .or_default()
                    .push(index);
                return Ok(());
            }
        }
        match self.vms[index].hear(said, line, &mut self.checks) {
            Some(answer) => running.console.send(&typed(index, &answer)),
            None => Ok(()),
        }
    }

    /// A moment that a guest has named, and the host's part in it.
    fn moment(
        &mut self,
        what: &str,
        index: usize,
        line: &Line,
        running: &mut Running,
        hook: Hook<'_>,
    ) -> Result<()> {
        self.mark(line, &self.vms[index].name.clone(), what);
        match what {
            SUSPENDS => self.asleep = Some(index),
            RESUMED => self.asleep = None,
            _ => {}
        }
        hook(what, running, &mut self.checks)
    }

    /// The hypervisor has said that a VM begins anew, or that it is off: that is
    /// a moment too, and whoever waits for it goes on.
    fn ended(&mut self, line: &Line, running: &mut Running) -> Result<()> {
        let says = |vm: &Vm, end| line.is("stagegate", &format!("{}: {end}", vm.name));
        if let Some(vm) = self.vms.iter_mut().find(|vm| says(vm, "reset")) {
            vm.resets(line.at);
            let what = format!("reset {}", vm.name);
            self.mark(line, "stagegate", &what);
        }
        let Some(vm) = self.vms.iter().find(|vm| says(vm, "powered off")) else {
            return Ok(());
        };
        let (what, question) = (format!("off {}", vm.name), format!("{GONE}{}", vm.name));
        self.mark(line, "stagegate", &what);
        for index in self.waiting.remove(&question).unwrap_or_default() {
            running.console.send(&typed(index, "go"))?;
        }
        self.gone.insert(question);
        Ok(())
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
        hook: Hook<'_>,
    ) -> Result<()> {
        let here = self.waiting.entry(point.to_string()).or_default();
        here.push(index);
        if here.len() < self.vms.len() {
            return Ok(());
        }
        self.mark(line, "all", point);
        hook(point, running, &mut self.checks)?;
        for index in self.waiting.remove(point).unwrap_or_default() {
            running.console.send(&typed(index, "go"))?;
        }
        Ok(())
    }
}

/// A [`Hook`] that pulls the network cable and plugs it in when the guest with
/// the card says so.
pub fn cable(what: &str, running: &mut Running, _: &mut Checks) -> Result<()> {
    match what {
        "unplug igb" => running.qmp.set_link("igb", false),
        "plug igb" => running.qmp.set_link("igb", true),
        _ => Ok(()),
    }
}

/// What a guest calls this moment. One that asks goes on when the host has taken
/// it down.
fn named(said: &Said) -> Option<&str> {
    match said {
        Said::Fact(key, what) if key == "mark" => Some(what),
        Said::Ask(question) => question.strip_prefix("mark "),
        _ => None,
    }
}

/// Keys that bring a line to a VM: Ctrl-a and its number select it. Then back
/// to the monitor: the hypervisor keeps the lines of VMs whole unless one is
/// selected.
fn typed(index: usize, answer: &str) -> Vec<u8> {
    format!("\x01{}{answer}\n\x010", index + 1).into_bytes()
}
