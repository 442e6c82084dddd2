//! Mirrors: a second set of tables for an SMMU that cannot walk the CPU's
//! stage 2, in a shape that it can, kept in step mapping by mapping.
//!
//! What the SMMU's shape cannot express (a page smaller than its granule, an
//! address beyond its sizes) is left out, and the caller told; whether that
//! matters is the caller's to know.

use crate::error::Error;
use crate::hardware::Limits;
use crate::types::Stage2;
use pgtable::{Attrs, Config, Granule, Ipa, Memory, Pa, Stale, Table, Walks};

/// Output sizes that a table can have, bits, the largest first.
const OUTPUT_SIZES: [u32; 6] = [48, 44, 42, 40, 36, 32];

/// The shape nearest to `like` that an SMMU with these limits can walk: its
/// granule if the SMMU has it, else the smallest that the SMMU has; its sizes
/// or the SMMU's, whichever are smaller; walks as the SMMU's are.
///
/// # Errors
/// [`Error::Granule`], [`Error::InputSize`], [`Error::OutputSize`] when the
/// SMMU has none that a table can have.
pub fn shape(like: &Config, limits: &Limits) -> Result<Config, Error> {
    let granules = [like.granule(), Granule::K4, Granule::K16, Granule::K64];
    let walked = |granule: &Granule| limits.granules & bytes(*granule) != 0;
    let granule = granules.into_iter().find(walked);
    let granule = granule.ok_or(Error::Granule(like.page_shift() as u8))?;
    let most = like.pa_bits().min(limits.pa_bits.into());
    let output = OUTPUT_SIZES.into_iter().find(|bits| *bits <= most);
    let output = output.ok_or(Error::OutputSize(limits.pa_bits))?;
    let input = like.ipa_bits().min(limits.ipa_bits.into());
    let config =
        Config::new(granule, input, output).map_err(|_| Error::InputSize(limits.ipa_bits))?;
    let walks = if limits.coherent {
        Walks::Coherent
    } else {
        Walks::NonCoherent
    };
    Ok(config.with_walks(walks))
}

const fn bytes(granule: Granule) -> u32 {
    match granule {
        Granule::K16 => 1 << 14,
        Granule::K64 => 1 << 16,
        _ => 1 << 12,
    }
}

/// A mirror, in memory of its own.
pub struct Mirror<M: Memory> {
    table: Table<M>,
}

impl<M: Memory> Mirror<M> {
    /// An empty one.
    ///
    /// # Errors
    /// There is no memory for its root, or none that the SMMU can reach.
    pub fn new(config: Config, memory: M) -> Result<Self, pgtable::Error> {
        Table::new(config, memory).map(|table| Self { table })
    }

    /// The tables themselves, to look at.
    pub fn table(&self) -> &Table<M> {
        &self.table
    }

    /// As an SMMU walks it.
    pub fn tables(&self) -> Stage2 {
        Stage2::of(self.table.root(), self.table.config())
    }

    /// Maps what the stage 2 has just mapped.
    ///
    /// # Errors
    /// Why it is left out; the mirror is as it was.
    pub fn map(&self, ipa: Ipa, pa: Pa, len: u64, attrs: Attrs) -> Result<(), pgtable::Error> {
        self.table.map(ipa, pa, len, attrs)
    }

    /// Takes out what the stage 2 has just unmapped: a range that was given to
    /// [`map`](Self::map) as a whole. `forget` makes the SMMUs that walk the
    /// mirror forget it; it is not called for what was left out.
    ///
    /// # Errors
    /// That of `forget`: table pages are kept from reuse.
    pub fn unmap<E>(
        &self,
        ipa: Ipa,
        len: u64,
        forget: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), E> {
        // A range that does not fit the shape was never in here.
        match self.table.clear(ipa, len) {
            Ok(detached) => self.table.release(detached, forget),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu() -> Config {
        Config::new(Granule::K4, 40, 48).unwrap()
    }

    const LIMITS: Limits = Limits {
        vmids: 256,
        streams: 256,
        ipa_bits: 48,
        pa_bits: 48,
        granules: 0x1_5000,
        coherent: true,
    };

    #[test]
    fn what_fits_stays_as_it_is() {
        let shape = shape(&cpu(), &LIMITS).unwrap();
        assert_eq!(shape, cpu());
    }

    #[test]
    fn the_smallest_granule_that_there_is() {
        for (granules, expected) in [
            (0x1_4000, Granule::K16),
            (0x1_0000, Granule::K64),
            (0x1_1000, Granule::K4),
        ] {
            let limits = Limits { granules, ..LIMITS };
            assert_eq!(shape(&cpu(), &limits).unwrap().granule(), expected);
        }
        let limits = Limits {
            granules: 0,
            ..LIMITS
        };
        assert_eq!(shape(&cpu(), &limits), Err(Error::Granule(12)));
    }

    #[test]
    fn sizes_shrink_and_never_grow() {
        for (input, output, expected) in
            [(36, 36, (36, 36)), (48, 43, (40, 42)), (32, 33, (32, 32))]
        {
            let limits = Limits {
                ipa_bits: input,
                pa_bits: output,
                ..LIMITS
            };
            let shape = shape(&cpu(), &limits).unwrap();
            assert_eq!((shape.ipa_bits(), shape.pa_bits()), expected);
        }
        let narrow = Limits {
            ipa_bits: 31,
            ..LIMITS
        };
        assert_eq!(shape(&cpu(), &narrow), Err(Error::InputSize(31)));
        let narrow = Limits {
            pa_bits: 31,
            ..LIMITS
        };
        assert_eq!(shape(&cpu(), &narrow), Err(Error::OutputSize(31)));
    }

    #[test]
    fn walks_are_the_smmus() {
        let limits = Limits {
            coherent: false,
            ..LIMITS
        };
        assert_eq!(shape(&cpu(), &limits).unwrap().walks(), Walks::NonCoherent);
    }
}
