//! What SMMUs and masters have done: a table for people, and lines for
//! programs, one `@sg` line each, when the machine ends.
//!
//! No register of an SMMU is touched for this (P4).

use alloc::vec::Vec;
use core::fmt::{self, Write};

use smmu::LinkId;
use smmu::power::{Account, State, Who};

use crate::machine::board::console::print;
use crate::machine::board::smmus::{self, Unit};
use crate::machine::vm::Vm;
use crate::machine::vm::masters::Master;
use crate::machine::vms;
use crate::power::evidence::Word;

/// Every master of every VM.
fn masters() -> impl Iterator<Item = (&'static Vm, &'static Master)> {
    vms::all()
        .iter()
        .flat_map(|&vm| vm.masters.iter().map(move |master| (vm, master)))
}

/// Nanoseconds as seconds with milliseconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        f.pad(&alloc::format!("{}.{:03}", ms / 1000, ms % 1000))
    }
}

/// What an SMMU and a TBU account for alike, as columns of the table.
struct Columns<'a>(&'a Account);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = self.0;
        for ns in [a.on_ns, a.idle_ns, a.gated_ns, a.off_ns] {
            write!(f, "{:>9} ", Seconds(ns))?;
        }
        let (wakes, gates, kept) = (a.wakes, a.gates, a.deferrals_cancelled);
        write!(f, "{wakes:>6} {gates:>5} {kept:>4}")
    }
}

/// The same as fields of a line for programs, times in microseconds.
struct Fields<'a>(&'a Account);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = self.0;
        let us = [a.on_ns, a.idle_ns, a.gated_ns, a.off_ns].map(|ns| ns / 1000);
        let [on, idle, gated, off] = us;
        let (wakes, gates, kept) = (a.wakes, a.gates, a.deferrals_cancelled);
        write!(f, "on={on} idle={idle} gated={gated} off={off} ")?;
        write!(f, "wakes={wakes} gates={gates} cancelled={kept}")
    }
}

/// The power table: SMMUs, then masters. Times are seconds.
///
/// A function of its own, which tests replace to break a CPU.
#[inline(never)]
pub fn table() {
    print(format_args!(
        "SMMU                      state       on      idle     gated       off  wakes gates kept elided\n"
    ));
    for (_, unit) in smmus::units() {
        let stats = unit.smmu.stats();
        let a = stats.account;
        print(format_args!(
            "{:<24}  {:<8}{} {:>6}\n",
            unit.smmu.name(),
            stats.state.name(),
            Columns(&a),
            a.invalidations_elided,
        ));
        for (name, state, a) in tbus(unit) {
            print(format_args!(
                "  TBU {:<18}  {:<8}{}\n",
                name,
                state.name(),
                Columns(&a),
            ));
        }
        if let Some(error) = stats.last_error {
            print(format_args!("  last error: {error}\n"));
        }
    }
    print(format_args!(
        "master           VM               state           active      idle  faults  streams\n"
    ));
    for (vm, master) in masters() {
        let (word, reason) = master.verdict();
        let state = match word {
            _ if master.is_waiting() => "waits",
            Word::Active => "active",
            Word::Idle => "idle",
        };
        let (active, idle, faults) = times(master);
        let streams: Vec<u32> = master.streams().iter().map(|stream| stream.id).collect();
        print(format_args!(
            "{:<16} {:<16} {:<6} {:<8} {:>8} {:>9} {:>7}  {:x?}\n",
            master.name,
            vm.name,
            state,
            alloc::format!("{reason:?}"),
            Seconds(active),
            Seconds(idle),
            faults,
            streams,
        ));
    }
}

/// Nanoseconds active and idle, and faults, over all links.
fn times(master: &Master) -> (u64, u64, u64) {
    let stats = master
        .links()
        .iter()
        .filter_map(|link| link.unit.smmu.link_stats(link.id).ok());
    stats.fold((0, 0, 0), |sum, s| {
        (
            sum.0.max(s.active_ns),
            sum.1.max(s.idle_ns),
            sum.2 + s.faults,
        )
    })
}

/// The links: which master keeps which SMMU on.
pub fn links() {
    for (index, unit) in smmus::units() {
        print(format_args!(
            "{} ({}), {}\n",
            unit.smmu.name(),
            unit.path,
            unit.smmu.state().name()
        ));
        for (vm, master) in
            masters().filter(|(_, m)| m.links().iter().any(|link| link.index == index))
        {
            let (word, reason) = master.verdict();
            print(format_args!(
                "  <- {} of {}: {word:?} ({reason:?})\n",
                master.name, vm.name
            ));
        }
    }
}

/// The TBUs of an SMMU: name, state, account.
fn tbus(unit: &Unit) -> impl Iterator<Item = (&str, State, Account)> {
    unit.tbus.iter().enumerate().filter_map(|(index, tbu)| {
        let (state, account) = unit.smmu.tbu_stats(index).ok()?;
        Some((tbu.name.as_str(), state, account))
    })
}

/// Everything, for programs. Times are microseconds since the counter started.
pub fn lines() {
    for (_, unit) in smmus::units() {
        let (name, stats) = (unit.smmu.name(), unit.smmu.stats());
        let a = stats.account;
        print(format_args!(
            "@sg smmu {name} {} elided={} timeouts={} commands={} syncs={}\n",
            Fields(&a),
            a.invalidations_elided,
            a.sync_timeouts,
            stats.commands.0,
            stats.commands.1,
        ));
        for (tbu, _, a) in tbus(unit) {
            print(format_args!("@sg tbu {tbu} smmu={name} {}\n", Fields(&a),));
        }
    }
    for (vm, master) in masters() {
        let (active, idle, faults) = times(master);
        let mut streams = alloc::string::String::new();
        for (n, stream) in master.streams().iter().enumerate() {
            let _ = write!(streams, "{}{}", if n == 0 { "" } else { "," }, stream.id);
        }
        print(format_args!(
            "@sg master {} vm={} streams={streams} active={} idle={} faults={faults}\n",
            master.name,
            vm.name,
            active / 1000,
            idle / 1000,
        ));
    }
    for (index, unit) in smmus::units() {
        unit.smmu.timeline().read(0, |mark| {
            let at = mark.at_ns / 1000;
            let state = mark.state.name();
            match mark.who {
                Who::Smmu => print(format_args!(
                    "@sg mark {at} smmu:{} {state}\n",
                    unit.smmu.name()
                )),
                Who::Tbu(number) => {
                    let tbu = unit.tbus.get(number).map_or("?", |tbu| &tbu.name);
                    print(format_args!("@sg mark {at} tbu:{tbu} {state}\n"));
                }
                Who::Master(link) => {
                    let state = if mark.state == State::On {
                        "active"
                    } else {
                        "idle"
                    };
                    let owner = masters().find(|(_, m)| m.owns(index, LinkId(link)));
                    let name = owner.map_or("?", |(_, master)| master.name.as_str());
                    print(format_args!("@sg mark {at} master:{name} {state}\n"));
                }
            }
        });
    }
}
