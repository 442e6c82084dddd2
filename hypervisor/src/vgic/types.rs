//! What goes in and out of the virtual GIC.

/// A set of vCPUs that must leave the guest soon (bit n: vCPU n), because
/// something changed that only [`Vgic::before_enter`](super::Vgic::before_enter)
/// on their own CPU can act upon. The CPU that is handling a trap for vCPU n
/// enters its guest anyway: it sends itself nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "vCPUs that are not kicked see the interrupt late"]
pub struct Kick(pub u32);

impl Kick {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// Just this vCPU.
    pub const fn one(vcpu: usize) -> Self {
        Self(1_u32.wrapping_shl(vcpu as u32))
    }

    /// Without this vCPU: what is left to send from its own CPU.
    pub const fn without(self, vcpu: usize) -> Self {
        Self(self.0 & !Self::one(vcpu).0)
    }

    /// Whether anybody is to be kicked.
    #[must_use]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// The vCPUs, lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        bits(self.0).map(|n| n as usize)
    }
}

impl core::ops::BitOr for Kick {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOrAssign for Kick {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Numbers of the bits set in `word`, lowest first.
pub(super) fn bits(mut word: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 32).then_some(bit)
    })
}

/// Which register frame an access hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// The distributor, `GICD_*`.
    Distributor,
    /// All redistributors in a row, 128 KiB each, vCPU 0 first (GICv3).
    Redistributors,
}

/// Outcome of a register read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The value, zero-extended.
    Value(u64),
    /// The answer stands in list registers of other CPUs. Kick these and run
    /// the guest's load again (do not advance its program counter); it will be
    /// answered once they have passed
    /// [`Vgic::before_enter`](super::Vgic::before_enter).
    Retry(Kick),
}

/// Passthrough interrupts whose enable bit, target, trigger or priority the
/// guest may have changed: ask [`Vgic::hw_spi`](super::Vgic::hw_spi) about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HwChanges {
    /// First interrupt id of the word.
    pub base: u32,
    /// Bit n: interrupt `base + n`.
    pub mask: u32,
}

impl HwChanges {
    /// The virtual interrupt ids.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        bits(self.mask).map(move |n| self.base.wrapping_add(n))
    }
}

/// Outcome of a register write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Effects {
    /// vCPUs to kick.
    pub kick: Kick,
    /// Passthrough interrupts to look at, and watched ones that were routed
    /// anew. Empty for a VM without devices.
    pub hw: HwChanges,
}

/// What the guest wants of a passthrough SPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HwSpi {
    /// The physical interrupt assigned to it.
    pub physical: u32,
    /// Whether the guest enabled it (and its distributor).
    pub enabled: bool,
    /// Edge-triggered rather than level-sensitive.
    pub edge: bool,
    /// The vCPU that is to take it; `None`: the guest named one it has not.
    pub vcpu: Option<usize>,
}

/// Which GIC the guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// GICv2: distributor emulated, CPU interface is hardware's GICV.
    V2,
    /// GICv3: distributor and redistributors emulated, `ICC_*` by hardware.
    V3,
}

/// Shape of one VM's interrupt controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Which GIC.
    pub version: Version,
    /// Number of vCPUs: 1 to 8 (GICv2), 1 to 16 (GICv3). vCPU n has affinity
    /// 0.0.0.n.
    pub vcpus: usize,
    /// Number of shared peripheral interrupts, 0 to 960; rounded up to a
    /// multiple of 32. INTIDs are 32 to 31 + `spis`.
    pub spis: usize,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No GIC of this version has this many vCPUs.
    Vcpus(usize),
    /// More shared interrupts than INTIDs exist.
    Spis(usize),
    /// Not an interrupt of this VM that can be bound to a physical one.
    Intid(u32),
    /// Not a physical interrupt id a list register can name.
    Physical(u32),
}
