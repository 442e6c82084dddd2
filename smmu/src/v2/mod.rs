//! SMMUv1 and SMMUv2 with stage-2 translation (Arm IHI 0062).
//!
//! `spec` holds the manual's layouts; `implementation` what makers do
//! differently; the other files each one concern. This one ties them together.
//!
//! A context is a bank: it holds the tables' root, shape and VMID, and as many
//! streams as like are mapped to it. Everything that the registers must say is
//! in memory first, so that a resume can write it again.

mod bringup;
mod config;
mod contexts;
mod faults;
mod features;
mod implementation;
mod invalidate;
pub mod spec;
mod streams;
mod window;

pub use config::{Config, FirmwareStreams};
pub use features::{Features, IdRegisters};
pub use implementation::Implementation;
#[cfg(feature = "model")]
pub use implementation::WorkAround;
pub use implementation::qualcomm::TbuStatus;

use crate::error::Error;
use crate::fault::FaultRecord;
use crate::hardware::{Hardware, Limits, StreamAction, Ticket};
use crate::mutation::{Mutation, Step};
use crate::outside::{Registers, Time};
use crate::power::Powered;
use crate::sync::{AtomicU64, Lock, Ordering};
use crate::types::{ContextId, IpaRange, Stage2, StreamId, Vmid};
use alloc::boxed::Box;
use alloc::vec::Vec;
use contexts::Contexts;
use core::fmt::{self, Write};
use implementation::{Prefetch, Quirks};
use invalidate::BankSync;
use spec::{Page, bank};
use streams::{Match, StreamMap};
use window::Window;

/// One SMMUv1 or SMMUv2.
///
/// Order of locks: `streams`, `contexts`. The locks of the syncs are taken
/// with neither held.
pub struct V2<'a, R> {
    window: Window<R>,
    time: &'a dyn Time,
    config: Config,
    features: Features,
    quirks: Quirks,
    streams: Lock<StreamMap>,
    contexts: Lock<Contexts>,
    /// The bank for streams that pass, where firmware leaves no other way.
    passing_bank: Option<u16>,
    global_sync: Lock<()>,
    bank_syncs: Box<[BankSync]>,
    /// What the TBUs said when a sync last timed out.
    stuck_tbus: Lock<Option<TbuStatus>>,
    issued: AtomicU64,
    syncs: AtomicU64,
    mutation: Mutation,
}

/// A stream as [`StreamId`] with a mask: bits of the id that never matter.
/// Both have at most 16 bits.
pub const fn masked(id: u16, mask: u16) -> StreamId {
    StreamId((mask as u32) << 16 | id as u32)
}

impl<'a, R: Registers> V2<'a, R> {
    /// Reads what the SMMU is and makes it terminate everything (C4), except
    /// for firmware's streams where the operator keeps them. `windows` has
    /// one element, or one for each instance of NVIDIA's.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names what is missing: nothing was written.
    /// [`Error::Stuck`]: a register (its offset) did not keep the denial.
    pub fn probe(
        power: &Powered,
        windows: Vec<R>,
        time: &'a dyn Time,
        config: Config,
    ) -> Result<Self, Error> {
        let mut quirks = config.model.quirks();
        if config.tolerate_prefetch && quirks.prefetch == Prefetch::MustBeOff {
            quirks.prefetch = Prefetch::OffIfAllowed;
        }
        #[cfg(feature = "model")]
        let quirks = quirks.without(config.without);
        let mut windows = windows;
        if !quirks.several {
            windows.truncate(1);
        }
        let first = windows.first();
        let first = first.ok_or(Error::Unsupported("a register window"))?;
        let mut features = Features::decode(IdRegisters::read(first), &quirks, config.coherent)?;
        if config.window.is_some_and(|bytes| bytes < features.window()) {
            return Err(Error::Unsupported("a register window as large as ID1 says"));
        }
        features.banks = features.banks.min(config.banks).max(1);
        let mutation = config.mutation();
        let smmu = Self {
            window: Window::new(windows, &features, quirks.halves),
            time,
            config,
            features,
            quirks,
            streams: Lock::new(StreamMap::new(&features)),
            contexts: Lock::new(Contexts::new(
                features.banks,
                &features,
                config.first_vmid,
                quirks.unique_vmids,
            )),
            passing_bank: quirks
                .firmware_s2cr
                .then(|| features.banks.saturating_sub(1)),
            global_sync: Lock::new(()),
            bank_syncs: (0..features.banks).map(|_| BankSync::default()).collect(),
            stuck_tbus: Lock::new(None),
            issued: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            mutation,
        };
        smmu.deny_first(power)?;
        smmu.reserve_passing_bank();
        Ok(smmu)
    }

    /// What the probe found.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The first VMID that the next SMMU may use, where they share a space.
    pub fn next_vmid(&self) -> u16 {
        self.contexts.lock().last_vmid().saturating_add(1)
    }

    /// Streams that pass because firmware let them and the operator kept it.
    pub fn kept_streams(&self) -> usize {
        self.streams.lock().kept()
    }

    /// What the TBUs said when a sync last timed out (Qualcomm).
    pub fn stuck_tbus(&self) -> Option<TbuStatus> {
        *self.stuck_tbus.lock()
    }

    /// Banks that contexts may have.
    fn usable_banks(&self) -> u16 {
        self.features.banks
    }

    /// Contexts do without the passing bank, if there is one.
    fn reserve_passing_bank(&self) {
        let reserved = self.streams.lock().spelling.passing_bank;
        if reserved.is_some() {
            let banks = self.features.banks.saturating_sub(1);
            let (first, unique) = (self.config.first_vmid, self.quirks.unique_vmids);
            *self.contexts.lock() = Contexts::new(banks, &self.features, first, unique);
        }
    }

    fn program_bank(&self, power: &Powered, number: u16) -> Result<(), Error> {
        self.contexts.lock().program(
            power,
            &self.window,
            &self.features,
            self.config.context_interrupts.min(self.features.interrupts),
            ContextId(number),
        )
    }

    /// Stops banks that no stream uses: nothing walks their tables for it.
    fn stop_idle_banks(&self, power: &Powered, streams: &StreamMap) {
        let mut contexts = self.contexts.lock();
        for (number, context) in contexts.open_ones() {
            if context.programmed && !streams.uses(number) {
                self.window.write(power, Page::Bank(number), bank::SCTLR, 0);
                context.programmed = false;
            }
        }
    }

    fn matching(&self, stream: StreamId) -> Match {
        let mask = (stream.0 >> 16) as u16;
        Match {
            id: stream.0 as u16,
            mask: mask | self.config.stream_match_mask,
        }
    }

    fn check_tables(&self, tables: &Stage2) -> Result<(), Error> {
        let f = &self.features;
        let start_too_high = !f.wide && tables.start_level == 0;
        if tables.ipa_bits > f.ipa_bits || tables.ipa_bits < 25 || start_too_high {
            return Err(Error::InputSize(tables.ipa_bits));
        }
        let granule = 1u32.checked_shl(tables.granule_shift.into()).unwrap_or(0);
        if f.granules & granule == 0 {
            return Err(Error::Granule(tables.granule_shift));
        }
        let above = tables.root.0.checked_shr(f.pa_bits.into()).unwrap_or(0);
        if above != 0 || !tables.root.0.is_multiple_of(64) {
            return Err(Error::Root(tables.root.0));
        }
        if tables.coherent && !f.coherent {
            return Err(Error::Unsupported("coherent walks (ID0.CTTW)"));
        }
        if tables.fwb {
            return Err(Error::Unsupported("forced write-back (SMMUv3 has it)"));
        }
        Ok(())
    }

    /// Writes what was decided; true when a translation of a stream that
    /// passed may be in a TLB.
    fn tell(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<bool, Error> {
        let streams = self.matching(stream);
        let mut map = self.streams.lock();
        let passed =
            map.action_of(streams) == Some(StreamAction::Bypass) || map.entries().any(|e| e.kept);
        if let StreamAction::Translate(context) = action {
            self.contexts.lock().get(context)?;
        }
        map.decide(stream, streams, action)?;
        if let Some(power) = power {
            if let StreamAction::Translate(context) = action {
                self.program_bank(power, context.0)?;
            }
            map.flush(power, &self.window);
            self.stop_idle_banks(power, &map);
        }
        Ok(passed)
    }
}

impl<R: Registers> Hardware for V2<'_, R> {
    fn limits(&self) -> Limits {
        let vmids = u32::from(self.contexts.lock().last_vmid()).saturating_add(1);
        Limits {
            vmids,
            streams: if self.features.matching {
                // With a mask in the upper half; see `masked`.
                1 << 32
            } else {
                self.features.entries.into()
            },
            ipa_bits: self.features.ipa_bits,
            pa_bits: self.features.pa_bits,
            granules: self.features.granules,
            coherent: self.features.coherent,
        }
    }

    fn describe(&self, f: &mut dyn Write) -> fmt::Result {
        write!(f, "{}: {}", self.config.model.name(), self.features)?;
        let (kept, passing) = {
            let streams = self.streams.lock();
            (streams.kept(), streams.spelling.passing_bank)
        };
        if kept != 0 {
            write!(f, "\nfirmware's {kept} stream entries pass untranslated")?;
        }
        if let Some(bank) = passing {
            write!(f, "\nfirmware rewrites S2CR; bank {bank} is for bypass")?;
        }
        if let Some(tbus) = self.stuck_tbus() {
            write!(
                f,
                "\nat the last time-out: TBU_PWR_STATUS {:#x}, STATS_SYNC_INV_TBU_ACK {:#x}",
                tbus.power, tbus.acknowledged
            )?;
        }
        Ok(())
    }

    fn resume(&self, power: &Powered) -> Result<(), Error> {
        self.bring_up(power)
    }

    fn suspend(&self, power: &Powered) -> Result<(), Error> {
        self.bring_down(power)
    }

    fn open(&self, tables: &Stage2, vmid: Option<Vmid>) -> Result<(ContextId, Vmid), Error> {
        self.check_tables(tables)?;
        self.contexts.lock().open(tables, vmid)
    }

    fn close(&self, context: ContextId) {
        self.contexts.lock().close(context);
    }

    fn set_stream(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<(), Error> {
        let passed = self.tell(power, stream, action)?;
        let Some(power) = power else {
            return Ok(());
        };
        if self.mutation.skips(Step::ForgetAfterChange) {
            return Ok(());
        }
        if passed {
            self.forget_all(power);
        }
        self.sync_global(power)
    }

    fn refresh_stream(&self, power: &Powered, stream: StreamId) -> Result<(), Error> {
        // A stream's entry is a register; only what passed is in a TLB.
        let streams = self.matching(stream);
        let action = self.streams.lock().action_of(streams);
        if action == Some(StreamAction::Bypass) {
            self.forget_all(power);
        }
        self.sync_global(power)
    }

    fn invalidate(
        &self,
        power: &Powered,
        context: ContextId,
        ranges: &[IpaRange],
    ) -> Result<Ticket, Error> {
        self.forget_ranges(power, context, ranges)
    }

    fn invalidate_context(&self, power: &Powered, context: ContextId) -> Result<Ticket, Error> {
        self.forget_context(power, context)
    }

    fn wait(&self, power: &Powered, ticket: Ticket) -> Result<(), Error> {
        if self.mutation.skips(Step::WaitForSync) {
            return Ok(());
        }
        self.await_ticket(power, ticket)
    }

    fn recover(&self, power: &Powered) -> Result<(), Error> {
        self.start_afresh(power)
    }

    fn drain_faults(&self, power: &Powered, sink: &mut dyn FnMut(FaultRecord)) -> u32 {
        self.take_faults(power, sink)
    }

    fn global_errors(&self, power: &Powered) -> Result<(), Error> {
        self.check_control(power)
    }

    fn commands(&self) -> (u64, u64) {
        (
            self.issued.load(Ordering::Relaxed),
            self.syncs.load(Ordering::Relaxed),
        )
    }
}
