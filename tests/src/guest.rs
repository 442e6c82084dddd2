//! What a Linux guest tells about itself: the `@sg` lines of
//! `tests/linux/init`, and the state of a VM that follows from them.

use crate::checks::Checks;
use crate::console::Line;
use crate::crc;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// One statement of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `/init` runs: name and kernel release.
    Hello(String, String),
    /// A check of its own, with evidence.
    Verdict(bool, String, String),
    /// A value the host judges.
    Fact(String, String),
    /// Waits for a line from the console.
    Ask(String),
    /// Last words: `poweroff` or `reset`.
    Bye(String),
}

/// Finds a guest's statement in a console line, prefixed or not.
pub fn parse(text: &str) -> Option<Said> {
    let (_, words) = text.split_once("@sg ")?;
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let own = |s: &str| s.trim().to_string();
    Some(match verb {
        "hello" => Said::Hello(own(first), own(second)),
        "ok" | "fail" => {
            let (what, evidence) = rest.split_once('|').unwrap_or((rest, ""));
            Said::Verdict(verb == "ok", own(what), own(evidence))
        }
        "fact" => Said::Fact(own(first), own(second)),
        "ask" => Said::Ask(own(rest)),
        "bye" => Said::Bye(own(rest)),
        _ => return None,
    })
}

/// Splits the requirement off a statement: a capital letter and a number.
/// What says nothing else is about running stock guests.
fn requirement(what: &str) -> (&str, &str) {
    let is_id = |word: &str| {
        let (letter, number) = word.split_at_checked(1).unwrap_or(("", ""));
        letter.starts_with(|c: char| c.is_ascii_uppercase()) && number.parse::<u8>().is_ok()
    };
    match what.split_once(' ') {
        Some((id, rest)) if is_id(id) => (id, rest),
        _ => ("A3", what),
    }
}

/// A moment in a VM's life.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: SystemTime,
    /// `booting`, `running`, `reset`, `off`.
    pub state: &'static str,
}

/// What is known about one VM.
#[derive(Debug, Default)]
pub struct Vm {
    /// Its label in the configuration.
    pub name: String,
    /// Kernel release, once it said hello.
    pub kernel: Option<String>,
    /// How often `/init` started.
    pub boots: u32,
    /// How it ended, e.g. `poweroff`.
    pub exit: Option<String>,
    /// Facts it told.
    pub facts: BTreeMap<String, String>,
    /// Its states over time.
    pub moments: Vec<Moment>,
}

impl Vm {
    /// A VM that is expected to appear.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            ..Self::default()
        }
    }

    /// Takes a statement in; returns the answer to type, if it asked.
    pub fn hear(&mut self, said: Said, line: &Line, checks: &mut Checks) -> Option<String> {
        match said {
            Said::Hello(name, kernel) => {
                self.boots += 1;
                let evidence = format!(
                    "/init of '{name}' runs on Linux {kernel}, boot {}",
                    self.boots
                );
                checks.note(
                    "A3",
                    format!("{}: stock kernel boots", self.name),
                    name == self.name,
                    evidence,
                );
                self.kernel = Some(kernel);
                self.enter(line.at, "running");
            }
            Said::Verdict(ok, what, evidence) => {
                let (id, what) = requirement(&what);
                checks.note(id, format!("{}: {what}", self.name), ok, evidence);
            }
            Said::Fact(key, value) => {
                self.judge(&key, &value, checks);
                self.facts.insert(key, value);
            }
            Said::Ask(question) if question == "boot" => {
                let answer = if self.boots == 1 { "first" } else { "second" };
                return Some(answer.to_string());
            }
            Said::Ask(_) => return Some("go".to_string()),
            Said::Bye(how) => {
                let state = if how == "reset" { "reset" } else { "off" };
                self.enter(line.at, state);
                self.exit = Some(how);
            }
        }
        None
    }

    /// Facts of which the host knows what they must be.
    fn judge(&self, key: &str, value: &str, checks: &mut Checks) {
        let (id, what) = match key {
            "crc32" => ("A3", "64 MiB of memory hold what was written".to_string()),
            "file-crc32" => {
                let disk = value.rsplit('/').next().unwrap_or("");
                ("E5", format!("64 MiB on {disk} read back as written"))
            }
            _ => return,
        };
        let got = value.split(' ').next().unwrap_or("");
        let expected = format!("{:08x}", crc::crc32(self.block()));
        let evidence = format!("the guest's crc32 {got}, the host's {expected}");
        checks.note(
            id,
            format!("{}: {what}", self.name),
            got == expected,
            evidence,
        );
    }

    /// The 64 MiB that the guest's script writes to memory and disks.
    pub fn block(&self) -> impl Iterator<Item = u8> + use<> {
        let line = format!("stagegate guest {}\n", self.name).into_bytes();
        line.into_iter().cycle().take(64 << 20)
    }

    /// The hypervisor resets it: its kernel died, or had said so before.
    pub fn resets(&mut self, at: SystemTime) {
        if self.moments.last().is_none_or(|m| m.state != "reset") {
            self.enter(at, "reset");
        }
    }

    fn enter(&mut self, at: SystemTime, state: &'static str) {
        self.moments.push(Moment { at, state });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line {
            at: SystemTime::UNIX_EPOCH,
            text: text.to_string(),
        }
    }

    #[test]
    fn statements_are_found_behind_prefixes() {
        assert_eq!(
            parse("[disk] @sg ok clock runs | 102 ticks"),
            Some(Said::Verdict(true, "clock runs".into(), "102 ticks".into()))
        );
        assert_eq!(parse("@sg ask boot"), Some(Said::Ask("boot".into())));
        assert_eq!(parse("@sg sings"), None);
        assert_eq!(parse("[    0.1] random"), None);
    }

    #[test]
    fn the_answer_to_boot_depends_on_how_often_it_booted() {
        let (mut vm, mut checks) = (Vm::new("disk"), Checks::default());
        let hello = Said::Hello("disk".into(), "6.12".into());
        let ask = || Said::Ask("boot".into());
        vm.hear(hello.clone(), &line(""), &mut checks);
        assert_eq!(vm.hear(ask(), &line(""), &mut checks).unwrap(), "first");
        vm.hear(hello, &line(""), &mut checks);
        assert_eq!(vm.hear(ask(), &line(""), &mut checks).unwrap(), "second");
        assert!(checks.passed());
    }

    #[test]
    fn requirements_are_split_off() {
        assert_eq!(requirement("D2 nvme: unbound"), ("D2", "nvme: unbound"));
        assert_eq!(requirement("CPU 1 went off"), ("A3", "CPU 1 went off"));
        assert_eq!(requirement("é"), ("A3", "é"));
    }

    #[test]
    fn a_wrong_sum_fails() {
        let (mut vm, mut checks) = (Vm::new("disk"), Checks::default());
        vm.hear(
            Said::Fact("crc32".into(), "1".into()),
            &line(""),
            &mut checks,
        );
        assert_eq!(checks.count(), (0, 1));
    }
}
