//! What every modelled SMMU can be asked, whatever its architecture.

use super::tables::TableMemory;
use std::sync::Arc;

/// A unit with a clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The SMMU (its TCU, where it has TBUs of their own).
    Smmu,
    /// A TBU.
    Tbu(usize),
}

/// What becomes of state when power goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// Everything is kept: the "power domain" was only a request.
    Retain,
    /// Registers and caches are reset.
    #[default]
    Reset,
    /// Registers without a reset value hold garbage, and caches everything
    /// that they ever held.
    Scramble,
}

/// How the model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// Walks and queue accesses see the CPU's caches.
    pub coherent: bool,
    /// Invalidation by range.
    pub ranges: bool,
    /// Two-level stream tables.
    pub two_level: bool,
    /// Interrupts by messages, beside wires.
    pub messages: bool,
    /// Granules: bit n set means 2^n bytes.
    pub granules: u32,
    /// Output address bits: 32, 36, 40, 42, 44 or 48. Input is as wide.
    pub pa_bits: u8,
    /// Looks at the consumer register before a sync completes.
    pub sync_delay: u32,
    /// Looks that a sync takes on top while a TBU's clock runs: until then the
    /// TBU goes on with what it holds.
    pub tbu_delay: u32,
    /// Commands consumed each time somebody looks.
    pub rate: u32,
    /// What power-off does.
    pub loss: Loss,
    /// TBUs, at least one.
    pub tbus: usize,
    /// Implementer and product register.
    pub iidr: u32,
    /// Seed of the model's choices.
    pub seed: u64,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            coherent: true,
            ranges: true,
            two_level: true,
            messages: false,
            granules: 1 << 12 | 1 << 14 | 1 << 16,
            pa_bits: 44,
            sync_delay: 2,
            tbu_delay: 0,
            rate: 4,
            loss: Loss::Reset,
            tbus: 1,
            iidr: 0,
            seed: 1,
        }
    }
}

impl Nature {
    /// [`pa_bits`](Self::pa_bits) as every identification register has it.
    pub(super) fn size_code(&self) -> u32 {
        let sizes = [32, 36, 40, 42, 44, 48];
        let code = sizes.iter().position(|bits| *bits == self.pa_bits);
        code.expect("an output size that the manuals have") as u32
    }

    /// Looks before a sync completes; `tbus` says whose clocks run.
    pub(super) fn sync_looks(&self, tbus: &[bool]) -> u32 {
        let slow = tbus.iter().any(|on| *on);
        self.sync_delay + if slow { self.tbu_delay } else { 0 }
    }

    /// The granules as bits 4K, 16K, 64K.
    pub(super) fn granule_bits(&self) -> u32 {
        [12, 14, 16]
            .iter()
            .rev()
            .fold(0, |bits, shift| bits << 1 | self.granules >> shift & 1)
    }
}

/// Something that must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A register was touched without a clock (P4).
    Unclocked(usize),
    /// A clock was stopped under streams that do not terminate (P6, P10).
    StoppedLive(Unit),
    /// A clock was stopped while a queue was enabled, or commands or
    /// transactions were not complete (P6).
    StoppedBusy,
    /// A stream passed untranslated that may not (P1).
    Bypassed(u32),
    /// A transaction reached a page that belongs to somebody else by now.
    Reached(u64),
    /// A structure or queue register was written while in use.
    WrittenInUse(usize),
    /// A structure in memory made no sense.
    Structure(u64),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dma {
    /// It reached this address.
    Reached(u64),
    /// It was terminated.
    Terminated,
}

/// A modelled SMMU. The driver meets it as
/// [`Registers`](crate::Registers); a test as this.
pub trait Device: Send + Sync {
    /// Lets a master issue a transaction, and says where it went. The page it
    /// reached must not be forbidden.
    fn dma(&self, stream: u32, address: u64, write: bool) -> Dma;
    /// Lets a master issue a transaction that lands when the model likes, at
    /// the latest when a sync completes.
    fn launch(&self, stream: u32, address: u64);
    /// From now on the master launches transactions at this address whenever
    /// the driver is not looking.
    fn set_restless(&self, stream: u32, address: u64);
    /// Lands all that is under way.
    fn land(&self);
    /// The operator lets this stream pass untranslated, or no longer does.
    fn let_pass(&self, stream: u32, pass: bool);
    /// The page at `pa` belongs to somebody else from now on.
    fn forbid(&self, pa: u64);
    /// It may be reached again.
    fn permit(&self, pa: u64);
    /// Tables that walks may read.
    fn add_tables(&self, tables: Arc<dyn TableMemory>);
    /// Puts a stream behind a TBU (0 unless said otherwise).
    fn place(&self, stream: u32, tbu: usize);
    /// Starts or stops a clock.
    fn clock(&self, unit: Unit, on: bool);
    /// Raises or drops the power domain.
    fn power(&self, on: bool);
    /// Reads return zero: power did not really come up.
    fn set_dead(&self, dead: bool);
    /// From now on syncs complete (after the nature's delay), or never.
    fn set_syncs(&self, complete: bool);
    /// Everything that must not happen and did.
    fn violations(&self) -> Vec<Violation>;
    /// Register accesses so far.
    fn accesses(&self) -> u64;
}
