//! EEMI against firmware that refuses, agrees without doing, or is not there.
use super::fake::World;
use super::registry::Fakes;
use crate::facts::{Conduit, Supply};
use crate::fdt::Blob;
use crate::probe::Probed;
use crate::supply::SupplyError::{Firmware, Timeout};
use crate::supply::eemi::{Eemi, EemiClock, EemiNode};
use crate::supply::{Counted, OpenError, Suppliers, SupplyKind, Switch};
use crate::tree::Tree;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use spin::Mutex;

const CLOCK: u32 = 5;
const NODE: u32 = 0x45;
const ACCESS: u64 = 1;
const ACK_BLOCKING: u64 = 2;
/// Longest time from consent until it is so, and what looking adds.
const LIMIT: u64 = 10_000;
const SLACK: u64 = 200;

/// Firmware with one clock and one node, and what it is to do wrong.
#[derive(Default)]
struct State {
    /// Clock runs; node has power.
    on: [bool; 2],
    /// How often it has yet to be asked before what was agreed to is so.
    lazy: Option<u32>,
    /// What it has agreed to and not done yet.
    agreed: [Option<bool>; 2],
    /// The node is ours.
    requested: bool,
    /// Calls with another answer.
    answers: Vec<(u32, u64)>,
    version: u32,
    /// Function and arguments.
    calls: Vec<(u32, [u64; 4])>,
}

impl State {
    fn agree(&mut self, which: usize, on: bool) -> u64 {
        match self.lazy {
            None => self.on[which] = on,
            Some(_) => self.agreed[which] = Some(on),
        }
        0
    }

    fn state(&mut self, which: usize) -> u64 {
        match &mut self.lazy {
            Some(0) => self.on[which] = self.agreed[which].take().unwrap_or(self.on[which]),
            Some(left) => *left -= 1,
            None => {}
        }
        u64::from(self.on[which]) << 32
    }

    fn call(&mut self, function: u32, args: [u64; 6]) -> u64 {
        let words = [args[0], args[0] >> 32, args[1], args[1] >> 32];
        let words = words.map(|word| word & 0xffff_ffff);
        self.calls.push((function, words));
        let api = function & 0xffff;
        if let Some(&(_, answer)) = self.answers.iter().find(|(of, _)| *of == api) {
            return answer;
        }
        let [of, capabilities, _, acknowledge] = words;
        let node = of == u64::from(NODE);
        match api {
            1 => u64::from(self.version) << 32,
            36 if of == u64::from(CLOCK) => self.agree(0, true),
            37 if of == u64::from(CLOCK) => self.agree(0, false),
            38 if of == u64::from(CLOCK) => self.state(0),
            3 if node => self.state(1),
            13 if node && self.requested => 2004,
            13 | 15 if node && acknowledge == ACK_BLOCKING => {
                self.requested = true;
                self.agree(1, capabilities & ACCESS != 0)
            }
            14 if node && self.requested => {
                self.requested = false;
                self.agree(1, false)
            }
            _ => 2003,
        }
    }
}

type Shared = Arc<Mutex<State>>;

struct Rig {
    state: Shared,
    world: Arc<World>,
    clock: EemiClock,
    node: EemiNode,
}

fn world(state: &Shared) -> Arc<World> {
    let shared = Arc::clone(state);
    World::new(move |conduit, function, args| {
        assert_eq!((conduit, function >> 16), (Conduit::Smc, 0xc200));
        // The other registers are nobody's business.
        let x0 = shared.lock().call(function, args);
        [x0, u64::MAX, u64::MAX, u64::MAX]
    })
}

fn rig() -> Rig {
    let state = Shared::default();
    let world = world(&state);
    let firmware = Eemi::new(world.clone(), Conduit::Smc);
    Rig {
        state,
        world,
        clock: EemiClock::new(firmware.clone(), CLOCK),
        node: EemiNode::new(firmware, NODE),
    }
}

#[test]
fn clocks_and_nodes_switch_and_read_back() {
    let rig = rig();
    for switch in [&rig.clock as &dyn Switch, &rig.node] {
        assert_eq!(switch.is_on(), Ok(false));
        switch.enable().unwrap();
        assert_eq!(switch.is_on(), Ok(true));
        switch.disable().unwrap();
        assert_eq!(switch.is_on(), Ok(false));
    }
    let calls = &rig.state.lock().calls;
    let request = calls.iter().find(|call| call.0 == 0xc200_000d).unwrap();
    assert_eq!(request.1, [u64::from(NODE), ACCESS, 0, ACK_BLOCKING]);
}

/// Requested by the boot loader, without power.
#[test]
fn a_node_that_is_ours_already_is_told_what_is_needed() {
    let rig = rig();
    rig.state.lock().requested = true;
    rig.node.enable().unwrap();
    assert!(rig.state.lock().on[1]);
    let calls: Vec<u32> = rig.state.lock().calls.iter().map(|c| c.0 & 0xff).collect();
    assert_eq!(calls, [13, 15, 3]);
    rig.state.lock().answers = vec![(15, 2002)];
    rig.state.lock().on[1] = false;
    assert_eq!(rig.node.enable(), Err(Firmware(2002)));
}

#[test]
fn what_firmware_refuses_is_told_as_it_is() {
    // No access, no such node, used by another, internal, no such call.
    for code in [2002, 2003, 2007, 2000, u64::from(u32::MAX)] {
        let told = Err(Firmware(code as u32 as i32));
        let rig = rig();
        let answers = [3, 13, 14, 36, 37, 38].map(|api| (api, code));
        rig.state.lock().answers = answers.to_vec();
        for switch in [&rig.clock as &dyn Switch, &rig.node] {
            assert_eq!(switch.enable(), told);
            assert_eq!(switch.disable(), told);
            assert_eq!(switch.is_on().map(drop), told);
        }
        // It agrees, and does not want to say what came of it.
        rig.state.lock().answers = vec![(3, code), (38, code)];
        assert_eq!(rig.clock.enable(), told);
        assert_eq!(rig.node.enable(), told);
    }
    let strange = EemiClock::new(Eemi::new(rig().world, Conduit::Smc), 6);
    assert_eq!(strange.enable(), Err(Firmware(2003)));
}

/// Consent is not success: the state afterwards is.
#[test]
fn on_is_what_firmware_says_it_is_afterwards() {
    let rig = rig();
    for switch in [&rig.clock as &dyn Switch, &rig.node] {
        rig.state.lock().lazy = Some(20);
        assert_eq!(switch.enable(), Ok(()));
        assert_eq!(switch.is_on(), Ok(true));
        switch.disable().unwrap();
        rig.state.lock().on = [false; 2];
        rig.state.lock().lazy = Some(u32::MAX);
        let before = rig.world.elapsed();
        assert_eq!(switch.enable(), Err(Timeout(LIMIT)));
        let took = rig.world.elapsed() - before;
        assert!((LIMIT..LIMIT + SLACK).contains(&took), "{took}");
    }
}

#[test]
fn a_clock_that_another_processor_uses_counts_as_off() {
    let rig = rig();
    rig.clock.enable().unwrap();
    rig.state.lock().answers = vec![(37, 2008)];
    assert_eq!(rig.clock.disable(), Ok(()));
    assert_eq!(rig.clock.is_on(), Ok(true), "it is not hidden");
}

#[test]
fn a_refusal_to_stop_leaves_it_on_with_its_user() {
    let rig = rig();
    let counted = Counted::new(Arc::new(rig.node.clone()), Vec::new());
    counted.enable().unwrap();
    rig.state.lock().answers = vec![(14, 2002)];
    assert_eq!(counted.disable(), Err(Firmware(2002)));
    assert_eq!((counted.is_on(), counted.doubt()), (Ok(true), None));
    rig.state.lock().answers.clear();
    assert_eq!(counted.disable(), Ok(()));
    assert!(!rig.state.lock().on[1]);
}

const SOURCE: &str = r#"/dts-v1/; / {
    zynqmp-firmware { compatible = "xlnx,zynqmp-firmware"; method = "smc"; #power-domain-cells = <1>;
        clock-controller { compatible = "xlnx,zynqmp-clk"; #clock-cells = <1>; }; }; };"#;

/// What probing comes to, and opening the node.
fn probe(version: u32, answers: &[(u32, u64)]) -> (Probed, Result<bool, OpenError>) {
    let blob = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&blob).unwrap());
    let state = Shared::default();
    state.lock().version = version;
    state.lock().answers = answers.to_vec();
    let mut suppliers = Suppliers::new(Fakes {
        windows: Arc::default(),
        world: world(&state),
        told: Arc::default(),
    });
    let provider = tree.find("/zynqmp-firmware").unwrap();
    let clocks = tree.find("/zynqmp-firmware/clock-controller").unwrap();
    let probed = suppliers.probe(&tree, provider);
    assert_eq!(suppliers.probe(&tree, clocks), probed, "the same firmware");
    let supply = Supply {
        name: String::new(),
        provider,
        path: tree.path(provider),
        args: vec![NODE],
    };
    let opened = suppliers.open(&tree, SupplyKind::PowerDomain, &supply);
    (probed, opened.map(|switch| switch.is_fixed()))
}

#[test]
fn firmware_is_there_or_not_or_not_yet_or_too_old() {
    for version in [0x1_0000, 0x1_0001, 0x2_0000] {
        assert_eq!(probe(version, &[]), (Probed::Ready, Ok(false)));
    }
    for old in [0, 3, 0xffff] {
        let refused = Probed::Failed("its firmware is too old");
        assert_eq!(probe(old, &[]).0, refused, "{old:#x}");
    }
    // No such call at all, in 32 or in 64 bits.
    for unknown in [u64::from(u32::MAX), u64::MAX] {
        assert_eq!(probe(0, &[(1, unknown)]), (Probed::Ready, Ok(true)));
    }
    // The power management unit does not answer secure firmware yet.
    let not_yet = Probed::NotYet("its firmware does not answer yet");
    assert_eq!(probe(0x1_0000, &[(1, 2006)]).0, not_yet);
    let refuses = Probed::Failed("its firmware refuses");
    assert_eq!(probe(0x1_0000, &[(1, 2000)]).0, refuses);
}

#[test]
fn a_version_is_told_in_words() {
    let told = alloc::format!("{}", OpenError::Old(0x3));
    assert_eq!(told, "firmware: version 0.3 is too old");
}
