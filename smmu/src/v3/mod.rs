//! SMMUv3.0 to 3.2 with stage-2 translation (Arm IHI 0070).
//!
//! `spec` holds the manual's layouts; the other files each one structure.
//! This one ties them together and holds what needs an order of steps:
//! probe, resume, suspend, recovery.

mod bringup;
mod config;
mod contexts;
mod errata;
mod events;
mod features;
mod invalidate;
mod queue;
#[cfg(all(test, loom))]
mod queue_loom;
pub mod spec;
mod stream;

pub use config::{Config, Interrupts};
pub use errata::Errata;
pub use features::{Features, IdRegisters};

use crate::error::Error;
use crate::fault::FaultRecord;
use crate::hardware::{Hardware, Limits, StreamAction, Ticket};
use crate::mutation::{Mutation, Step};
use crate::outside::{DmaMemory, Registers, Time};
use crate::power::Powered;
use crate::types::{ContextId, IpaRange, Stage2, StreamId, Vmid};
use bringup::{RESUME, deny_all};
use contexts::Contexts;
use core::fmt::{self, Write};
use events::EventQueue;
use invalidate::Speller;
use queue::{CommandQueue, Env};
use spec::command::{Command, Words};
use spec::regs::{self, gerror};
use spec::ste::Ste;
use stream::StreamTable;

/// One SMMUv3.
pub struct V3<'a, R> {
    regs: R,
    mem: &'a dyn DmaMemory,
    time: &'a dyn Time,
    config: Config,
    features: Features,
    errata: Errata,
    streams: StreamTable,
    commands: CommandQueue,
    events: EventQueue,
    contexts: Contexts,
    mutation: Mutation,
}

impl<'a, R: Registers> V3<'a, R> {
    /// Reads what the SMMU is, makes it abort everything before the first
    /// structure is written (C4), and allocates tables and queues. The SMMU
    /// stays disabled until [`Hardware::resume`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] names what is missing; [`Error::Timeout`] and
    /// [`Error::NoMemory`] as they say. The SMMU then aborts everything, or
    /// was not touched.
    pub fn probe(
        power: &Powered,
        regs: R,
        mem: &'a dyn DmaMemory,
        time: &'a dyn Time,
        config: Config,
    ) -> Result<Self, Error> {
        let features = Features::decode(IdRegisters::read(&regs))?;
        let mutation = config.mutation();
        if !mutation.skips(Step::DenyFirst) {
            deny_all(power, &regs, time, config.bound_ns)?;
        }
        let errata = Errata::of(&features);
        if matches!(config.interrupts, Interrupts::Message { .. }) && !features.msi {
            return Err(Error::Unsupported("message interrupts (IDR0.MSI)"));
        }
        Ok(Self {
            streams: StreamTable::new(mem, &features, mutation)?,
            commands: CommandQueue::new(mem, config.cmdq_log2.min(features.cmdq_log2))?,
            events: EventQueue::new(mem, config.evtq_log2.min(features.evtq_log2))?,
            contexts: Contexts::new(&features, config.contexts),
            regs,
            mem,
            time,
            config,
            features,
            errata,
            mutation,
        })
    }

    /// What the probe found.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The work-arounds in use.
    pub fn errata(&self) -> &Errata {
        &self.errata
    }

    fn env(&self) -> Env<'_, R> {
        Env {
            regs: &self.regs,
            mem: self.mem,
            time: self.time,
            coherent: self.features.coherent,
            bound_ns: self.config.bound_ns,
            mutation: self.mutation,
        }
    }

    /// Commands, then a sync; not waited for.
    fn start(
        &self,
        power: &Powered,
        commands: &mut dyn Iterator<Item = Words>,
    ) -> Result<Ticket, Error> {
        let limit = self.errata.batch_limit();
        let ticket = self.commands.submit(power, &self.env(), commands, limit)?;
        Ok(Ticket(ticket))
    }

    fn speller(&self, context: ContextId) -> Result<Speller, Error> {
        let context = self.contexts.get(context)?;
        Ok(Speller {
            vmid: context.vmid,
            tables: context.tables,
            by_range: self.features.range_invalidation,
            mutation: self.mutation,
        })
    }

    fn encode(&self, action: StreamAction) -> Result<Ste, Error> {
        Ok(match action {
            StreamAction::Abort => Ste::abort(),
            StreamAction::Bypass => Ste::bypass(),
            StreamAction::Translate(context) => {
                let context = self.contexts.get(context)?;
                let bits = context.tables.pa_bits.min(self.features.pa_bits);
                Ste::stage2(
                    &context.tables,
                    context.vmid,
                    pgtable::encode_size(bits) as u8,
                )
            }
        })
    }

    /// Forgets the cached entry, where there is power to have cached it. The
    /// level-1 descriptor goes too: it may have been absent.
    fn drop_entry(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        step: Step,
    ) -> Result<(), Error> {
        match power {
            Some(power) if !self.mutation.skips(step) => {
                let leaf = self.mutation.skips(Step::ForgetLevelOne);
                let command = Command::CfgiSte(stream, leaf);
                let ticket = self.start(power, &mut core::iter::once(command.encode()))?;
                if self.mutation.skips(Step::WaitForEntry) {
                    return Ok(());
                }
                self.wait(power, ticket)
            }
            _ => Ok(()),
        }
    }

    fn check_tables(&self, tables: &Stage2) -> Result<(), Error> {
        if tables.ipa_bits > self.features.pa_bits.min(48) {
            // Stage-2 input may not exceed OAS here (5.2, S2T0SZ).
            return Err(Error::InputSize(tables.ipa_bits));
        }
        if tables.granule_shift > 31
            || self.features.granules & 1u32.wrapping_shl(tables.granule_shift.into()) == 0
        {
            return Err(Error::Granule(tables.granule_shift));
        }
        let fits = tables.root.0.checked_shr(self.features.pa_bits.into());
        if fits.unwrap_or(0) != 0 || !tables.root.0.is_multiple_of(64) {
            return Err(Error::Root(tables.root.0));
        }
        if tables.coherent && !self.features.coherent {
            return Err(Error::Unsupported("coherent walks (IDR0.COHACC)"));
        }
        if tables.fwb && !self.features.fwb {
            return Err(Error::Unsupported("forced write-back (IDR3.FWB)"));
        }
        Ok(())
    }
}

impl<R: Registers> Hardware for V3<'_, R> {
    fn limits(&self) -> Limits {
        Limits {
            vmids: self.contexts.vmids(),
            streams: self.streams.streams(),
            ipa_bits: self.features.pa_bits.min(48),
            pa_bits: self.features.pa_bits,
            granules: self.features.granules,
            coherent: self.features.coherent,
        }
    }

    fn describe(&self, f: &mut dyn Write) -> fmt::Result {
        write!(f, "{}", self.features)
    }

    fn resume(&self, power: &Powered) -> Result<(), Error> {
        self.bring_up(power)
    }

    fn suspend(&self, power: &Powered) -> Result<(), Error> {
        self.bring_down(power)
    }

    fn open(&self, tables: &Stage2, vmid: Option<Vmid>) -> Result<(ContextId, Vmid), Error> {
        self.check_tables(tables)?;
        self.contexts.open(tables, vmid)
    }

    fn close(&self, context: ContextId) {
        self.contexts.close(context);
    }

    fn set_stream(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<(), Error> {
        let target = self.encode(action)?;
        let entry = self.streams.entry(self.mem, stream)?;
        let abort = Ste::abort();
        let [abort_first, ..] = abort.0;
        let [first, ..] = target.0;
        // The first word alone terminates. The rest then stays as it was: it
        // is only rewritten once no cached first word can still lead to it.
        if first == abort_first {
            self.streams.write_first(self.mem, &entry, abort_first);
            return self.drop_entry(power, stream, Step::ForgetAfterChange);
        }
        let terminate = !self.mutation.skips(Step::TerminateFirst);
        if terminate && self.streams.first(self.mem, &entry) != 0 {
            self.streams.write_first(self.mem, &entry, abort_first);
            self.drop_entry(power, stream, Step::ForgetAfterChange)?;
        }
        // The SMMU may have fetched the terminating entry in pieces; only
        // after this will it see the new rest with the new first word.
        self.streams.write_rest(self.mem, &entry, &target);
        self.drop_entry(power, stream, Step::ForgetBeforeValid)?;
        self.streams.write_first(self.mem, &entry, first);
        self.drop_entry(power, stream, Step::ForgetAfterChange)
    }

    fn refresh_stream(&self, power: &Powered, stream: StreamId) -> Result<(), Error> {
        let command = Command::CfgiSte(stream, false);
        let ticket = self.start(power, &mut core::iter::once(command.encode()))?;
        self.wait(power, ticket)
    }

    fn forget_all(&self, power: &Powered) -> Result<(), Error> {
        self.invalidate_all(power, RESUME)
    }

    fn invalidate(
        &self,
        power: &Powered,
        context: ContextId,
        ranges: &[IpaRange],
    ) -> Result<Ticket, Error> {
        let speller = self.speller(context)?;
        if self.mutation.skips(Step::SendInvalidation) {
            return self.start(power, &mut core::iter::empty());
        }
        if speller.count(ranges).is_none() {
            return self.invalidate_context(power, context);
        }
        let commands = ranges.iter().flat_map(|range| speller.spell(*range));
        self.start(power, &mut commands.map(|command| command.encode()))
    }

    fn invalidate_context(&self, power: &Powered, context: ContextId) -> Result<Ticket, Error> {
        let vmid = self.contexts.get(context)?.vmid;
        let command = Command::TlbiS12Vmall(vmid);
        self.start(power, &mut core::iter::once(command.encode()))
    }

    fn wait(&self, power: &Powered, ticket: Ticket) -> Result<(), Error> {
        if self.mutation.skips(Step::WaitForSync) {
            return Ok(());
        }
        self.commands.wait(power, &self.env(), ticket.0)
    }

    fn recover(&self, power: &Powered) -> Result<(), Error> {
        self.restart_path(power)
    }

    fn drain_faults(&self, power: &Powered, sink: &mut dyn FnMut(FaultRecord)) -> u32 {
        self.events.drain(power, &self.env(), sink)
    }

    fn global_errors(&self, power: &Powered) -> Result<(), Error> {
        let r = &self.regs;
        let value = r.read32(regs::GERROR);
        let active = (value ^ r.read32(regs::GERRORN)) & gerror::ALL;
        let queue = self.commands.repair(power, &self.env());
        let others = active & !gerror::CMDQ;
        if others != 0 {
            let acknowledged = r.read32(regs::GERRORN) ^ others;
            r.write32(regs::GERRORN, acknowledged);
        }
        if active & gerror::SFM != 0 {
            return Err(Error::ServiceFailure(value));
        }
        queue.map_or(Ok(()), Err)
    }

    fn commands(&self) -> (u64, u64) {
        self.commands.counts()
    }
}
