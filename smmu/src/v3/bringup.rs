//! What needs an order of steps: up, down, and the command path afresh.

use super::V3;
use super::config::Interrupts;
use super::spec::command::Command;
use super::spec::regs::{self, cr0, gbpa, irq_ctrl};
use crate::error::{Error, Wait};
use crate::hardware::Hardware;
use crate::mutation::Step;
use crate::outside::{Registers, Time};
use crate::poll;
use crate::power::Powered;

impl<R: Registers> V3<'_, R> {
    /// The one way up (P5).
    pub(super) fn bring_up(&self, power: &Powered) -> Result<(), Error> {
        let outcome = self
            .prepare(power)
            .and_then(|()| self.set_cr0(power, cr0::SMMUEN | cr0::CMDQEN | cr0::EVENTQEN));
        if outcome.is_err() {
            // Already an error; what this says adds nothing to it.
            let _ = self.deny_all(power);
        }
        outcome
    }

    /// The one way down (P6).
    pub(super) fn bring_down(&self, power: &Powered) -> Result<(), Error> {
        // Terminate first: GBPA, then SMMUEN. The command queue stays on, so
        // that the invalidation and its sync can complete.
        let skips = |step| self.mutation.skips(step);
        if !skips(Step::SuspendTerminates) {
            self.abort_when_disabled(power)?;
            self.set_cr0(power, cr0::CMDQEN | cr0::EVENTQEN)?;
        }
        if !skips(Step::SuspendSyncs) {
            self.invalidate_all(power, [Step::SuspendSyncs; 2])?;
        }
        self.set_interrupts(power, 0)?;
        if !skips(Step::SuspendDisables) {
            self.set_cr0(power, 0)?;
        }
        self.read_back()
    }

    /// A fresh command queue, without letting any stream through.
    pub(super) fn restart_path(&self, power: &Powered) -> Result<(), Error> {
        let running = self.regs.read32(regs::CR0ACK) & (cr0::SMMUEN | cr0::EVENTQEN);
        self.restart_commands(power, Error::Timeout(Wait::Sync), running)?;
        self.invalidate_all(power, RESUME)
    }

    /// Forgets all configuration and translations, and waits for it.
    pub(super) fn invalidate_all(&self, power: &Powered, left_out: [Step; 2]) -> Result<(), Error> {
        let [configuration, translations] = left_out.map(|step| self.mutation.skips(step));
        let all = [
            (!configuration, Command::CfgiAll),
            (!translations, Command::TlbiNsnhAll),
            (self.features.hyp, Command::TlbiEl2All),
        ];
        let wanted = all.iter().filter(|(wanted, _)| *wanted);
        let ticket = self.start(power, &mut wanted.map(|(_, command)| command.encode()))?;
        self.wait(power, ticket)
    }

    fn set_cr0(&self, power: &Powered, value: u32) -> Result<(), Error> {
        set_cr0(power, &self.regs, self.time, self.config.bound_ns, value)
    }

    fn deny_all(&self, power: &Powered) -> Result<(), Error> {
        deny_all(power, &self.regs, self.time, self.config.bound_ns)
    }

    fn abort_when_disabled(&self, power: &Powered) -> Result<(), Error> {
        abort_when_disabled(power, &self.regs, self.time, self.config.bound_ns)
    }

    /// Still the part that was probed? Power may have failed to come up.
    fn check_identity(&self) -> Result<(), Error> {
        match self.features.id.still_read(&self.regs) {
            true => Ok(()),
            false => Err(Error::Stuck(regs::IDR0)),
        }
    }

    /// Posted writes must arrive before the clock stops: one register brings
    /// them along.
    fn read_back(&self) -> Result<(), Error> {
        let [idr0, ..] = self.features.id.idr;
        match self.regs.read32(regs::IDR0) == idr0 {
            true => Ok(()),
            false => Err(Error::Stuck(regs::IDR0)),
        }
    }

    /// Everything of `resume` before streams may pass.
    fn prepare(&self, power: &Powered) -> Result<(), Error> {
        self.check_identity()?;
        self.deny_all(power)?;
        self.set_interrupts(power, 0)?;
        let r = &self.regs;
        let attributes = if self.features.coherent {
            regs::cr1::COHERENT
        } else {
            regs::cr1::NON_COHERENT
        };
        r.write32(regs::CR1, attributes);
        r.write32(regs::CR2, regs::cr2::RECINVSID | regs::cr2::PTM);
        let (base, shape) = self.streams.registers();
        r.write64(regs::STRTAB_BASE, base);
        r.write32(regs::STRTAB_BASE_CFG, shape);
        self.restart_commands(power, Error::Denied, 0)?;
        self.invalidate_all(power, RESUME)?;
        self.events.restart(power, &self.env());
        self.set_cr0(power, cr0::CMDQEN | cr0::EVENTQEN)?;
        self.program_interrupts(power)
    }

    /// Starts the command queue afresh, with the other enables as `keep`.
    fn restart_commands(&self, power: &Powered, reason: Error, keep: u32) -> Result<(), Error> {
        self.set_cr0(power, keep)?;
        self.commands.restart(power, &self.env(), reason);
        // Old errors are of a queue that is gone (6.3.19).
        let stale = self.regs.read32(regs::GERROR);
        self.regs.write32(regs::GERRORN, stale);
        self.set_cr0(power, keep | cr0::CMDQEN)
    }

    fn program_interrupts(&self, power: &Powered) -> Result<(), Error> {
        if self.features.msi {
            let (events, errors) = match self.config.interrupts {
                Interrupts::Wired => ((0, 0), (0, 0)),
                Interrupts::Message { events, errors } => (events, errors),
            };
            let r = &self.regs;
            r.write64(regs::EVENTQ_IRQ_CFG0, events.0);
            r.write32(regs::EVENTQ_IRQ_CFG1, events.1);
            r.write32(regs::EVENTQ_IRQ_CFG2, DEVICE_NGNRE);
            r.write64(regs::GERROR_IRQ_CFG0, errors.0);
            r.write32(regs::GERROR_IRQ_CFG1, errors.1);
            r.write32(regs::GERROR_IRQ_CFG2, DEVICE_NGNRE);
        }
        self.set_interrupts(power, irq_ctrl::EVENTQ | irq_ctrl::GERROR)
    }

    fn set_interrupts(&self, _: &Powered, value: u32) -> Result<(), Error> {
        self.regs.write32(regs::IRQ_CTRL, value);
        poll::until(self.time, self.config.bound_ns, Wait::Acknowledge, || {
            Ok(self.regs.read32(regs::IRQ_CTRLACK) == value)
        })
    }
}

/// The steps of an `invalidate_all` in resume.
pub(super) const RESUME: [Step; 2] = [
    Step::ResumeForgetsConfiguration,
    Step::ResumeForgetsTranslations,
];

/// MSI write attribute: Device-nGnRE (6.3.22).
const DEVICE_NGNRE: u32 = 0b0001;

fn set_cr0(
    _: &Powered,
    regs: &impl Registers,
    time: &dyn Time,
    bound_ns: u64,
    value: u32,
) -> Result<(), Error> {
    regs.write32(regs::CR0, value);
    poll::until(time, bound_ns, Wait::Acknowledge, || {
        Ok(regs.read32(regs::CR0ACK) == value)
    })
}

/// GBPA aborts, then everything is disabled: at no moment may a stream pass
/// (6.3.14; GBPA rules as soon as SMMUEN is 0).
pub(super) fn deny_all(
    power: &Powered,
    regs: &impl Registers,
    time: &dyn Time,
    bound_ns: u64,
) -> Result<(), Error> {
    abort_when_disabled(power, regs, time, bound_ns)?;
    set_cr0(power, regs, time, bound_ns, 0)
}

fn abort_when_disabled(
    _: &Powered,
    regs: &impl Registers,
    time: &dyn Time,
    bound_ns: u64,
) -> Result<(), Error> {
    let settled = || {
        poll::until(time, bound_ns, Wait::GlobalBypass, || {
            Ok(regs.read32(regs::GBPA) & gbpa::UPDATE == 0)
        })
    };
    settled()?;
    let value = regs.read32(regs::GBPA) | gbpa::ABORT | gbpa::UPDATE;
    regs.write32(regs::GBPA, value);
    settled()?;
    if regs.read32(regs::GBPA) & gbpa::ABORT == 0 {
        return Err(Error::Stuck(regs::GBPA));
    }
    Ok(())
}
