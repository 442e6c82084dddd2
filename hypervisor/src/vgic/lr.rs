//! List registers: the words in which a hypervisor tells the CPU's virtual
//! interface about interrupts (IHI 0069, 12.4.8 `ICH_LR<n>_EL2`).

/// State of an interrupt in a list register (bits 63:62).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The register is free.
    Invalid,
    /// Waiting to be acknowledged.
    Pending,
    /// Acknowledged, not yet deactivated.
    Active,
    /// Acknowledged, and signalled again since.
    PendingActive,
}

/// One list register, in the layout of `ICH_LR<n>_EL2` whatever the hardware.
///
/// [`Lr::to_v2`] and [`Lr::from_v2`] convert to the 32-bit `GICH_LR<n>`
/// (IHI 0048, 5.3.6). As in hardware, the source CPU of a GICv2 SGI stands in
/// bits 12:10, which are part of the vINTID field but unused by INTIDs < 1020.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Lr(pub u64);

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const HW: u64 = 1 << 61;
const GROUP1: u64 = 1 << 60;
const PRIORITY_SHIFT: u32 = 48;
const EOI: u64 = 1 << 41;
const PHYSICAL_SHIFT: u32 = 32;
const SOURCE_SHIFT: u32 = 10;
const INTID_MASK: u64 = 0x3ff;

impl Lr {
    /// A free register.
    pub const EMPTY: Self = Self(0);

    /// A register that presents `intid` in `state`: group 0, priority 0, not
    /// bound to a physical interrupt.
    #[must_use]
    pub const fn new(intid: u32, state: State) -> Self {
        let state = match state {
            State::Invalid => 0,
            State::Pending => PENDING,
            State::Active => ACTIVE,
            State::PendingActive => PENDING | ACTIVE,
        };
        Self(state | intid as u64 & INTID_MASK)
    }

    /// With an 8-bit priority; lower is more urgent.
    #[must_use]
    pub const fn with_priority(self, priority: u8) -> Self {
        Self(self.0 | (priority as u64) << PRIORITY_SHIFT)
    }

    /// In group 1 rather than group 0.
    #[must_use]
    pub const fn with_group1(self, group1: bool) -> Self {
        Self(if group1 { self.0 | GROUP1 } else { self.0 })
    }

    /// Bound to physical interrupt `physical`, which hardware deactivates when
    /// the guest deactivates this one. Excludes [`Lr::with_eoi`].
    #[must_use]
    pub const fn with_physical(self, physical: u32) -> Self {
        Self(self.0 | HW | (physical as u64 & INTID_MASK) << PHYSICAL_SHIFT)
    }

    /// Raises the maintenance interrupt when the guest deactivates it.
    #[must_use]
    pub const fn with_eoi(self, eoi: bool) -> Self {
        Self(if eoi { self.0 | EOI } else { self.0 })
    }

    /// Sent by this CPU (GICv2 SGIs only), 0 to 7.
    #[must_use]
    pub const fn with_source(self, source: u8) -> Self {
        Self(self.0 | (source as u64 & 7) << SOURCE_SHIFT)
    }

    /// The state.
    #[must_use]
    pub const fn state(self) -> State {
        match self.0 & (PENDING | ACTIVE) {
            0 => State::Invalid,
            PENDING => State::Pending,
            ACTIVE => State::Active,
            _ => State::PendingActive,
        }
    }

    /// Pending, perhaps active as well.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        self.0 & PENDING != 0
    }

    /// Active, perhaps pending as well.
    #[must_use]
    pub const fn is_active(self) -> bool {
        self.0 & ACTIVE != 0
    }

    /// The virtual interrupt id, 0 to 1023.
    #[must_use]
    pub const fn intid(self) -> u32 {
        (self.0 & INTID_MASK) as u32
    }

    /// The physical interrupt bound to it.
    #[must_use]
    pub const fn physical(self) -> Option<u32> {
        if self.0 & HW == 0 {
            return None;
        }
        Some((self.0 >> PHYSICAL_SHIFT & INTID_MASK) as u32)
    }

    /// Whether deactivation raises the maintenance interrupt.
    #[must_use]
    pub const fn eoi(self) -> bool {
        self.0 & (HW | EOI) == EOI
    }

    /// Source CPU of a GICv2 SGI.
    #[must_use]
    pub const fn source(self) -> u8 {
        (self.0 >> SOURCE_SHIFT & 7) as u8
    }

    /// Priority as given to [`Lr::with_priority`].
    #[must_use]
    pub const fn priority(self) -> u8 {
        (self.0 >> PRIORITY_SHIFT) as u8
    }

    /// Whether it is in group 1.
    #[must_use]
    pub const fn group1(self) -> bool {
        self.0 & GROUP1 != 0
    }

    /// As a `GICH_LR<n>` word: HW 31, Grp1 30, state 29:28, priority\[7:3\]
    /// 27:23, physical id 19:10 (or EOI 19, source CPU 12:10), virtual id 9:0.
    #[must_use]
    pub const fn to_v2(self) -> u32 {
        let mut word = self.intid() | (self.0 >> 62 << 28) as u32;
        word |= (self.priority() as u32 >> 3) << 23;
        word |= (self.group1() as u32) << 30;
        match self.physical() {
            Some(physical) => word |= 1 << 31 | physical << 10,
            None => word |= (self.eoi() as u32) << 19 | (self.source() as u32) << 10,
        }
        word
    }

    /// From a `GICH_LR<n>` word.
    #[must_use]
    pub const fn from_v2(word: u32) -> Self {
        let mut lr = Self((word & 0x3ff) as u64 | (word as u64 >> 28 & 3) << 62)
            .with_priority((word >> 23 << 3) as u8)
            .with_group1(word & 1 << 30 != 0);
        if word & 1 << 31 != 0 {
            lr = lr.with_physical(word >> 10 & 0x3ff);
        } else {
            lr = lr
                .with_eoi(word & 1 << 19 != 0)
                .with_source((word >> 10 & 7) as u8);
        }
        lr
    }
}

impl core::fmt::Debug for Lr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lr")
            .field("intid", &self.intid())
            .field("state", &self.state())
            .field("priority", &self.priority())
            .field("physical", &self.physical())
            .field("eoi", &self.eoi())
            .field("source", &self.source())
            .finish()
    }
}

/// Conditions, besides an [`Lr::with_eoi`] register, in which the maintenance
/// interrupt is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// No list register holds a pending interrupt (`NPIE`): more are waiting.
    pub no_pending: bool,
    /// The guest deactivated something that is in no list register
    /// (`LRENPIE`): an active interrupt had to be put aside.
    pub entry_not_present: bool,
}

/// The virtual interface of the CPU this runs on.
///
/// Implemented over `ICH_*_EL2` (GICv3) and over GICH (GICv2). All calls are
/// made on the physical CPU that runs the vCPU, outside the guest.
pub trait ListRegisters {
    /// Number of list registers, 1 to 16.
    fn count(&self) -> usize;
    /// Reads register `index` (< [`ListRegisters::count`]).
    fn read(&self, index: usize) -> Lr;
    /// Writes register `index`.
    fn write(&mut self, index: usize, value: Lr);
    /// Bit n: register n holds no valid interrupt (`ICH_ELRSR`, `GICH_ELRSR`).
    fn empty(&self) -> u32;
    /// Chooses the maintenance conditions (`ICH_HCR` bits NPIE, LRENPIE).
    fn set_maintenance(&mut self, wanted: Maintenance);
    /// Reads and clears `ICH_HCR.EOIcount`: deactivations for which no list
    /// register existed.
    fn take_eoi_count(&mut self) -> u32;
    /// Deactivates a physical interrupt that was acknowledged with its
    /// priority dropped (`ICC_DIR_EL1`, `GICC_DIR`). A private interrupt is
    /// always one of this CPU.
    fn deactivate(&mut self, physical: u32);
    /// Whether the line of level-sensitive private interrupt `physical`, which
    /// is active, is high now. The guest may have lowered it (a timer set
    /// anew or switched off) before it took the interrupt. Who cannot tell
    /// says it is: the guest then takes an interrupt without a cause.
    fn is_asserted(&self, _physical: u32) -> bool {
        true
    }
    /// Whether the end of an interrupt in an [`Lr::with_physical`] register
    /// lets a physical line that is still high through at once, as it must
    /// (IHI 0048, 5.2.3). Where not, level-sensitive ones are deactivated by
    /// hand, at the cost of a maintenance interrupt.
    fn signals_again(&self) -> bool {
        true
    }
}
