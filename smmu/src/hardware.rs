//! What an SMMU architecture must be able to do, so that one front
//! ([`crate::front`]) and one power state machine serve them all.
//!
//! Rules for implementors:
//!
//! * A method without a [`Powered`] argument touches no register.
//! * A method that takes `Option<&Powered>` changes memory (or a shadow of
//!   registers) always, and the hardware only with `Some`. Whatever was
//!   changed without power comes into force in `resume`.
//! * Every wait is bounded; a timeout is an error, and names what it waited
//!   for.
//! * Methods may be called from several CPUs at once; locks inside are
//!   leaves of the lock order (docs/locking.md) and never held over a wait
//!   for a sync.

use crate::error::Error;
use crate::fault::FaultRecord;
use crate::power::Powered;
use crate::types::{ContextId, IpaRange, Stage2, StreamId, Vmid};
use alloc::boxed::Box;
use core::fmt;

/// What becomes of the transactions of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamAction {
    /// Terminated with an abort to the master.
    Abort,
    /// Untranslated. Only where the operator wrote so.
    Bypass,
    /// Translated by stage 2 of this context.
    Translate(ContextId),
}

/// What a driver found, as far as others need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// VMIDs are below this, and above 0, which is never given out.
    pub vmids: u32,
    /// StreamIDs are below this.
    pub streams: u64,
    /// Widest input address of stage 2, bits.
    pub ipa_bits: u8,
    /// Widest output address, bits.
    pub pa_bits: u8,
    /// Granules: bit n set means 2^n bytes (12, 14, 16).
    pub granules: u32,
    /// Page-table walks and queue accesses snoop the CPU's caches.
    pub coherent: bool,
}

/// A sync that was issued and is to be waited for. Opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an invalidation is complete only after its ticket was waited for"]
pub struct Ticket(pub u64);

/// One SMMU of some architecture.
pub trait Hardware: Sync {
    /// What the probe found. No register access.
    fn limits(&self) -> Limits;

    /// Writes the probe's findings for a person to read. No register access.
    fn describe(&self, f: &mut dyn fmt::Write) -> fmt::Result;

    /// The one resume path (P5): from any state that power-off may have left,
    /// terminates, programs tables, invalidates all configuration and
    /// translations, waits for that to complete, enables.
    ///
    /// On error the SMMU terminates every stream as far as it can be told.
    fn resume(&self, power: &Powered) -> Result<(), Error>;

    /// The one suspend path up to the clocks (P6): terminates every stream,
    /// invalidates all, waits for a completed sync, disables, reads back.
    ///
    /// On error the streams terminate but old translations may be in use; the
    /// caller resumes or keeps the SMMU denied.
    fn suspend(&self, power: &Powered) -> Result<(), Error>;

    /// Takes a context for the tables: checks them against [`Limits`] and
    /// allocates. `vmid` asks for one in particular. Memory only.
    fn open(&self, tables: &Stage2, vmid: Option<Vmid>) -> Result<(ContextId, Vmid), Error>;

    /// Gives a context back. The caller has invalidated it (or knows that it
    /// will be before the next walk).
    fn close(&self, context: ContextId);

    /// Decides what becomes of a stream. With power, returns when no
    /// transaction is treated in the old way any more; each state that the
    /// hardware can see on the way is the old action, the new, or an abort.
    fn set_stream(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<(), Error>;

    /// Forgets any cached copy of the stream's configuration, without
    /// changing it: what a TBU that was asleep may have missed.
    fn refresh_stream(&self, power: &Powered, stream: StreamId) -> Result<(), Error>;

    /// Forgets all configuration and translations, of every context, and
    /// waits for it. Nothing passes that did not before.
    ///
    /// By default a recovery, which does that but may lose other CPUs'
    /// commands on the way; implementors and wrappers give their own.
    fn forget_all(&self, power: &Powered) -> Result<(), Error> {
        self.recover(power)
    }

    /// Starts to invalidate the ranges of a context. Never more than asked,
    /// unless the whole context is cheaper.
    fn invalidate(
        &self,
        power: &Powered,
        context: ContextId,
        ranges: &[IpaRange],
    ) -> Result<Ticket, Error>;

    /// Starts to invalidate everything of a context.
    fn invalidate_context(&self, power: &Powered, context: ContextId) -> Result<Ticket, Error>;

    /// Waits, bounded, until what the ticket stands for has completed.
    fn wait(&self, power: &Powered, ticket: Ticket) -> Result<(), Error>;

    /// After a sync that timed out: gets the command path going again if
    /// that is possible without letting any stream through. All earlier
    /// commands may be lost; on success everything was invalidated.
    fn recover(&self, power: &Powered) -> Result<(), Error>;

    /// Takes fault records off the hardware and gives each to `sink`.
    /// Returns how many were lost to overflow since the last call (at least).
    fn drain_faults(&self, power: &Powered, sink: &mut dyn FnMut(FaultRecord)) -> u32;

    /// Looks at the global error state, acknowledges and repairs what can be.
    fn global_errors(&self, power: &Powered) -> Result<(), Error>;

    /// Commands issued since probe, and syncs among them. No register access.
    fn commands(&self) -> (u64, u64);
}

/// For those who choose the architecture at run time.
impl<T: Hardware + Send + ?Sized> Hardware for Box<T> {
    fn limits(&self) -> Limits {
        (**self).limits()
    }
    fn describe(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        (**self).describe(f)
    }
    fn resume(&self, power: &Powered) -> Result<(), Error> {
        (**self).resume(power)
    }
    fn suspend(&self, power: &Powered) -> Result<(), Error> {
        (**self).suspend(power)
    }
    fn open(&self, tables: &Stage2, vmid: Option<Vmid>) -> Result<(ContextId, Vmid), Error> {
        (**self).open(tables, vmid)
    }
    fn close(&self, context: ContextId) {
        (**self).close(context);
    }
    fn set_stream(
        &self,
        power: Option<&Powered>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<(), Error> {
        (**self).set_stream(power, stream, action)
    }
    fn refresh_stream(&self, power: &Powered, stream: StreamId) -> Result<(), Error> {
        (**self).refresh_stream(power, stream)
    }
    fn forget_all(&self, power: &Powered) -> Result<(), Error> {
        (**self).forget_all(power)
    }
    fn invalidate(
        &self,
        power: &Powered,
        context: ContextId,
        ranges: &[IpaRange],
    ) -> Result<Ticket, Error> {
        (**self).invalidate(power, context, ranges)
    }
    fn invalidate_context(&self, power: &Powered, context: ContextId) -> Result<Ticket, Error> {
        (**self).invalidate_context(power, context)
    }
    fn wait(&self, power: &Powered, ticket: Ticket) -> Result<(), Error> {
        (**self).wait(power, ticket)
    }
    fn recover(&self, power: &Powered) -> Result<(), Error> {
        (**self).recover(power)
    }
    fn drain_faults(&self, power: &Powered, sink: &mut dyn FnMut(FaultRecord)) -> u32 {
        (**self).drain_faults(power, sink)
    }
    fn global_errors(&self, power: &Powered) -> Result<(), Error> {
        (**self).global_errors(power)
    }
    fn commands(&self) -> (u64, u64) {
        (**self).commands()
    }
}
