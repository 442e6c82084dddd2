//! Register reads.

use super::bank::{Bank, spi_word};
use super::types::bits;
use super::{Kick, ListRegisters, MAX_VCPUS, Read, Region, Vcpu, Version, Vgic};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// One redistributor: RD frame, then SGI frame.
pub(super) const REDISTRIBUTOR_SHIFT: u32 = 17;
pub(super) const REDISTRIBUTOR_MASK: usize = 0x1_ffff;

/// `GICD_CTLR` of a GICv3 without security states: ARE 4, DS 6, always on.
const CTLR_V3: u32 = 1 << 4 | 1 << 6;
/// JEP106 Arm, product 'S'.
const IIDR: u32 = 0x53 << 24 | 0x43b;

/// `GICD_TYPER`. No LPIs (bit 17), no message-based SPIs (16): guests shall
/// use the v2m frame, which Linux does only without LPIs.
pub(super) fn typer(version: Version, vcpus: usize, spi_words: usize) -> u32 {
    let lines = spi_words as u32 & 0x1f;
    match version {
        Version::V2 => lines | (vcpus as u32).wrapping_sub(1).wrapping_shl(5),
        // IDbits 23:19: ten bits of interrupt id.
        Version::V3 => lines | 9 << 19,
    }
}

/// A vCPU's wait for others to bring their list registers into memory.
#[derive(Debug, Default)]
pub(super) struct Wait {
    /// Bit n: waits for vCPU n.
    on: AtomicU32,
    /// Which register it reads, so that a different read starts anew.
    key: AtomicU32,
    /// `Vcpu::folds` of each when the wait began.
    since: [AtomicU32; MAX_VCPUS],
}

impl Vgic {
    /// A trapped read of `size` bytes (1, 2, 4 or 8) by `vcpu` at `offset`
    /// from the start of `region`. Unknown registers read as zero and are
    /// counted. Only pending and active registers look at list registers.
    #[inline]
    pub fn read<L: ListRegisters>(
        &self,
        vcpu: usize,
        region: Region,
        offset: usize,
        size: usize,
        lrs: &mut L,
    ) -> Read {
        let word = match region {
            Region::Distributor => self.distributor(vcpu, offset & !3),
            Region::Redistributors => self.redistributor(offset & !3),
        };
        match word {
            Word::Is(word) if size == 4 => Read::Value(word.into()),
            Word::Is(word) => Read::Value(self.other_size(vcpu, region, offset, size, word)),
            Word::Live => match self.read_live(vcpu, region, offset, lrs) {
                Read::Value(value) if size < 4 => Read::Value(value & low_bytes(size)),
                read => read,
            },
            Word::Unknown => {
                self.unknown.fetch_add(1, Relaxed);
                Read::Value(0)
            }
        }
    }

    /// Bytes, halves and double words out of words.
    fn other_size(
        &self,
        vcpu: usize,
        region: Region,
        offset: usize,
        size: usize,
        word: u32,
    ) -> u64 {
        let shifted = word.wrapping_shr((offset as u32 & 3).wrapping_shl(3));
        match size {
            8 => {
                let above = (offset & !3).wrapping_add(4);
                let high = match region {
                    Region::Distributor => self.distributor(vcpu, above),
                    Region::Redistributors => self.redistributor(above),
                };
                let Word::Is(high) = high else {
                    return word.into();
                };
                u64::from(high) << 32 | u64::from(word)
            }
            _ => u64::from(shifted) & low_bytes(size),
        }
    }

    fn distributor(&self, vcpu: usize, offset: usize) -> Word {
        match (offset, self.version) {
            (0x080..0xd00, _) => {
                match (spi_word(offset), self.version) {
                    (Some(spi), _) => match self.spis.get(spi) {
                        Some(bank) => self.banked(bank, Whose::Spi(spi), offset),
                        None => Word::Is(0),
                    },
                    (None, Version::V2) => self.private(vcpu, offset),
                    // With ARE on, private interrupts are the
                    // redistributors' business.
                    (None, Version::V3) => Word::Is(0),
                }
            }
            (0x6100..0x8000, Version::V3) => self.router(offset),
            (0x000, Version::V3) => Word::Is(self.ctlr.load(Relaxed) | CTLR_V3),
            (0x000, Version::V2) => Word::Is(self.ctlr.load(Relaxed)),
            (0x004, _) => Word::Is(self.typer),
            (0x008, _) => Word::Is(IIDR),
            // TYPER2, STATUSR; IGRPMODR and NSACR of a GIC with one security
            // state; message registers of one without messages.
            (0x00c | 0x010 | 0x040..0x060 | 0xd00..0xf00, _) => Word::Is(0),
            (0xf10..0xf30, Version::V2) => Word::Live,
            (0xfd0..0x1000, Version::V2) => Word::Is(id(offset, 0x2b)),
            (0xffd0..0x1_0000, Version::V3) => Word::Is(id(offset, 0x3b)),
            _ => Word::Unknown,
        }
    }

    fn redistributor(&self, offset: usize) -> Word {
        let vcpu = offset >> REDISTRIBUTOR_SHIFT;
        let Some(state) = self.vcpus.get(vcpu) else {
            return Word::Unknown;
        };
        let offset = offset & REDISTRIBUTOR_MASK;
        match offset {
            0x1_0080
            | 0x1_0100
            | 0x1_0180
            | 0x1_0200
            | 0x1_0280
            | 0x1_0300
            | 0x1_0380
            | 0x1_0400..0x1_0420
            | 0x1_0c00..0x1_0c08 => self.private(vcpu, offset & 0xffff),
            // CTLR, STATUSR, IGRPMODR0, NSACR.
            0x0000 | 0x0010 | 0x1_0d00 | 0x1_0e00 => Word::Is(0),
            0x0004 => Word::Is(IIDR),
            // TYPER: Processor_Number 23:8, Last 4; Affinity 63:32.
            0x0008 => {
                let last = vcpu.wrapping_add(1) == self.vcpus.len();
                Word::Is((vcpu as u32).wrapping_shl(8) | u32::from(last) << 4)
            }
            0x000c => Word::Is(vcpu as u32),
            // WAKER: ProcessorSleep 1, ChildrenAsleep 2.
            0x0014 => Word::Is(if state.sleep.load(Relaxed) { 6 } else { 0 }),
            0xffd0..0x1_0000 => Word::Is(id(offset, 0x3b)),
            _ => Word::Unknown,
        }
    }

    fn private(&self, vcpu: usize, offset: usize) -> Word {
        match self.vcpus.get(vcpu) {
            Some(state) => self.banked(&state.bank, Whose::Private(vcpu), offset),
            None => Word::Unknown,
        }
    }

    /// A register of which `bank` holds a part, by its offset in the
    /// distributor or the SGI frame.
    fn banked(&self, bank: &Bank, whose: Whose, offset: usize) -> Word {
        match offset {
            0x080..0x100 => Word::Is(bank.group.load(Relaxed)),
            0x100..0x200 => Word::Is(bank.enable.load(Relaxed)),
            0x200..0x400 => Word::Live,
            0x400..0x800 => {
                let word = bank.priority.get(offset >> 2 & 7);
                Word::Is(word.map_or(0, |w| w.load(Relaxed)))
            }
            0x800..0xc00 => Word::Is(self.targets_v2(bank, whose, offset)),
            _ => {
                let edge = bank.edge.load(Relaxed);
                let half = if offset & 4 == 0 { edge } else { edge >> 16 };
                Word::Is(spread(half & 0xffff) << 1)
            }
        }
    }

    /// `GICD_ITARGETSR<n>`: private interrupts read as the reader's own bit.
    fn targets_v2(&self, bank: &Bank, whose: Whose, offset: usize) -> u32 {
        match (self.version, whose) {
            (Version::V3, _) => 0,
            (_, Whose::Private(vcpu)) => Kick::one(vcpu).0.wrapping_mul(0x0101_0101),
            _ => {
                let first = offset & 0x1c;
                let routes = bank
                    .route
                    .iter()
                    .skip(first)
                    .take(4)
                    .zip([0_u32, 8, 16, 24]);
                routes.fold(0, |word, (route, at)| {
                    word | (route.load(Relaxed) as u32 & 0xff).wrapping_shl(at)
                })
            }
        }
    }

    fn router(&self, offset: usize) -> Word {
        let intid = (offset as u32 & 0x1fff) >> 3;
        let Some((bank, bit)) = self.locate(0, intid) else {
            return Word::Is(0);
        };
        let route = bank.route.get(bit as usize).map_or(0, |r| r.load(Relaxed));
        Word::Is(if offset & 4 == 0 {
            route as u32
        } else {
            (route >> 32) as u32
        })
    }

    /// What a [`Word::Live`] at `offset` consists of.
    fn live_at(&self, vcpu: usize, region: Region, offset: usize) -> (Whose, Live) {
        let live = match offset & 0xf00 {
            0x200 => Live::Pending,
            0x300 => Live::Active,
            // GICv2 `CPENDSGIR<n>`, `SPENDSGIR<n>`: a byte of senders per SGI.
            _ => return (Whose::Private(vcpu), Live::Senders(offset & 0xc)),
        };
        let whose = match region {
            Region::Redistributors => Whose::Private(offset >> REDISTRIBUTOR_SHIFT),
            Region::Distributor => match spi_word(offset) {
                Some(word) => Whose::Spi(word),
                None => Whose::Private(vcpu),
            },
        };
        (whose, live)
    }

    /// Pending or active bits: what is in memory, after this CPU's list
    /// registers and, by way of [`Read::Retry`], those of the others concerned
    /// have been brought there.
    #[inline(never)]
    fn read_live<L: ListRegisters>(
        &self,
        vcpu: usize,
        region: Region,
        offset: usize,
        lrs: &mut L,
    ) -> Read {
        let (whose, live) = self.live_at(vcpu, region, offset);
        let Some(state) = self.vcpus.get(vcpu) else {
            return Read::Value(0);
        };
        self.fold_now(vcpu, state, lrs);
        let bank = match whose {
            Whose::Private(vcpu) => self.vcpus.get(vcpu).map(|s| &s.bank),
            Whose::Spi(word) => self.spis.get(word),
        };
        let Some(bank) = bank else {
            return Read::Value(0);
        };
        let others = self.holders(bank, whose) & !Kick::one(vcpu).0;
        if others != 0 && !self.waited(state, others, offset as u32) {
            let mut kick = Kick::NONE;
            for other in bits(others) {
                kick |= self.poke(other as usize);
            }
            return Read::Retry(kick);
        }
        let word = match live {
            Live::Pending => bank.pending() | bank.held_pending.load(SeqCst),
            Live::Active => bank.active.load(SeqCst) | bank.held_active.load(SeqCst),
            Live::Senders(first) => {
                let bytes = state
                    .sgi_sources
                    .iter()
                    .skip(first)
                    .take(4)
                    .zip([0_u32, 8, 16, 24]);
                bytes.fold(0, |word, (s, at)| {
                    word | u32::from(s.load(SeqCst)).wrapping_shl(at)
                })
            }
        };
        if !self.fill_now(vcpu, state, lrs) {
            return Read::Retry(Kick::NONE);
        }
        Read::Value(
            word.wrapping_shr((offset as u32 & 3).wrapping_shl(3))
                .into(),
        )
    }

    /// Puts back what [`Vgic::fold_now`] took: a guest that gets its value may
    /// go on without passing [`Vgic::before_enter`], and must not be left with
    /// list registers that memory holds as well. `false` if other vCPUs have
    /// to be kicked, which only the next entry does.
    fn fill_now<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) -> bool {
        // As in `flush`: cleared before anything is looked at.
        state.work.swap(false, SeqCst);
        let kick = self.refill(vcpu, state, lrs);
        if (state.kick_later.fetch_or(kick.0, SeqCst) | kick.0) == 0 {
            return true;
        }
        state.work.store(true, SeqCst);
        false
    }

    /// Brings the running vCPU's own list registers into memory; its next
    /// entry refills them.
    pub(super) fn fold_now<L: ListRegisters>(&self, vcpu: usize, state: &Vcpu, lrs: &mut L) {
        let kick = self.fold(vcpu, state, lrs);
        state.kick_later.fetch_or(kick.0, SeqCst);
        state.work.store(true, SeqCst);
    }

    /// vCPUs in whose list registers part of `bank` stands.
    fn holders(&self, bank: &Bank, whose: Whose) -> u32 {
        match whose {
            Whose::Private(vcpu) if bank.held() != 0 => Kick::one(vcpu).0,
            Whose::Private(_) => 0,
            Whose::Spi(_) => bits(bank.held()).fold(0, |all, bit| {
                let owner = bank.owner(bit).checked_sub(1);
                all | owner.map_or(0, |owner| Kick::one(owner.into()).0)
            }),
        }
    }

    /// Whether those this vCPU began to wait for have passed by. The first
    /// call for a register begins the wait.
    fn waited(&self, state: &Vcpu, others: u32, key: u32) -> bool {
        let wait = &state.wait;
        let on = wait.on.load(Relaxed);
        let count = |n: u32| {
            self.vcpus
                .get(n as usize)
                .map_or(0, |s| s.folds.load(SeqCst))
        };
        let since = |n: u32| wait.since.get(n as usize);
        if on == 0 || wait.key.load(Relaxed) != key {
            wait.key.store(key, Relaxed);
            wait.on.store(others, Relaxed);
            for n in bits(others) {
                if let Some(slot) = since(n) {
                    slot.store(count(n), Relaxed);
                }
            }
            return false;
        }
        let still = |n: &u32| others >> (n & 31) & 1 != 0;
        let passed = |n: u32| since(n).is_none_or(|s| s.load(Relaxed) != count(n));
        let done = bits(on).filter(still).all(passed);
        if done {
            wait.on.store(0, Relaxed);
        }
        done
    }
}

/// What a word of the register map is.
enum Word {
    Is(u32),
    /// Part of it may stand in list registers.
    Live,
    Unknown,
}

#[derive(Clone, Copy)]
pub(super) enum Whose {
    Private(usize),
    /// Index into `Vgic::spis`.
    Spi(usize),
}

enum Live {
    Pending,
    Active,
    /// GICv2 SGI senders, from this SGI on.
    Senders(usize),
}

/// Peripheral and component identification registers (IHI 0069, 12.1.4), by
/// the last hex digits of their offset; `pidr2` tells the architecture.
fn id(offset: usize, pidr2: u32) -> u32 {
    match offset & 0x3c {
        0x10 => 0x44,
        0x20 => 0x92,
        0x24 => 0xb4,
        0x28 => pidr2,
        0x30 => 0x0d,
        0x34 => 0xf0,
        0x38 => 0x05,
        0x3c => 0xb1,
        _ => 0,
    }
}

/// Mask of the low `size` bytes, for sizes below eight.
fn low_bytes(size: usize) -> u64 {
    1_u64
        .wrapping_shl((size as u32).wrapping_shl(3))
        .wrapping_sub(1)
}

/// Bit n of the low half to bit 2n.
fn spread(half: u32) -> u32 {
    let x = (half | half << 8) & 0x00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f;
    let x = (x | x << 2) & 0x3333_3333;
    (x | x << 1) & 0x5555_5555
}
