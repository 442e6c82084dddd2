use super::fake::World;
use crate::facts::Conduit;
use crate::supply::eemi::{Eemi, EemiClock, EemiNode};
use crate::supply::{SupplyError, Switch};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

/// EEMI firmware: records calls, knows clock 5 and node 0x45.
fn eemi(log: Arc<Mutex<Vec<(u32, u64, u64)>>>, conduit: Conduit) -> Eemi {
    let on = Mutex::new(false);
    let world = World::new(move |_, function, args| {
        let (api, first) = (function & 0xffff, args[0] & 0xffff_ffff);
        log.lock().push((function, args[0], args[1]));
        let mut on = on.lock();
        let ok = |value: u64| [value << 32, 0, 0, 0];
        match (api, first) {
            (1, _) => ok(0x1_0001),
            (36, 5) => {
                *on = true;
                ok(0)
            }
            (37, 5) => {
                *on = false;
                ok(0)
            }
            (13, 0x45) if *on => [2009, 0, 0, 0],
            (13, 0x45) => {
                *on = true;
                ok(0)
            }
            (14, 0x45) => {
                *on = false;
                ok(0)
            }
            (38 | 3, 5 | 0x45) => ok(u64::from(*on)),
            _ => [2002, 0, 0, 0],
        }
    });
    Eemi::new(world, conduit)
}

#[test]
fn eemi_clocks_and_nodes_switch() {
    let log = Arc::default();
    let firmware = eemi(Arc::clone(&log), Conduit::Smc);
    assert_eq!(firmware.version(), Ok(0x1_0001));
    let clock = EemiClock::new(firmware.clone(), 5);
    clock.enable().unwrap();
    assert_eq!(clock.is_on(), Ok(true));
    clock.disable().unwrap();
    assert_eq!(clock.is_on(), Ok(false));
    let node = EemiNode::new(firmware.clone(), 0x45);
    node.enable().unwrap();
    node.enable().unwrap();
    assert_eq!(node.is_on(), Ok(true));
    node.disable().unwrap();
    assert_eq!(node.is_on(), Ok(false));
    let request = log.lock().iter().copied().find(|c| c.0 == 0xc200_000d);
    assert_eq!(request, Some((0xc200_000d, 0x1_0000_0045, 0x1_0000_0000)));
    assert_eq!(
        EemiClock::new(firmware, 6).enable(),
        Err(SupplyError::Firmware(2002))
    );
}
