//! Steps that a test can leave out to prove that something notices.
//!
//! Only builds with the model (or under the model checker) can leave any out;
//! in an image the question is a constant.

/// A step of a driver or of the power state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(any(feature = "model", loom)), allow(dead_code))]
pub enum Step {
    /// Gate only when no link is active and no operation holds (P3).
    CountCheck,
    /// Gate only after the deadline (P3, D4).
    DeadlineCheck,
    /// A barrier between the cleared entry and the look at the state (P12).
    ElisionBarrier,
    /// Publish `Resuming` before the invalidation, not after it (P12).
    ResumePublish,
    /// Take a hold in an interrupt path only if on (P4).
    HoldCheck,
    /// A master goes on only after the resume has ended (P2).
    SupplierFirst,
    /// Keep a link when its master becomes idle (P7).
    KeepLink,
    /// Leave before anything is counted where nothing can be switched (P8).
    PayNothing,
    /// Deny when the hardware does not resume (P9).
    FailClosed,
    /// Keep the clocks when the hardware does not suspend (P9).
    StayOn,
    /// Try again what failed (P9).
    Retry,
    /// Deny by GBPA before anything else (C4).
    DenyFirst,
    /// Forget the entry between its rest and its first word.
    ForgetBeforeValid,
    /// Forget the entry after its first word was written.
    ForgetAfterChange,
    /// Wait for the sync after a change of an entry.
    WaitForEntry,
    /// Terminate an entry before it is rewritten.
    TerminateFirst,
    /// Send the invalidation of an unmap.
    SendInvalidation,
    /// Wait for its sync.
    WaitForSync,
    /// Name intermediate steps when tables were taken out.
    ForgetTables,
    /// Cover the whole range, not only its first command.
    CoverRange,
    /// Invalidate all configuration in resume (P5).
    ResumeForgetsConfiguration,
    /// Invalidate all translations in resume (P5).
    ResumeForgetsTranslations,
    /// Terminate in suspend before anything else (P6).
    SuspendTerminates,
    /// Invalidate and sync in suspend (P6).
    SuspendSyncs,
    /// Disable in suspend.
    SuspendDisables,
    /// Clean commands for a walker that is not coherent.
    CleanCommand,
    /// Clean entries for a walker that is not coherent.
    CleanEntry,
    /// Drop the CPU's copy of an event that a walker which is not coherent wrote.
    DiscardEvent,
    /// Name the level-1 descriptor, too, when an entry is to be forgotten: that
    /// there was none may be cached.
    ForgetLevelOne,
    /// Fail those whose commands were lost to a queue error.
    FailLost,
    /// Terminate the streams behind a TBU before its clock stops (P10).
    BlockTbu,
    /// Invalidate what a TBU may hold before it serves again (P10).
    RefreshTbu,
    /// Invalidate everything for a TBU that may hold other VMIDs (P10).
    TbuForgetsStrangers,
    /// Acknowledge an overflow of the event queue.
    AcknowledgeOverflow,
    /// Terminate a fenced domain's streams (C5).
    FenceTerminates,
}

/// Which step, if any, is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mutation {
    #[cfg(any(feature = "model", loom))]
    skip: Option<Step>,
}

impl Mutation {
    #[cfg(any(feature = "model", loom))]
    pub fn of(skip: Option<Step>) -> Self {
        Self { skip }
    }

    /// Whether the step is left out.
    #[inline(always)]
    pub fn skips(self, _step: Step) -> bool {
        #[cfg(any(feature = "model", loom))]
        return self.skip == Some(_step);
        #[cfg(not(any(feature = "model", loom)))]
        false
    }
}
