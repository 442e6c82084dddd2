//! Which ranges of a domain are being worked on, or were unmapped and may still be remembered.
//!
//! Mapping an address that an SMMU still translates the old way would leave two translations of one
//! address: break-before-make in reverse (DDI 0487, D8.16). A guest can try that with two vCPUs, or by
//! never syncing, so every operation first claims its range, and the claim of an unmap lives until the
//! invalidation has completed.
//!
//! A claim is one word in one of 64 slots. The claimer publishes its word and then looks at the others;
//! of two that overlap at least one sees the other and withdraws (both orders are sequentially
//! consistent), so no two overlapping claims are ever both held. Nobody waits.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Slots of one domain.
pub const SLOTS: u32 = 64;

/// Bits of a page number: 48-bit addresses, 4 KiB pages.
const PAGE_BITS: u32 = 36;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;

/// Most pages that one claim covers.
pub const MAX_PAGES: u64 = (1 << (64 - PAGE_BITS)) - 1;

/// The claimed ranges of one domain.
#[derive(Debug)]
pub struct Claims {
    /// Bit n: slot n is taken.
    used: AtomicU64,
    /// First page in the low bits, number of pages (not zero) in the high ones.
    slots: [AtomicU64; SLOTS as usize],
}

/// A claimed range. Give it back with [`Claims::release`]; a claim that is forgotten keeps its range out
/// of use, which is what a failed invalidation wants.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a forgotten claim keeps its range out of use"]
pub struct Claim {
    slot: u8,
}

/// Why a range could not be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another claim overlaps.
    Overlap,
    /// All slots are taken.
    Full,
}

const fn overlap(a: u64, b: u64) -> bool {
    let (a_first, b_first) = (a & PAGE_MASK, b & PAGE_MASK);
    // Cannot wrap: 36 + 28 bits.
    let a_end = a_first.wrapping_add(a >> PAGE_BITS);
    let b_end = b_first.wrapping_add(b >> PAGE_BITS);
    a_first < b_end && b_first < a_end
}

impl Claims {
    /// No claims.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            used: AtomicU64::new(0),
            slots: [const { AtomicU64::new(0) }; SLOTS as usize],
        }
    }

    /// Claims `pages` pages from page number `first` on.
    ///
    /// # Errors
    /// [`Refused`]; a range that is empty or has more than [`MAX_PAGES`] overlaps with everything.
    #[inline]
    pub fn take(&self, first: u64, pages: u64) -> Result<Claim, Refused> {
        if pages == 0 || pages > MAX_PAGES || first > PAGE_MASK {
            return Err(Refused::Overlap);
        }
        let slot = self.reserve().ok_or(Refused::Full)?;
        let claim = Claim { slot };
        let word = first | pages << PAGE_BITS;
        let Some(own) = self.slots.get(usize::from(slot)) else {
            return Err(Refused::Full);
        };
        own.store(word, SeqCst);
        let others = self.used.load(SeqCst) & !bit(slot);
        if others != 0 && self.any_overlaps(others, word) {
            self.release(claim);
            return Err(Refused::Overlap);
        }
        Ok(claim)
    }

    /// Gives a claim back: the range may be used again.
    #[inline]
    pub fn release(&self, claim: Claim) {
        if let Some(own) = self.slots.get(usize::from(claim.slot)) {
            own.store(0, SeqCst);
            self.used.fetch_and(!bit(claim.slot), SeqCst);
        }
    }

    /// Shortens a claim to its first `pages` pages (not zero, not more than it has).
    #[inline]
    pub fn shrink(&self, claim: &Claim, pages: u64) {
        if let Some(own) = self.slots.get(usize::from(claim.slot)) {
            let word = own.load(SeqCst);
            if pages != 0 && pages < word >> PAGE_BITS {
                own.store(word & PAGE_MASK | pages << PAGE_BITS, SeqCst);
            }
        }
    }

    /// Number of claims held now.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.used.load(SeqCst).count_ones()
    }

    #[inline]
    fn reserve(&self) -> Option<u8> {
        let used = self.used.load(SeqCst);
        let slot = used.trailing_ones() as u8;
        let next = used | used.wrapping_add(1);
        match self.used.compare_exchange(used, next, SeqCst, SeqCst) {
            Ok(_) if used != u64::MAX => Some(slot),
            _ => self.reserve_contended(),
        }
    }

    #[cold]
    fn reserve_contended(&self) -> Option<u8> {
        let mut used = self.used.load(SeqCst);
        // Each turn that fails means that another CPU made progress; 64 slots bound them.
        for _ in 0..=SLOTS {
            if used == u64::MAX {
                return None;
            }
            let next = used | used.wrapping_add(1);
            match self.used.compare_exchange(used, next, SeqCst, SeqCst) {
                Ok(_) => return Some(used.trailing_ones() as u8),
                Err(now) => used = now,
            }
        }
        None
    }

    fn any_overlaps(&self, mut others: u64, word: u64) -> bool {
        while others != 0 {
            let slot = others.trailing_zeros() as usize;
            others &= others.wrapping_sub(1);
            // A slot that is reserved but still zero belongs to somebody who has yet to look at us.
            let other = self.slots.get(slot).map_or(0, |slot| slot.load(SeqCst));
            if other != 0 && overlap(other, word) {
                return true;
            }
        }
        false
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

const fn bit(slot: u8) -> u64 {
    1u64.wrapping_shl(slot as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn overlapping_ranges_exclude_each_other_until_released() {
        let claims = Claims::new();
        let first = claims.take(0x100, 0x10).unwrap();
        for (start, pages) in [(0x100, 1), (0x10f, 1), (0xff, 2), (0, 0x1000), (0x108, 2)] {
            assert_eq!(claims.take(start, pages), Err(Refused::Overlap));
        }
        let below = claims.take(0xf0, 0x10).unwrap();
        let above = claims.take(0x110, 1).unwrap();
        claims.release(first);
        let again = claims.take(0x100, 0x10).unwrap();
        for claim in [below, above, again] {
            claims.release(claim);
        }
        assert_eq!(claims.held(), 0);
    }

    #[test]
    fn a_shrunk_claim_sets_its_tail_free() {
        let claims = Claims::new();
        let claim = claims.take(0x100, 0x100).unwrap();
        claims.shrink(&claim, 0x1000);
        assert_eq!(claims.take(0x1ff, 1), Err(Refused::Overlap), "never grows");
        claims.shrink(&claim, 0x10);
        assert!(claims.take(0x110, 1).is_ok());
        assert_eq!(claims.take(0x10f, 1), Err(Refused::Overlap));
        claims.release(claim);
    }

    #[test]
    fn slots_run_out_cleanly() {
        let claims = Claims::new();
        let all: Vec<_> = (0..64).map(|n| claims.take(n, 1).unwrap()).collect();
        assert_eq!(claims.take(1000, 1), Err(Refused::Full));
        for claim in all {
            claims.release(claim);
        }
        assert!(claims.take(1000, 1).is_ok());
    }

    #[test]
    fn senseless_ranges_are_refused() {
        let claims = Claims::new();
        assert_eq!(claims.take(0, 0), Err(Refused::Overlap));
        assert_eq!(claims.take(0, MAX_PAGES + 1), Err(Refused::Overlap));
        assert_eq!(claims.take(1 << 36, 1), Err(Refused::Overlap));
        assert_eq!(claims.held(), 0);
        let top = claims.take((1 << 36) - 1, 1).unwrap();
        assert_eq!(claims.take((1 << 36) - 1, 1), Err(Refused::Overlap));
        claims.release(top);
    }

    #[test]
    fn two_threads_never_hold_the_same_page() {
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        let claims = Arc::new(Claims::new());
        let inside = Arc::new(AtomicU32::new(0));
        let won = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4u64)
            .map(|n| {
                let (claims, inside, won) = (claims.clone(), inside.clone(), won.clone());
                std::thread::spawn(move || {
                    for _ in 0..rounds {
                        // All ranges contain page 10.
                        if let Ok(claim) = claims.take(10 - n, 1 + n) {
                            assert_eq!(inside.fetch_add(1, SeqCst), 0);
                            won.fetch_add(1, SeqCst);
                            inside.fetch_sub(1, SeqCst);
                            claims.release(claim);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(won.load(SeqCst) > 0);
        assert_eq!(claims.held(), 0);
    }
}
