//! GPIO lines, and registers of whatever has them.
use super::super::bank::{self, GpioBank};
use super::super::gpio::{Bank, GpioGate, SINGLE_ENDED};
use super::super::pl061::Pl061;
use super::{Environment, OpenError, Suppliers};
use crate::facts::reference::{Reference, references};
use crate::facts::regions;
use crate::probe::{Driver, driver_of};
use crate::supply::Switch;
use crate::tree::{NodeId, Tree};
use alloc::sync::Arc;

impl<E: Environment> Suppliers<E> {
    pub(super) fn gate(
        &mut self,
        tree: &Tree<'_>,
        gate: NodeId,
    ) -> Result<Arc<dyn Switch>, OpenError> {
        const NAME: &str = "enable-gpios";
        let property = tree
            .node(gate)
            .property(NAME)
            .ok_or(OpenError::Property(NAME))?;
        let list = references(tree, property, "#gpio-cells").ok();
        let first = list.and_then(|l| l.into_iter().next().flatten());
        let Reference { provider, args } = first.ok_or(OpenError::Property(NAME))?;
        let &[line, flags] = args.as_slice() else {
            return Err(OpenError::Property(NAME));
        };
        // The banks drive both levels, against whoever else pulls the line.
        if flags & SINGLE_ENDED != 0 {
            return Err(OpenError::Property(NAME));
        }
        let bank = self.bank(tree, provider)?;
        if line >= bank.lines() {
            return Err(OpenError::Unknown(line));
        }
        Ok(Arc::new(GpioGate::new(bank, line, flags)))
    }

    pub(super) fn bank(&mut self, tree: &Tree<'_>, id: NodeId) -> Result<Arc<dyn Bank>, OpenError> {
        if let Some(bank) = self.banks.get(&id) {
            return Ok(bank.clone());
        }
        let bank: Arc<dyn Bank> = match driver_of(tree, id) {
            Some(Driver::Pl061) => Arc::new(Pl061::new(self.registers(tree, id)?)),
            Some(Driver::Gpio) => Arc::new(self.layout(tree, id)?),
            _ => return Err(OpenError::NoDriver),
        };
        self.banks.insert(id, bank.clone());
        Ok(bank)
    }

    /// A controller of which only the layout is special.
    fn layout(&self, tree: &Tree<'_>, id: NodeId) -> Result<GpioBank<E::Registers>, OpenError> {
        let node = tree.node(id);
        let (holder, base) = if bank::is_in_parent(&node) {
            let base = node.property("offset").and_then(|p| p.u32());
            let base = base.ok_or(OpenError::Property("offset"))?;
            (tree.parent(id).ok_or(OpenError::Property("reg"))?, base)
        } else {
            (id, 0)
        };
        if bank::is_big_endian(&node) {
            return Err(OpenError::Property("little-endian"));
        }
        let base = usize::try_from(base).map_err(|_| OpenError::Property("offset"))?;
        GpioBank::new(self.registers(tree, holder)?, &node, base).ok_or(OpenError::NoDriver)
    }

    pub(super) fn registers(&self, tree: &Tree<'_>, id: NodeId) -> Result<E::Registers, OpenError> {
        let region = regions(tree, id).first().copied().flatten();
        let region = region.ok_or(OpenError::Property("reg"))?;
        self.environment
            .registers(region)
            .ok_or(OpenError::Registers)
    }
}
