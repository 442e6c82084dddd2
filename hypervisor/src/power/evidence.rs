//! Who says that a master is active? (`docs/power.md`, last paragraph.)
//!
//! Each master has one [`Evidence`], a plain value. An event gives the next
//! value; [`Evidence::step`] says what the change means for the master's links.
//! The strongest word wins, and every source but the hypercall can only veto:
//!
//! 1. the VM is not running → idle (P11), whatever the sources say;
//! 2. `always-on` → active;
//! 3. PCI bus-master enable clear or D-state other than D0 → idle;
//! 4. SCMI domain off → idle;
//! 5. hypercall said idle → idle;
//! 6. otherwise active.

/// What a `stagegate,power-source` list may name. Only sources in the list are
/// heard; an empty list means active for as long as the VM runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    bits: u8,
}

/// One source of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// `pci-pm`: D-state and bus-master enable.
    Pci = 1,
    /// `scmi`: the power domain the device stands in.
    Scmi = 2,
    /// `hypercall`: the guest's explicit word.
    Hypercall = 4,
    /// `always-on`: nothing else is asked.
    AlwaysOn = 8,
}

impl Sources {
    /// No source: active while the VM runs.
    pub const NONE: Self = Self { bits: 0 };

    /// The set with `source` added.
    #[must_use]
    pub const fn with(self, source: Source) -> Self {
        Self {
            bits: self.bits | source as u8,
        }
    }

    /// Whether they follow the device's power state at all.
    #[must_use]
    pub const fn follow(self) -> bool {
        let heard = Source::Pci as u8 | Source::Scmi as u8 | Source::Hypercall as u8;
        self.bits & heard != 0 && !self.has(Source::AlwaysOn)
    }

    /// Whether `source` is heard.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        self.bits & source as u8 != 0
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        sources.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Life of the owning VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmLife {
    /// Its vCPUs may run.
    Running,
    /// Off, crashed, being reset, or not started yet.
    Stopped,
}

/// One source's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The master may issue transactions.
    Active,
    /// It will not, until the source says otherwise.
    Idle,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The VM started or stopped. Stopping forgets what the VM said.
    Vm(VmLife),
    /// PCI: active is D0 with bus-master enable.
    Pci(Word),
    /// SCMI: active is domain on.
    Scmi(Word),
    /// Hypercall.
    Hypercall(Word),
}

/// Why a master counts as active or idle: the strongest evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Idle: the VM does not run.
    VmStopped,
    /// Active: configured so.
    AlwaysOn,
    /// Idle: PCI state.
    Pci,
    /// Idle: SCMI domain off.
    Scmi,
    /// Idle: the guest said so.
    Hypercall,
    /// Active: nothing says otherwise.
    Default,
}

/// Everything known about one master. The default of each source is the state
/// after reset of the thing it watches: a PCI function masters nothing, an SCMI
/// domain is off; of hypercalls none was heard, which says nothing, so that a
/// driver that knows none can do DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    sources: Sources,
    vm: VmLife,
    pci: Word,
    scmi: Word,
    hypercall: Word,
}

/// What a change of evidence asks of the master's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Power the suppliers first, then let the change happen, then keep the
    /// new evidence; on failure keep the old.
    Wake,
    /// Let the change happen, keep the new evidence, then release the links.
    Sleep,
}

impl Evidence {
    /// A master of a VM that does not run yet.
    #[must_use]
    pub const fn new(sources: Sources) -> Self {
        Self {
            sources,
            vm: VmLife::Stopped,
            pci: Word::Idle,
            scmi: Word::Idle,
            hypercall: Word::Active,
        }
    }

    /// The evidence after `event`.
    #[must_use]
    pub const fn after(self, event: Event) -> Self {
        let mut next = self;
        match event {
            Event::Vm(VmLife::Stopped) => next = Self::new(self.sources),
            Event::Vm(VmLife::Running) => next.vm = VmLife::Running,
            Event::Pci(word) => next.pci = word,
            Event::Scmi(word) => next.scmi = word,
            Event::Hypercall(word) => next.hypercall = word,
        }
        next
    }

    /// The verdict and what it rests on.
    #[must_use]
    pub const fn verdict(self) -> (Word, Reason) {
        if matches!(self.vm, VmLife::Stopped) {
            return (Word::Idle, Reason::VmStopped);
        }
        if self.sources.has(Source::AlwaysOn) {
            return (Word::Active, Reason::AlwaysOn);
        }
        if self.vetoed(Source::Pci, self.pci) {
            return (Word::Idle, Reason::Pci);
        }
        if self.vetoed(Source::Scmi, self.scmi) {
            return (Word::Idle, Reason::Scmi);
        }
        if self.vetoed(Source::Hypercall, self.hypercall) {
            return (Word::Idle, Reason::Hypercall);
        }
        (Word::Active, Reason::Default)
    }

    const fn vetoed(self, source: Source, word: Word) -> bool {
        self.sources.has(source) && matches!(word, Word::Idle)
    }

    /// The evidence after `event`, and what the change asks of the links. The
    /// old value stays in force until the caller stores the new one.
    #[must_use]
    pub const fn step(self, event: Event) -> (Self, Step) {
        let next = self.after(event);
        let step = match (self.verdict().0, next.verdict().0) {
            (Word::Idle, Word::Active) => Step::Wake,
            (Word::Active, Word::Idle) => Step::Sleep,
            _ => Step::Stay,
        };
        (next, step)
    }

    /// The configured sources.
    #[must_use]
    pub const fn sources(self) -> Sources {
        self.sources
    }
}

#[cfg(test)]
mod tests;
