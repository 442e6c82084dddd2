//! The system counter's ticks and nanoseconds, without 128-bit division: both
//! are asked for at each change of power.
//!
//! Frequencies are those of `CNTFRQ_EL0`: 32 bits, in hertz, not zero.

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds that `ticks` take, rounded down; at most `u64::MAX`.
#[must_use]
#[inline]
pub fn nanoseconds(ticks: u64, frequency: u32) -> u64 {
    scale(ticks, frequency.into(), SECOND)
}

/// Ticks after which `nanoseconds` are over; at most `u64::MAX`.
#[must_use]
#[inline]
pub fn ticks(nanoseconds: u64, frequency: u32) -> u64 {
    scale(nanoseconds, SECOND, frequency.into()).saturating_add(1)
}

/// `value * to / from`, in whole seconds and the rest, both factors being of at
/// most 32 bits: no product of the rest leaves 64 bits.
#[inline]
fn scale(value: u64, from: u64, to: u64) -> u64 {
    let from = from.max(1);
    let (seconds, rest) = (value / from, value % from);
    seconds.saturating_mul(to).saturating_add(rest * to / from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, with room for every product.
    fn wide(value: u64, from: u64, to: u64) -> u64 {
        let result = u128::from(value) * u128::from(to) / u128::from(from);
        u64::try_from(result).unwrap_or(u64::MAX)
    }

    proptest! {
        #[test]
        fn as_with_all_the_bits(value: u64, frequency in 1u32..) {
            let f = u64::from(frequency);
            prop_assert_eq!(nanoseconds(value, frequency), wide(value, f, SECOND));
            let late = wide(value, SECOND, f).saturating_add(1);
            prop_assert_eq!(ticks(value, frequency), late);
        }

        /// An alarm that rings at its tick is not early.
        #[test]
        fn an_alarm_is_not_early(deadline in 0..u64::MAX / 4, frequency in 1_000u32..) {
            let at = ticks(deadline, frequency);
            prop_assume!(at != u64::MAX);
            prop_assert!(nanoseconds(at, frequency) >= deadline);
        }
    }

    #[test]
    fn ends() {
        for frequency in [1, 19_200_000, 62_500_000, 1_000_000_000, u32::MAX] {
            let f = u64::from(frequency);
            for value in [0, 1, f - 1, f, f + 1, u64::MAX - 1, u64::MAX] {
                assert_eq!(nanoseconds(value, frequency), wide(value, f, SECOND));
            }
        }
        // No frequency at all: garbage, but no end of the world.
        assert_eq!(nanoseconds(5, 0), 5 * SECOND);
    }
}
