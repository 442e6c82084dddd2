//! From a phandle in the device tree to a switch.
mod firmware;
mod lines;
mod rockchip;

use super::eemi::{EemiClock, EemiNode};
use super::fixed::Fixed;
use super::gpio::Bank;
use super::qcom;
use super::scmi::Channel;
use super::{Counted, NO_ANSWER, SupplyError, Switch};
use crate::facts::reference::{CLOCKS, supplies};
use crate::facts::{Conduit, Supply};
use crate::mmio::Mmio;
use crate::probe::{Driver, Probed, driver_of};
use crate::region::Region;
use crate::tree::{NodeId, Tree};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use litemap::LiteMap;

/// Services a driver needs besides registers.
pub trait Services: Send + Sync {
    /// A clock in microseconds that never goes back.
    fn now_us(&self) -> u64;

    /// Calls firmware (SMCCC: function id in w0, arguments in x1 to x6,
    /// results in x0 to x3).
    fn call(&self, conduit: Conduit, function: u32, args: [u64; 6]) -> [u64; 4];
}

/// What the registry needs of its surroundings.
pub trait Environment {
    /// Access to a device's registers.
    type Registers: Mmio + Send + Sync + 'static;

    /// Maps registers, or a page shared with firmware, as device memory.
    fn registers(&self, region: Region) -> Option<Self::Registers>;

    /// Time and firmware calls.
    fn services(&self) -> Arc<dyn Services>;

    /// Tells the operator something about the device at `path` that is no
    /// failure.
    fn tell(&self, path: &str, what: &str);
}

/// Whether a specifier names a clock or a power domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SupplyKind {
    /// From `clocks`.
    Clock,
    /// From `power-domains`.
    PowerDomain,
}

/// Why a supply could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// There is no driver for the provider.
    NoDriver,
    /// The provider has no such clock or domain (first cell of the specifier).
    Unknown(u32),
    /// A property of the provider or of one above it is missing or wrong.
    Property(&'static str),
    /// Its registers cannot be mapped.
    Registers,
    /// It supplies itself.
    Cycle,
    /// Firmware does not answer, or not sensibly.
    Firmware(SupplyError),
    /// It must always be on, and does not come.
    Start(SupplyError),
    /// Firmware has this version of its interface, and a later one is needed.
    Old(u32),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => write!(f, "no driver"),
            Self::Unknown(id) => write!(f, "no clock or domain {id} known there"),
            Self::Property(name) => write!(f, "property {name} is missing or wrong"),
            Self::Registers => write!(f, "its registers cannot be reached"),
            Self::Cycle => write!(f, "it supplies itself"),
            Self::Firmware(error) => write!(f, "firmware: {error}"),
            Self::Start(error) => write!(f, "it must be on, and is not: {error}"),
            Self::Old(version) => {
                let (major, minor) = (version >> 16, version & 0xffff);
                write!(f, "firmware: version {major}.{minor} is too old")
            }
        }
    }
}

/// A clock or domain: what it is, whose, and its specifier.
type Wanted = (SupplyKind, NodeId, Vec<u32>);

/// What has to be on before, and as long as, one of `provider`'s is.
fn parents_of(
    tree: &Tree<'_>,
    driver: Driver,
    kind: SupplyKind,
    (provider, args): (NodeId, &[u32]),
) -> Result<Vec<Wanted>, OpenError> {
    match driver {
        Driver::GpioGate | Driver::FixedFactor => clocks_of(tree, provider),
        Driver::Rockchip => rockchip::parents(tree, kind, (provider, args)),
        _ => Ok(Vec::new()),
    }
}

fn clocks_of(tree: &Tree<'_>, id: NodeId) -> Result<Vec<Wanted>, OpenError> {
    let listed = supplies(tree, id, CLOCKS).map_err(|_| OpenError::Property("clocks"))?;
    let clock = |supply: Supply| (SupplyKind::Clock, supply.provider, supply.args);
    Ok(listed.into_iter().map(clock).collect())
}

type Key = (NodeId, SupplyKind, Vec<u32>);

/// Opens supplies and shares them.
pub struct Suppliers<E: Environment> {
    environment: E,
    open: LiteMap<Key, Arc<dyn Switch>>,
    banks: LiteMap<NodeId, Arc<dyn Bank>>,
    channels: LiteMap<NodeId, Arc<Channel<E::Registers>>>,
    controllers: LiteMap<NodeId, Arc<qcom::Controller<E::Registers>>>,
    windows: LiteMap<NodeId, Arc<E::Registers>>,
}

/// Longest chain of clocks derived from each other.
const MAX_CHAIN: usize = 8;

impl<E: Environment> Suppliers<E> {
    /// A registry in `environment`.
    #[must_use]
    pub const fn new(environment: E) -> Self {
        Self {
            environment,
            open: LiteMap::new(),
            banks: LiteMap::new(),
            channels: LiteMap::new(),
            controllers: LiteMap::new(),
            windows: LiteMap::new(),
        }
    }

    /// The switch for a clock or power domain. Whoever names the same one gets
    /// the same switch, which stays on while anyone wants it on.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &mut self,
        tree: &Tree<'_>,
        kind: SupplyKind,
        supply: &Supply,
    ) -> Result<Arc<dyn Switch>, OpenError> {
        self.open_at(tree, kind, supply.provider, &supply.args, 0)
    }

    fn open_at(
        &mut self,
        tree: &Tree<'_>,
        kind: SupplyKind,
        provider: NodeId,
        args: &[u32],
        depth: usize,
    ) -> Result<Arc<dyn Switch>, OpenError> {
        if depth > MAX_CHAIN {
            return Err(OpenError::Cycle);
        }
        let key = (provider, kind, args.to_vec());
        if let Some(open) = self.open.get(&key) {
            return Ok(open.clone());
        }
        let driver = driver_of(tree, provider).ok_or(OpenError::NoDriver)?;
        let own = self.own(tree, driver, kind, (provider, args))?;
        let mut parents: Vec<Arc<dyn Switch>> = Vec::new();
        for (kind, provider, args) in parents_of(tree, driver, kind, (provider, args))? {
            let depth = depth.saturating_add(1);
            parents.push(self.open_at(tree, kind, provider, &args, depth)?);
        }
        let switch: Arc<dyn Switch> = Arc::new(Counted::new(own, parents));
        self.open.insert(key, switch.clone());
        Ok(switch)
    }

    /// The switch itself, without what it depends on.
    fn own(
        &mut self,
        tree: &Tree<'_>,
        driver: Driver,
        kind: SupplyKind,
        (provider, args): (NodeId, &[u32]),
    ) -> Result<Arc<dyn Switch>, OpenError> {
        let number = args.first().copied();
        match driver {
            Driver::FixedClock | Driver::FixedFactor => Ok(Arc::new(Fixed)),
            Driver::GpioGate => self.gate(tree, provider),
            Driver::ScmiProtocol => self.scmi(tree, provider, number),
            Driver::Eemi | Driver::EemiClock => {
                let number = number.ok_or(OpenError::Property("#clock-cells"))?;
                let firmware = self.eemi(tree, provider)?;
                if firmware.is_absent() {
                    return Ok(Arc::new(Fixed));
                }
                Ok(match kind {
                    SupplyKind::Clock => Arc::new(EemiClock::new(firmware, number)),
                    SupplyKind::PowerDomain => Arc::new(EemiNode::new(firmware, number)),
                })
            }
            Driver::Qualcomm => {
                let number = number.ok_or(OpenError::Property("#clock-cells"))?;
                let services = self.environment.services();
                let controller = self.controller(tree, provider)?;
                qcom::switch(controller, services, kind, number)
            }
            Driver::Rockchip => {
                let number = number.ok_or(OpenError::Property("#clock-cells"))?;
                self.rockchip(tree, kind, (provider, number))
            }
            Driver::Gpio | Driver::Pl061 | Driver::Scmi => Err(OpenError::NoDriver),
        }
    }

    fn controller(
        &mut self,
        tree: &Tree<'_>,
        id: NodeId,
    ) -> Result<Arc<qcom::Controller<E::Registers>>, OpenError> {
        if let Some(controller) = self.controllers.get(&id) {
            return Ok(controller.clone());
        }
        let table = qcom::table(&tree.node(id)).ok_or(OpenError::NoDriver)?;
        let controller = qcom::Controller::new(self.registers(tree, id)?, table);
        let controller = Arc::new(controller);
        self.controllers.insert(id, controller.clone());
        Ok(controller)
    }

    /// Probes a supplier's node for [`crate::probe::Graph::run`]: maps its
    /// registers or asks its firmware for a version.
    pub fn probe(&mut self, tree: &Tree<'_>, id: NodeId) -> Probed {
        let result = match driver_of(tree, id) {
            Some(Driver::FixedClock | Driver::FixedFactor | Driver::ScmiProtocol) => Ok(()),
            Some(Driver::GpioGate) => self.gate(tree, id).map(drop),
            Some(Driver::Gpio | Driver::Pl061) => self.bank(tree, id).map(drop),
            Some(Driver::Scmi) => self.channel(tree, id).and_then(|channel| {
                const BASE: u32 = 0x10;
                // Not waited for here: whoever probes asks again.
                if !channel.is_free() {
                    return Err(OpenError::Firmware(SupplyError::Timeout(0)));
                }
                channel.version(BASE).map(drop).map_err(OpenError::Firmware)
            }),
            Some(driver @ (Driver::Eemi | Driver::EemiClock)) => {
                self.probe_eemi(tree, id, driver == Driver::Eemi)
            }
            Some(Driver::Qualcomm) => self.controller(tree, id).map(drop),
            Some(Driver::Rockchip) => self.window(tree, id).map(drop),
            None => Err(OpenError::NoDriver),
        };
        match result {
            Ok(()) => Probed::Ready,
            Err(OpenError::Firmware(error)) if error.may_pass() => Probed::NotYet(NO_ANSWER),
            Err(OpenError::Old(_)) => Probed::Failed("its firmware is too old"),
            Err(OpenError::Firmware(_)) => Probed::Failed("its firmware refuses"),
            Err(OpenError::Property(name)) => Probed::Failed(name),
            Err(OpenError::Registers) => Probed::Failed("its registers cannot be reached"),
            Err(_) => Probed::Failed("no driver"),
        }
    }
}
