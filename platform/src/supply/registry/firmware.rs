//! Channels to firmware: SCMI and EEMI.
use super::super::eemi::{self, Eemi};
use super::super::mhu::MhuDoorbell;
use super::super::scmi::{
    Channel, Doorbell, PROTOCOL_CLOCK, PROTOCOL_POWER, ScmiClock, ScmiDomain,
};
use super::super::smc;
use super::{Environment, OpenError, Suppliers};
use crate::facts::reference::{Reference, references};
use crate::facts::{Conduit, regions};
use crate::fdt::Node;
use crate::probe::{Driver, driver_of};
use crate::supply::Switch;
use crate::tree::{NodeId, Tree};
use alloc::sync::Arc;

impl<E: Environment> Suppliers<E> {
    pub(super) fn scmi(
        &mut self,
        tree: &Tree<'_>,
        protocol: NodeId,
        number: Option<u32>,
    ) -> Result<Arc<dyn Switch>, OpenError> {
        let which = tree.node(protocol).property("reg").and_then(|p| p.u32());
        let firmware = tree.parent(protocol).ok_or(OpenError::Property("reg"))?;
        let channel = self.channel(tree, firmware)?;
        let number = number.ok_or(OpenError::Property("#clock-cells"))?;
        match which {
            Some(PROTOCOL_POWER) => Ok(Arc::new(ScmiDomain::new(channel, number))),
            Some(PROTOCOL_CLOCK) => {
                let version = channel
                    .version(PROTOCOL_CLOCK)
                    .map_err(OpenError::Firmware)?;
                Ok(Arc::new(ScmiClock::new(channel, number, version)))
            }
            _ => Err(OpenError::Property("reg")),
        }
    }

    pub(super) fn channel(
        &mut self,
        tree: &Tree<'_>,
        firmware: NodeId,
    ) -> Result<Arc<Channel<E::Registers>>, OpenError> {
        if let Some(channel) = self.channels.get(&firmware) {
            return Ok(channel.clone());
        }
        let node = tree.node(firmware);
        let shmem = node
            .property("shmem")
            .and_then(|p| tree.by_phandle(p.cell(0)?));
        let shmem = shmem.ok_or(OpenError::Property("shmem"))?;
        let services = self.environment.services();
        let doorbell = if node.is_compatible("arm,scmi") {
            self.mailbox(tree, &node)?
        } else {
            let region = regions(tree, shmem).first().copied().flatten();
            smc::doorbell(tree, &node, services.clone(), region)?
        };
        let page = self.registers(tree, shmem)?;
        let channel = Channel::new(page, doorbell, services);
        let limit = node.property("arm,max-rx-timeout-ms").and_then(|p| p.u32());
        let channel = Arc::new(match limit {
            Some(milliseconds) => channel.waiting(milliseconds),
            None => channel,
        });
        self.channels.insert(firmware, channel.clone());
        Ok(channel)
    }

    /// The first of `mboxes`: a doorbell of an Arm MHU.
    fn mailbox(&self, tree: &Tree<'_>, node: &Node<'_>) -> Result<Arc<dyn Doorbell>, OpenError> {
        const NAME: &str = "mboxes";
        let list = node
            .property(NAME)
            .and_then(|p| references(tree, p, "#mbox-cells").ok());
        let first = list.and_then(|l| l.into_iter().next().flatten());
        let Reference { provider, args } = first.ok_or(OpenError::Property(NAME))?;
        if !tree.node(provider).is_compatible("arm,mhu-doorbell") {
            return Err(OpenError::NoDriver);
        }
        let &[channel, bit] = args.as_slice() else {
            return Err(OpenError::Property(NAME));
        };
        let doorbell = MhuDoorbell::new(self.registers(tree, provider)?, channel, bit);
        Ok(Arc::new(doorbell.ok_or(OpenError::Unknown(channel))?))
    }

    pub(super) fn eemi(&self, tree: &Tree<'_>, provider: NodeId) -> Result<Eemi, OpenError> {
        let owner = match driver_of(tree, provider) {
            Some(Driver::Eemi) => Some(provider),
            _ => tree.parent(provider),
        };
        let node = tree.node(owner.ok_or(OpenError::Property("compatible"))?);
        let conduit = match node.property("method").and_then(|p| p.string()) {
            Some("smc") => Conduit::Smc,
            Some("hvc") => Conduit::Hvc,
            _ => return Err(OpenError::Property("method")),
        };
        Ok(Eemi::new(self.environment.services(), conduit))
    }

    /// Asks EEMI firmware for its version. Where there is none, `first` says
    /// so.
    pub(super) fn probe_eemi(
        &self,
        tree: &Tree<'_>,
        id: NodeId,
        first: bool,
    ) -> Result<(), OpenError> {
        let firmware = self.eemi(tree, id)?;
        if firmware.is_absent() {
            if first {
                let what = "its firmware is not there: what it supplies counts as always on";
                self.environment.tell(&tree.path(id), what);
            }
            return Ok(());
        }
        match firmware.version().map_err(OpenError::Firmware)? {
            old if old < eemi::VERSION => Err(OpenError::Old(old)),
            _ => Ok(()),
        }
    }
}
