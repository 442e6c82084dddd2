//! What needs an order of steps: the first denial, up, down, and afresh.

use super::V2;
use super::config::FirmwareStreams;
use super::features::IdRegisters;
use super::implementation::mmu500;
use super::spec::{Page, bank, cr0, gr0, gr1, stream};
use super::streams::Match;
use crate::error::Error;
use crate::mutation::Step;
use crate::outside::Registers;
use crate::power::Powered;

impl<R: Registers> V2<'_, R> {
    /// What sCR0 is to be while the SMMU is in use. CLIENTPD is never set, not
    /// even to set up: with it everything passes, and not to have it costs
    /// nothing, as a stream that nobody mapped faults.
    pub(super) fn control(&self) -> u32 {
        let mut value = CONTROL | cr0::GFIE | cr0::GCFGFIE;
        if self.features.extended {
            value |= cr0::EXIDENABLE;
        }
        if self.features.vmid16 {
            value |= cr0::VMID16EN;
        }
        value
    }

    /// The bits of sCR0 that say whether streams may pass or be mistaken.
    pub(super) fn control_checked(&self) -> u32 {
        let extended = self.control() & (cr0::EXIDENABLE | cr0::VMID16EN);
        // SMCFCFG may be fixed.
        cr0::CLIENTPD | cr0::USFCFG | extended
    }

    fn set_control(&self, power: &Powered, value: u32) -> Result<(), Error> {
        self.window.write(power, Page::Gr0, gr0::CR0, value);
        self.check_control(power)
            .map_err(|_| Error::Stuck(gr0::CR0))
    }

    /// Before anything else: nobody passes, whatever firmware left.
    pub(super) fn deny_first(&self, power: &Powered) -> Result<(), Error> {
        self.look_at_firmware(power);
        if !self.mutation.skips(Step::DenyFirst) {
            let quiet = self.control() & !(cr0::GFIE | cr0::GCFGFIE);
            self.set_control(power, quiet)?;
        }
        self.detect_s2cr(power);
        if !self.mutation.skips(Step::DenyFirst) {
            self.deny(power, true)?;
            let checked = self.streams.lock().check_denied(power, &self.window);
            checked.map_err(|n| Error::Stuck(gr0::s2cr(n)))?;
        }
        self.detect_reach(power);
        Ok(())
    }

    /// Entries that firmware left valid and that are to stay.
    fn look_at_firmware(&self, power: &Powered) {
        let keep = self.config.firmware_streams == FirmwareStreams::Keep;
        if !keep || !self.features.matching {
            return;
        }
        let read = |register| self.window.read(power, Page::Gr0, register);
        let extended = read(gr0::CR0) & cr0::EXIDENABLE != 0;
        let mut streams = self.streams.lock();
        for number in 0..self.features.entries {
            let (smr, s2cr) = (read(gr0::smr(number)), read(gr0::s2cr(number)));
            let (valid, width) = if extended {
                (s2cr & stream::EXIDVALID != 0, u16::MAX)
            } else {
                (smr & stream::VALID != 0, u16::MAX >> 1)
            };
            if valid && s2cr & stream::TYPE != stream::FAULT {
                let (id, mask) = (smr as u16 & width, (smr >> 16) as u16 & width);
                streams.keep(number, Match { id, mask }, smr);
            }
        }
    }

    /// Finds out whether firmware makes a fault of a bypass, on an entry that
    /// matches no stream.
    fn detect_s2cr(&self, power: &Powered) {
        if !self.quirks.firmware_s2cr || !self.features.matching {
            return;
        }
        let mut streams = self.streams.lock();
        let Some(spare) = streams.spare() else {
            return;
        };
        let at = gr0::s2cr(spare);
        self.window.write(power, Page::Gr0, gr0::smr(spare), 0);
        let bypass = stream::BYPASS | stream::NO_BANK;
        self.window.write(power, Page::Gr0, at, bypass);
        let now = self.window.read(power, Page::Gr0, at);
        if now & stream::TYPE != stream::BYPASS {
            // The last bank is then for those who pass.
            streams.spelling.passing_bank = self.passing_bank;
        }
    }

    /// Finds out which bits an SMR keeps, on an entry that terminates.
    fn detect_reach(&self, power: &Powered) {
        let mut streams = self.streams.lock();
        let (Some(spare), true) = (streams.spare(), self.features.matching) else {
            return;
        };
        let Match { id, mask } = streams.reach;
        let probe = |value: u32| {
            let at = gr0::smr(spare);
            self.window.write(power, Page::Gr0, at, value);
            let kept = self.window.read(power, Page::Gr0, at);
            self.window.write(power, Page::Gr0, at, 0);
            kept
        };
        let kept_id = probe(id.into()) as u16 & id;
        let kept_mask = (probe(u32::from(mask) << 16) >> 16) as u16 & mask;
        streams.reach = Match {
            id: kept_id,
            mask: kept_mask,
        };
    }

    /// Every stream terminates; with `spare`, firmware's go on that are kept.
    fn deny(&self, power: &Powered, spare: bool) -> Result<(), Error> {
        let quiet = self.control() & !(cr0::GFIE | cr0::GCFGFIE);
        self.set_control(power, quiet)?;
        let mut streams = self.streams.lock();
        if let Some(number) = streams.spelling.passing_bank {
            // Stage 1 that does not translate: what it gets it passes.
            let page = Page::Bank(number);
            self.window.write(power, page, bank::SCTLR, 0);
            let kind = gr1::CBAR_STAGE1;
            self.window.write(power, Page::Gr1, gr1::cbar(number), kind);
        }
        streams.deny(power, &self.window, spare);
        Ok(())
    }

    /// The one way up (P5).
    pub(super) fn bring_up(&self, power: &Powered) -> Result<(), Error> {
        let outcome = self.prepare(power).and_then(|()| self.go_live(power));
        if outcome.is_err() && !self.mutation.skips(Step::DenyFirst) {
            // Already an error; what this says adds nothing to it.
            let _ = self.deny(power, false);
        }
        outcome
    }

    /// In the order that works on real parts; all from memory.
    fn prepare(&self, power: &Powered) -> Result<(), Error> {
        self.check_identity()?;
        if !self.mutation.skips(Step::DenyFirst) {
            self.deny(power, true)?;
        }
        let stale = self.window.read_any(power, Page::Gr0, gr0::GFSR);
        self.window.write(power, Page::Gr0, gr0::GFSR, stale);
        self.disable_banks(power);
        for number in 0..self.features.banks {
            self.window
                .write(power, Page::Bank(number), bank::FSR, u32::MAX);
        }
        if !self.mutation.skips(Step::ResumeForgetsTranslations) {
            self.forget_all(power);
        }
        let (id7, banks) = (self.features.id.id7, self.features.banks);
        mmu500::reset(power, &self.window, &self.quirks, id7, banks)?;
        self.sync_all(power)
    }

    /// Banks, then streams, then interrupts.
    fn go_live(&self, power: &Powered) -> Result<(), Error> {
        let mut streams = self.streams.lock();
        for number in 0..self.usable_banks() {
            if streams.uses(number) {
                self.program_bank(power, number)?;
            }
        }
        streams.flush(power, &self.window);
        drop(streams);
        self.set_control(power, self.control())
    }

    /// The one way down (P6).
    pub(super) fn bring_down(&self, power: &Powered) -> Result<(), Error> {
        let skips = |step| self.mutation.skips(step);
        if !skips(Step::SuspendTerminates) {
            self.streams.lock().terminate(power, &self.window);
        }
        if !skips(Step::SuspendDisables) {
            self.disable_banks(power);
        }
        if !skips(Step::SuspendSyncs) {
            self.forget_all(power);
            self.sync_all(power)?;
        }
        // CLIENTPD stays 0: nothing may pass when the clock is back.
        let quiet = self.control() & !(cr0::GFIE | cr0::GCFGFIE);
        self.set_control(power, quiet)?;
        // Posted writes and a power request may travel by different paths:
        // the writes have arrived when a read has come back.
        self.check_identity()
    }

    /// After a sync that timed out: what was decided without the registers
    /// is told to them, and everything is forgotten.
    pub(super) fn start_afresh(&self, power: &Powered) -> Result<(), Error> {
        self.streams.lock().flush(power, &self.window);
        self.forget_all(power);
        self.sync_all(power)
    }

    fn disable_banks(&self, power: &Powered) {
        let mut contexts = self.contexts.lock();
        for number in 0..self.features.banks {
            self.window.write(power, Page::Bank(number), bank::SCTLR, 0);
        }
        for (_, context) in contexts.open_ones() {
            context.programmed = false;
        }
    }

    /// Still the part that was probed? Power may have failed to come up.
    fn check_identity(&self) -> Result<(), Error> {
        if self.window.identity() == Some(self.features.id) {
            Ok(())
        } else {
            Err(Error::Stuck(gr0::ID0))
        }
    }
}

/// sCR0 but for what depends on the part, and the interrupts: faults abort,
/// what nobody mapped or two match faults, maintenance is ours alone.
const CONTROL: u32 =
    cr0::GFRE | cr0::GCFGFRE | cr0::USFCFG | cr0::SMCFCFG | cr0::VMIDPNE | cr0::PTM;

impl<R: Registers> super::window::Window<R> {
    /// What the first instance says it is, if there is one.
    pub(super) fn identity(&self) -> Option<IdRegisters> {
        self.first().map(IdRegisters::read)
    }
}
