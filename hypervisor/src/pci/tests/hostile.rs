//! A guest that writes anything anywhere.
//!
//! Properties, after every single write:
//! 1. every mapping shows whole pages of a BAR of the VM's own functions;
//! 2. no two mappings share guest addresses (checked by the fake effects),
//!    and all lie in the window;
//! 3. hardware's BARs are where the hypervisor put them, whenever the function
//!    decodes;
//! 4. whatever hardware decodes behind a mapped page belongs to the VM;
//! 5. hardware masters the bus only while announced as active, and announced
//!    means D0 with bus-master enable in the guest's eyes;
//! 6. other VMs' functions and the bridges see no write at all.

use super::vm::{CONFIG, EDU, NIC, NVME, V2M, Vm, build};
use crate::pci::fake::Happened;
use crate::pci::regs::command;
use crate::pci::virt::HostConfig;
use crate::pci::{ConfigSpace, Rid};
use proptest::prelude::*;

const OWN: [Rid; 4] = [NIC, NVME, Rid::new(0, 3, 1), Rid::new(1, 0, 0)];

#[derive(Clone, Debug)]
struct Store {
    offset: u64,
    bytes: usize,
    value: u64,
    no_power: bool,
    no_map: bool,
}

fn store() -> impl Strategy<Value = Store> {
    // Mostly registers that matter of functions that exist.
    let rid = prop_oneof![
        8 => prop::sample::select(vec![0u16, 0x08, 0x10, 0x18]),
        1 => any::<u16>(),
    ];
    let hot = vec![
        4u16, 4, 4, 6, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x64, 0x64, 0xcc, 0xcc, 0x88, 0xa0,
        0xd0, 0xd4, 0x40,
    ];
    let offset = prop_oneof![6 => prop::sample::select(hot), 2 => 0u16..0x100, 1 => 0u16..0x1000];
    let address = (0u64..12).prop_map(|n| 0x1000_0000 + n * 0x2_0000);
    let value = prop_oneof![
        4 => address,
        4 => 0u64..8,
        1 => Just(u64::MAX),
        2 => any::<u64>(),
    ];
    let bytes = prop::sample::select(vec![1usize, 2, 2, 4, 4, 4, 8, 3]);
    (
        rid,
        offset,
        value,
        bytes,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(rid, offset, value, bytes, no_power, no_map)| Store {
            offset: (u64::from(rid) << 12) | u64::from(offset),
            bytes,
            value,
            no_power,
            no_map,
        })
}

fn check(vm: &Vm) -> Result<(), TestCaseError> {
    for m in &vm.fx.mapped {
        prop_assert!(OWN.contains(&m.rid));
        let bar = vm.topology.get(m.rid).unwrap().bars[usize::from(m.bar)].unwrap();
        prop_assert_eq!((m.pa, m.size), (bar.place.unwrap().pa, bar.size.max(4096)));
        let end = CONFIG.window_ipa + CONFIG.window_size;
        prop_assert!(m.ipa >= CONFIG.window_ipa && m.ipa + m.size <= end);
        for at in (m.pa..m.pa + m.size).step_by(0x800) {
            let owners = vm.pci.decoders(at);
            prop_assert!(owners.iter().all(|&o| o == (m.rid, m.bar)), "{:x?}", owners);
        }
    }
    for info in vm.host.functions() {
        let rid = info.physical;
        let hardware = vm.pci.read16(rid, 4);
        if hardware & command::BUS_MASTER != 0 {
            prop_assert!(info.active, "{} masters unannounced", rid);
        }
        let master = vm.r16(info.virtual_rid, 4) & command::BUS_MASTER != 0;
        prop_assert_eq!(info.active, master && info.d_state == 0);
        if hardware & command::MEMORY != 0 {
            let bars = vm.topology.get(rid).unwrap().bars;
            for (n, bar) in bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                let low = vm.pci.read32(rid, 0x10 + 4 * n as u16) & !15;
                prop_assert_eq!(low, bar.place.unwrap().bus as u32);
            }
        }
    }
    for happened in vm.pci.take_log() {
        if let Happened::Write(rid, ..) = happened {
            prop_assert!(OWN.contains(&rid), "wrote to {}", rid);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("STAGEGATE_PCI_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(160)
    ))]

    #[test]
    fn no_sequence_of_writes_reaches_outside(
        stores in prop::collection::vec(store(), 1..60),
        messages in any::<bool>(),
    ) {
        let msi = if messages { V2M } else { CONFIG.msi };
        let mut vm = build(&OWN, HostConfig { msi, ..CONFIG }).unwrap();
        // Another VM's function decodes all the while.
        vm.pci.write16(EDU, 4, 6);
        vm.pci.take_log();
        for s in stores {
            vm.fx.no_power = s.no_power;
            vm.fx.no_map = s.no_map;
            let _ = vm.host.store(&vm.pci, s.offset, s.bytes, s.value, &mut vm.fx);
            check(&vm)?;
            let _ = vm.host.load(&vm.pci, s.offset, s.bytes);
        }
        vm.fx.no_power = false;
        let report = vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
        prop_assert_eq!(report.failed(), None);
        prop_assert!(vm.fx.mapped.is_empty());
        prop_assert!(vm.host.functions().all(|f| !f.active && f.d_state == 0));
        for rid in OWN {
            prop_assert_eq!(vm.pci.read16(rid, 4), 0x400);
        }
    }
}
