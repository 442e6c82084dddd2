//! Clocks and power domains of the board, as the SMMU drivers want them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, string::String};

use platform::facts::reference::{CLOCKS, POWER_DOMAINS, supplies};
use platform::facts::{Conduit, Supply};
use platform::mmio::Window;
use platform::region::Region;
use platform::supply::{Environment, OpenError, Services, Suppliers, SupplyKind, Switch};
use platform::tree::{NodeId, Tree};
use smmu::{Clock, PowerDomain, SupplyError};

use crate::arch::{mmio, smp, timer};
use crate::burst::Burst;

/// What supply drivers get from this machine.
pub struct Machine;

impl Environment for Machine {
    type Registers = Window;

    fn registers(&self, region: Region) -> Option<Window> {
        Some(mmio::window(region.base, region.size))
    }

    fn services(&self) -> Arc<dyn Services> {
        Arc::new(Firmware)
    }

    fn tell(&self, path: &str, what: &str) {
        log::warn!("{path}: {what}");
    }
}

struct Firmware;

impl Services for Firmware {
    fn now_us(&self) -> u64 {
        timer::now_ns() / 1000
    }

    fn call(&self, conduit: Conduit, function: u32, args: [u64; 6]) -> [u64; 4] {
        let conduit = match conduit {
            Conduit::Smc => smp::Conduit::Smc,
            Conduit::Hvc => smp::Conduit::Hvc,
        };
        smp::call(conduit, u64::from(function), args)
    }
}

/// What guests may cause as often as they like is not printed as often.
static LINES: Burst = Burst::new(4);

/// A switch of the board as a clock or a power domain of an SMMU.
struct Lasting {
    switch: Arc<dyn Switch>,
    /// The providing node, and the name that the consumer gives it.
    name: String,
}

impl Lasting {
    fn on(&self) -> Result<(), SupplyError> {
        self.switch.enable().map_err(|error| self.told("on", error))
    }

    fn off(&self) -> Result<(), SupplyError> {
        let off = self.switch.disable();
        if let Some(error) = self.switch.doubt()
            && LINES.turn(timer::now_ns()).shown
        {
            log::warn!("{} neither goes off nor stays on: {error}", self.name);
        }
        off.map_err(|error| self.told("off", error))
    }

    /// The drivers keep a number; the operator gets the words.
    fn told(&self, direction: &str, error: platform::supply::SupplyError) -> SupplyError {
        if LINES.turn(timer::now_ns()).shown {
            log::warn!("{} does not switch {direction}: {error}", self.name);
        }
        let code = match error {
            platform::supply::SupplyError::Firmware(code) => code,
            _ => -1,
        };
        SupplyError { code }
    }
}

impl Clock for Lasting {
    // The board's drivers know one tier; preparing is theirs to do in it.
    fn prepare(&self) -> Result<(), SupplyError> {
        Ok(())
    }

    fn enable(&self) -> Result<(), SupplyError> {
        self.on()
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.off()
    }

    fn unprepare(&self) {}

    fn is_fixed(&self) -> bool {
        self.switch.is_fixed()
    }
}

impl PowerDomain for Lasting {
    fn power_on(&self) -> Result<(), SupplyError> {
        self.on()
    }

    fn power_off(&self) -> Result<(), SupplyError> {
        self.off()
    }

    fn is_fixed(&self) -> bool {
        self.switch.is_fixed()
    }
}

/// What powers an SMMU or a TBU, in the order in which it must come up. The
/// switches live as long as the machine.
#[derive(Default)]
pub struct Supplied {
    /// Clocks.
    pub clocks: Vec<&'static dyn Clock>,
    /// Power domains.
    pub domains: Vec<&'static dyn PowerDomain>,
}

/// Opens clocks and power domains.
///
/// # Errors
/// The first that cannot be opened.
pub fn open(
    suppliers: &mut Suppliers<Machine>,
    tree: &Tree<'_>,
    (clocks, domains): (&[Supply], &[Supply]),
) -> Result<Supplied, OpenError> {
    let mut lasting = |kind, supply: &Supply| {
        let switch = suppliers.open(tree, kind, supply)?;
        let name = match supply.name.as_str() {
            "" => supply.path.clone(),
            name => format!("{} ({name})", supply.path),
        };
        Ok(&*Box::leak(Box::new(Lasting { switch, name })))
    };
    let mut supplied = Supplied::default();
    for clock in clocks {
        supplied.clocks.push(lasting(SupplyKind::Clock, clock)?);
    }
    for domain in domains {
        supplied
            .domains
            .push(lasting(SupplyKind::PowerDomain, domain)?);
    }
    Ok(supplied)
}

/// Switches on what a device needs, for good: its power domains, then its clocks.
///
/// # Errors
/// The first that cannot be opened, or does not come on.
pub fn power(
    suppliers: &mut Suppliers<Machine>,
    tree: &Tree<'_>,
    node: NodeId,
) -> Result<(), OpenError> {
    for (kind, list) in [
        (SupplyKind::PowerDomain, POWER_DOMAINS),
        (SupplyKind::Clock, CLOCKS),
    ] {
        let listed = supplies(tree, node, list).map_err(|_| OpenError::Property(list.0))?;
        for supply in &listed {
            let switch = suppliers.open(tree, kind, supply)?;
            switch.enable().map_err(OpenError::Firmware)?;
        }
    }
    Ok(())
}
