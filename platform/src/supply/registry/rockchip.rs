//! Gates and domains of Rockchip SoCs.
use super::super::rockchip::{Domain, Gate, domain_node, table};
use super::{Environment, OpenError, Suppliers, SupplyKind, Wanted, clocks_of};
use crate::supply::Switch;
use crate::tree::{NodeId, Tree};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The gate that a gate runs behind; the clocks that a domain's transitions
/// need, which run as long as it is up, and the domain it is part of.
pub(super) fn parents(
    tree: &Tree<'_>,
    kind: SupplyKind,
    (provider, args): (NodeId, &[u32]),
) -> Result<Vec<Wanted>, OpenError> {
    let number = args.first().copied();
    let number = number.ok_or(OpenError::Property("#clock-cells"))?;
    let (_, table) = table(&tree.node(provider)).ok_or(OpenError::NoDriver)?;
    if kind == SupplyKind::Clock {
        let parent = table.gate(number).and_then(|gate| gate.parent);
        let parent = parent.map(|parent| (kind, provider, alloc::vec![u32::from(parent)]));
        return Ok(parent.into_iter().collect());
    }
    let node = domain_node(tree, provider, number).ok_or(OpenError::Unknown(number))?;
    let mut list = Vec::new();
    if let Some(above) = tree.parent(node).filter(|&above| above != provider) {
        let number = tree.node(above).property("reg").and_then(|p| p.u32());
        let number = number.ok_or(OpenError::Property("reg"))?;
        list.push((kind, provider, alloc::vec![number]));
    }
    list.extend(clocks_of(tree, node)?);
    Ok(list)
}

impl<E: Environment> Suppliers<E> {
    pub(super) fn rockchip(
        &mut self,
        tree: &Tree<'_>,
        kind: SupplyKind,
        (provider, number): (NodeId, u32),
    ) -> Result<Arc<dyn Switch>, OpenError> {
        let unknown = OpenError::Unknown(number);
        let (own, table) = table(&tree.node(provider)).ok_or(OpenError::NoDriver)?;
        if own != kind {
            return Err(unknown);
        }
        let registers = self.window(tree, provider)?;
        Ok(match kind {
            SupplyKind::Clock => Arc::new(Gate::new(registers, table.gate(number).ok_or(unknown)?)),
            SupplyKind::PowerDomain => {
                let entry = table.domain(number).ok_or(unknown)?;
                let services = self.environment.services();
                Arc::new(Domain::new(registers, services, &table.pmu, entry))
            }
        })
    }

    /// The registers of a CRU, or of the PMU above a power controller.
    pub(super) fn window(
        &mut self,
        tree: &Tree<'_>,
        id: NodeId,
    ) -> Result<Arc<E::Registers>, OpenError> {
        let (kind, _) = table(&tree.node(id)).ok_or(OpenError::NoDriver)?;
        let holder = match kind {
            SupplyKind::Clock => id,
            SupplyKind::PowerDomain => tree.parent(id).ok_or(OpenError::Property("reg"))?,
        };
        if let Some(window) = self.windows.get(&holder) {
            return Ok(window.clone());
        }
        let window = Arc::new(self.registers(tree, holder)?);
        self.windows.insert(holder, window.clone());
        Ok(window)
    }
}
