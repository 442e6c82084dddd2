//! Work-arounds, chosen by IIDR (Arm's Software Developer Errata Notices for
//! MMU-600 and MMU-700).

use super::features::Features;

/// What must be done differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errata {
    /// MMU-600 1076982: waking by event after CMD_SYNC is unreliable. This
    /// driver polls and never asks for it; kept for the report.
    pub no_event_on_sync: bool,
    /// MMU-600 1209401, MMU-700 2268618: no nesting of stage 1 in stage 2.
    /// This driver translates by stage 2 alone; kept for the report.
    pub no_nesting: bool,
    /// MMU-700 2812531: a CMD_SYNC must come before a batch fills, and
    /// broadcast invalidation must not be relied upon.
    pub sync_early: bool,
}

const ARM: u32 = 0x43b;
const MMU_600: u32 = 0x483;
const MMU_700: u32 = 0x487;

impl Errata {
    /// Looks the product up.
    pub fn of(features: &Features) -> Self {
        let iidr = features.id.iidr;
        let (product, variant, revision) = (iidr >> 20, (iidr >> 16) & 0xf, (iidr >> 12) & 0xf);
        if iidr & 0xfff != ARM {
            return Self::default();
        }
        match product {
            MMU_600 => Self {
                no_event_on_sync: variant == 0 && revision <= 2,
                no_nesting: variant < 2,
                sync_early: false,
            },
            MMU_700 => Self {
                no_event_on_sync: false,
                no_nesting: true,
                sync_early: true,
            },
            _ => Self::default(),
        }
    }

    /// Most commands between two syncs.
    pub fn batch_limit(&self) -> usize {
        if self.sync_early { 63 } else { usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v3::features::IdRegisters;

    fn of(iidr: u32) -> Errata {
        let id = IdRegisters {
            idr: [0x0d44_101b, 0x0273_0010, 0, 0x404, 0, 0x74],
            iidr,
            aidr: 1,
        };
        Errata::of(&Features::decode(id).unwrap())
    }

    #[test]
    fn products_and_revisions() {
        assert_eq!(of(0), Errata::default());
        assert!(of(0x4830_043b).no_event_on_sync);
        assert!(!of(0x4831_043b).no_event_on_sync);
        assert!(of(0x4831_043b).no_nesting);
        assert_eq!(of(0x4832_043b), Errata::default());
        assert_eq!(of(0x4870_043b).batch_limit(), 63);
        assert_eq!(of(0x4870_0111), Errata::default());
    }
}
