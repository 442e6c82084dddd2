//! A doorbell that is a firmware call (bindings/firmware/arm,scmi.yaml).
use super::SupplyError;
use super::registry::{OpenError, Services};
use super::scmi::Doorbell;
use crate::facts::{Conduit, cpu};
use crate::fdt::Node;
use crate::region::Region;
use crate::tree::Tree;
use alloc::sync::Arc;

/// The doorbell of SCMI firmware at `node`, whose shared page is `page`.
///
/// # Errors
/// [`OpenError::Property`] without `arm,smc-id`.
pub(super) fn doorbell(
    tree: &Tree<'_>,
    node: &Node<'_>,
    services: Arc<dyn Services>,
    page: Option<Region>,
) -> Result<Arc<dyn Doorbell>, OpenError> {
    let function = node.property("arm,smc-id").and_then(|p| p.u32());
    Ok(Arc::new(SmcDoorbell {
        services,
        conduit: cpu::conduit(tree).unwrap_or(Conduit::Smc),
        function: function.ok_or(OpenError::Property("arm,smc-id"))?,
        page: page.filter(|_| node.is_compatible("arm,scmi-smc-param")),
    }))
}

/// A doorbell that is a firmware call (bindings/firmware/arm,scmi.yaml).
struct SmcDoorbell {
    services: Arc<dyn Services>,
    conduit: Conduit,
    function: u32,
    /// `arm,scmi-smc-param`: the page is passed with the call.
    page: Option<Region>,
}

impl Doorbell for SmcDoorbell {
    fn ring(&self) -> Result<(), SupplyError> {
        let (page, offset) = self.page.map_or((0, 0), |p| (p.base >> 12, p.base & 0xfff));
        let args = [page, offset, 0, 0, 0, 0];
        let [x0, ..] = self.services.call(self.conduit, self.function, args);
        match u32::try_from(x0 & 0xffff_ffff)
            .unwrap_or(u32::MAX)
            .cast_signed()
        {
            0 => Ok(()),
            code => Err(SupplyError::Firmware(code)),
        }
    }
}
