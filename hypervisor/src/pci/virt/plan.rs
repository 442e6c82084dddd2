//! Configuration writes in two phases.
//!
//! [`Plan`] borrows the host: between decision and commit nothing else can
//! change it, and a plan that is dropped has changed nothing.
//!
//! ```text
//!  wakes      supplier on ─► unmap moved BARs ─► register ─► map BARs
//!  goes idle  unmap BARs ─► register ─► read back ─► supplier released
//! ```

use super::caps::{CapWrite, Merge};
use super::function::{COMMAND_WRITABLE, VirtualFunction, bar_index};
use super::{Access, VirtualHost, placing, vbar};
use crate::pci::config::ConfigSpace;
use crate::pci::effects::Effects;
use crate::pci::regs::{self, command, pm, status};
use crate::pci::rid::Rid;

/// A write that has been understood and not yet performed.
#[must_use = "a write that is not committed has no effect"]
#[derive(Debug)]
pub struct Plan<'a> {
    host: &'a mut VirtualHost,
    /// Index of the function; what happens to it.
    change: Option<(usize, Change)>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Command {
        command: Option<u16>,
        clear_status: u16,
    },
    Power(u8),
    Bar {
        index: usize,
        value: u32,
        lanes: u32,
    },
    CacheLine(u8),
    InterruptLine(u8),
    Merge(Merge),
}

impl<'a> Plan<'a> {
    pub(super) fn new(host: &'a mut VirtualHost, access: Access, value: u32) -> Self {
        let lanes = access.width.ones() << access.shift();
        let value = value << access.shift();
        let found = host
            .functions
            .iter()
            .enumerate()
            .find(|(_, f)| f.rid == access.rid && !f.hidden);
        let change = found.and_then(|(index, function)| {
            Some((index, understand(function, access.word(), value, lanes)?))
        });
        Self { host, change }
    }

    /// The physical function that this write makes active. Its supplier must
    /// be on before [`Self::commit`]; if it cannot be, drop the plan.
    #[must_use]
    pub fn wakes(&self) -> Option<Rid> {
        let (index, change) = self.change?;
        let function = self.host.functions.get(index)?;
        let (mut d_state, mut command) = (function.d_state, function.command);
        match change {
            Change::Command {
                command: Some(new), ..
            } => command = new,
            Change::Power(state) => d_state = state,
            _ => {}
        }
        let master = d_state == 0 && command & command::BUS_MASTER != 0;
        (master && !function.active).then_some(function.physical)
    }

    /// Performs the write. Cannot fail: a BAR that stage 2 does not take stays
    /// unmapped, a function that does not stop mastering stays active.
    pub fn commit(self, cfg: &impl ConfigSpace, effects: &mut impl Effects) {
        let wakes = self.wakes().is_some();
        let Self { host, change } = self;
        let Some((index, change)) = change else {
            return;
        };
        let Some(function) = host.functions.get_mut(index) else {
            return;
        };
        function.active |= wakes;
        host.touched = true;
        let from = function.d_state;
        shadow(function, change);
        if matches!(
            change,
            Change::Command { .. } | Change::Power(_) | Change::Bar { .. }
        ) {
            placing::decide(&mut host.functions, &host.config);
            placing::unmap(&mut host.functions, effects);
        }
        if let Some(function) = host.functions.get_mut(index) {
            let proof = hardware(function, cfg, effects, change, from);
            release(function, proof, effects);
        }
        placing::map(&mut host.functions, effects);
    }
}

/// What writing `lanes` of `value` to the word at `offset` means.
fn understand(f: &VirtualFunction, offset: u16, value: u32, lanes: u32) -> Option<Change> {
    match offset {
        regs::COMMAND => {
            let written = lanes as u16 & COMMAND_WRITABLE;
            let command = (f.command & !written) | (value as u16 & written);
            let clear_status = ((value & lanes) >> 16) as u16 & status::W1C;
            let command = (written != 0).then_some(command);
            Some(Change::Command {
                command,
                clear_status,
            })
        }
        regs::CACHE_LINE => (lanes & 0xff != 0).then_some(Change::CacheLine(value as u8)),
        regs::BAR0..=regs::BAR5 => Some(Change::Bar {
            index: bar_index(offset),
            value,
            lanes,
        }),
        regs::INTERRUPT_LINE => (lanes & 0xff != 0).then_some(Change::InterruptLine(value as u8)),
        0x40..=0xff => match f.caps.write(offset, value, lanes, f.d_state)? {
            CapWrite::Power(state) => Some(Change::Power(state)),
            CapWrite::Merge(merge) => Some(Change::Merge(merge)),
        },
        _ => None,
    }
}

/// The change in the shadow.
fn shadow(function: &mut VirtualFunction, change: Change) {
    match change {
        Change::Command { command, .. } => function.command = command.unwrap_or(function.command),
        Change::Power(state) => function.d_state = state,
        Change::Bar {
            index,
            value,
            lanes,
        } => vbar::write(&mut function.bars, index, value, lanes),
        Change::CacheLine(value) => function.cache_line = value,
        Change::InterruptLine(value) => function.interrupt_line = value,
        Change::Merge(_) => {}
    }
}

/// What hardware says after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Bus-master enable reads back as clear.
    Silent,
    /// It reads back as set, or nobody looked.
    None,
}

/// The change in hardware.
fn hardware(
    function: &VirtualFunction,
    cfg: &impl ConfigSpace,
    effects: &impl Effects,
    change: Change,
    from: u8,
) -> Proof {
    let rid = function.physical;
    match change {
        Change::Command {
            command,
            clear_status,
        } => {
            if clear_status != 0 {
                cfg.write16(rid, regs::STATUS, clear_status);
            }
            if command.is_some() {
                return set_command(function, cfg);
            }
        }
        Change::Power(0) => wake(function, cfg, effects, from),
        Change::Power(state) => {
            // Mastering off first: read back before the function leaves D0, it
            // proves idleness without touching a function in transition.
            let proof = match from {
                0 => set_command(function, cfg),
                _ => Proof::None,
            };
            set_state(function, cfg, state);
            return proof;
        }
        Change::Merge(merge) => merge.apply(cfg, rid),
        Change::Bar { .. } | Change::CacheLine(_) | Change::InterruptLine(_) => {}
    }
    Proof::None
}

/// Writes the command register and reads it back, which also waits until the
/// function has taken the write.
fn set_command(function: &VirtualFunction, cfg: &impl ConfigSpace) -> Proof {
    cfg.write16(
        function.physical,
        regs::COMMAND,
        function.hardware_command(),
    );
    match cfg.read16(function.physical, regs::COMMAND) & command::BUS_MASTER {
        0 => Proof::Silent,
        _ => Proof::None,
    }
}

/// Back to D0. A function without `No_Soft_Reset` has lost its header, so that
/// is written again; the guest finds its own BARs and command as it left them.
fn wake(function: &VirtualFunction, cfg: &impl ConfigSpace, effects: &impl Effects, from: u8) {
    if from == 0 {
        return;
    }
    set_state(function, cfg, 0);
    effects.delay_us(match from {
        3 => pm::D3HOT_DELAY_US,
        _ => pm::D2_DELAY_US,
    });
    function.context.restore(cfg);
    cfg.write16(
        function.physical,
        regs::COMMAND,
        function.hardware_command(),
    );
}

/// Writes the D-state, PME off.
fn set_state(function: &VirtualFunction, cfg: &impl ConfigSpace, state: u8) {
    if let Some(at) = function.caps.pmcsr() {
        cfg.write16(function.physical, at, u16::from(state));
    }
}

/// Announces an active function as idle once hardware has it so. Without proof
/// it stays active, and its supplier on, until a later write brings one.
fn release(function: &mut VirtualFunction, proof: Proof, effects: &mut impl Effects) {
    if function.active && !function.can_master() && proof == Proof::Silent {
        function.active = false;
        effects.become_idle(function.physical);
    }
}
