//! ZynqMP platform firmware (EEMI, UG1200): clocks and nodes by SMC.
use super::poll::confirm;
use super::{Services, SupplyError, Switch};
use crate::facts::Conduit;
use alloc::sync::Arc;

/// SiP service call of the platform management interface.
const PM_SIP_SVC: u32 = 0xc200_0000;
const PM_GET_API_VERSION: u32 = 1;
const PM_GET_NODE_STATUS: u32 = 3;
const PM_REQUEST_NODE: u32 = 13;
const PM_RELEASE_NODE: u32 = 14;
const PM_SET_REQUIREMENT: u32 = 15;
const PM_CLOCK_ENABLE: u32 = 36;
const PM_CLOCK_DISABLE: u32 = 37;
const PM_CLOCK_GETSTATE: u32 = 38;

/// Capability: the node can be accessed.
const CAPABILITY_ACCESS: u32 = 1;
/// Acknowledge: return when it is done, and say what came of it. (1 asks for
/// no answer, so that a refusal looks like success.)
const ACK_BLOCKING: u32 = 2;
/// XST_PM_DOUBLE_REQ: the node was requested before.
const DOUBLE_REQUEST: i32 = 2004;
/// XST_PM_MULT_USER: another processor uses the clock.
const OTHER_USERS: i32 = 2008;
/// PM_RET_ERROR_TIMEOUT: the power management unit does not answer secure
/// firmware.
pub(super) const PMU_SILENT: i32 = 2006;
/// The interface as of which everything here is there: 1.0.
pub(super) const VERSION: u32 = 0x1_0000;
/// Longest time from firmware's consent until it is so, in microseconds.
const LIMIT_US: u64 = 10_000;

/// The firmware.
#[derive(Clone)]
pub struct Eemi {
    services: Arc<dyn Services>,
    conduit: Conduit,
}

impl Eemi {
    /// Firmware behind `conduit`.
    #[must_use]
    pub fn new(services: Arc<dyn Services>, conduit: Conduit) -> Self {
        Self { services, conduit }
    }

    /// Calls the firmware. Arguments travel as pairs of 32-bit words; the
    /// status is the low word of x0, the first result the high one.
    fn call(&self, api: u32, args: [u32; 4]) -> Result<u32, SupplyError> {
        let [a, b, c, d] = args.map(u64::from);
        let packed = [a | b << 32, c | d << 32, 0, 0, 0, 0];
        let [x0, ..] = self.services.call(self.conduit, PM_SIP_SVC | api, packed);
        let low = u32::try_from(x0 & 0xffff_ffff).unwrap_or(u32::MAX);
        match low.cast_signed() {
            0 => Ok(u32::try_from(x0 >> 32).unwrap_or(0)),
            code => Err(SupplyError::Firmware(code)),
        }
    }

    /// Waits until `api` says that `of` is on.
    fn confirm(&self, api: u32, of: u32) -> Result<(), SupplyError> {
        confirm(&*self.services, LIMIT_US, || self.is_on(api, of))
    }

    fn is_on(&self, api: u32, of: u32) -> Result<bool, SupplyError> {
        Ok(self.call(api, [of, 0, 0, 0])? != 0)
    }

    /// Version of the interface: also the way to find out whether firmware
    /// answers at all.
    ///
    /// # Errors
    /// [`SupplyError::Firmware`].
    pub fn version(&self) -> Result<u32, SupplyError> {
        self.call(PM_GET_API_VERSION, [0; 4])
    }

    /// Whether there is no such firmware: secure firmware knows none of its
    /// calls (SMCCC, DEN 0028, 5.2). Then everything is as the boot loader left
    /// it, and stays so.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        const UNKNOWN_FUNCTION: i32 = -1;
        self.version() == Err(SupplyError::Firmware(UNKNOWN_FUNCTION))
    }
}

/// A clock by its EEMI number.
#[derive(Clone)]
pub struct EemiClock {
    firmware: Eemi,
    clock: u32,
}

impl EemiClock {
    /// Clock number `clock` (include/dt-bindings/clock/xlnx-zynqmp-clk.h).
    #[must_use]
    pub const fn new(firmware: Eemi, clock: u32) -> Self {
        Self { firmware, clock }
    }
}

impl Switch for EemiClock {
    fn enable(&self) -> Result<(), SupplyError> {
        let args = [self.clock, 0, 0, 0];
        self.firmware.call(PM_CLOCK_ENABLE, args)?;
        self.firmware.confirm(PM_CLOCK_GETSTATE, self.clock)
    }

    /// A clock that another processor keeps running is off as far as we are
    /// concerned.
    fn disable(&self) -> Result<(), SupplyError> {
        let args = [self.clock, 0, 0, 0];
        match self.firmware.call(PM_CLOCK_DISABLE, args) {
            Ok(_) | Err(SupplyError::Firmware(OTHER_USERS)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        self.firmware.is_on(PM_CLOCK_GETSTATE, self.clock)
    }
}

/// A power node by its EEMI number.
#[derive(Clone)]
pub struct EemiNode {
    firmware: Eemi,
    node: u32,
}

impl EemiNode {
    /// Node number `node` (include/dt-bindings/power/xlnx-zynqmp-power.h).
    #[must_use]
    pub const fn new(firmware: Eemi, node: u32) -> Self {
        Self { firmware, node }
    }
}

impl Switch for EemiNode {
    /// A node that is ours already, as some are from the start, may be so
    /// without power: what is needed of it is then said again.
    fn enable(&self) -> Result<(), SupplyError> {
        let args = [self.node, CAPABILITY_ACCESS, 0, ACK_BLOCKING];
        match self.firmware.call(PM_REQUEST_NODE, args) {
            Err(SupplyError::Firmware(DOUBLE_REQUEST)) => {
                self.firmware.call(PM_SET_REQUIREMENT, args)?
            }
            requested => requested?,
        };
        self.firmware.confirm(PM_GET_NODE_STATUS, self.node)
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.firmware
            .call(PM_RELEASE_NODE, [self.node, 0, 0, 0])
            .map(drop)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        self.firmware.is_on(PM_GET_NODE_STATUS, self.node)
    }
}
