//! The virtual and the physical EL1 timer.

use crate::{mrs, msr};

/// Which timer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// `CNTV`, PPI 27.
    Virtual,
    /// `CNTP`, PPI 30.
    Physical,
}

impl Timer {
    /// Its interrupt.
    pub fn intid(self) -> u32 {
        match self {
            Self::Virtual => 27,
            Self::Physical => 30,
        }
    }

    /// Sets its deadline to `ticks` from now.
    pub fn set(self, ticks: u64) {
        match self {
            Self::Virtual => msr!("cntv_tval_el0", ticks),
            Self::Physical => msr!("cntp_tval_el0", ticks),
        }
    }

    /// Sets it to fire in `ticks` and turns it on.
    pub fn arm(self, ticks: u64) {
        self.set(ticks);
        self.control(1);
    }

    /// Writes its control register.
    pub fn control(self, value: u64) {
        match self {
            Self::Virtual => msr!("cntv_ctl_el0", value),
            Self::Physical => msr!("cntp_ctl_el0", value),
        }
    }

    /// Reads its control register: ENABLE, IMASK, ISTATUS.
    pub fn state(self) -> u64 {
        match self {
            Self::Virtual => mrs!("cntv_ctl_el0"),
            Self::Physical => mrs!("cntp_ctl_el0"),
        }
    }
}
