//! RK3588: what its two MMU-600 need. Numbers are those of
//! include/dt-bindings/clock/rockchip,rk3588-cru.h and
//! include/dt-bindings/power/rk3588-power.h, offsets those of Linux 6.12,
//! drivers/clk/rockchip/clk-rk3588.c and drivers/pmdomain/rockchip/pm-domains.c.
use super::{DomainEntry, GateEntry, PmuLayout, Request, Table};

/// CLKGATE_CON(0) in bytes; the others follow word by word.
const CLKGATE: u16 = 0x800;

const fn gate(number: u16, con: u16, bit: u8, parent: Option<u16>) -> GateEntry {
    GateEntry {
        number,
        register: CLKGATE.saturating_add(con.saturating_mul(4)),
        bit,
        shared: false,
        parent,
    }
}

const fn root(number: u16, bit: u8) -> GateEntry {
    GateEntry {
        shared: true,
        ..gate(number, 32, bit, None)
    }
}

const ACLK_MMU_PCIE: u16 = 313;
const ACLK_MMU_PHP: u16 = 314;
const PCLK_PHP_ROOT: u16 = 343;
const ACLK_PCIE_ROOT: u16 = 346;
const ACLK_PHP_ROOT: u16 = 347;
const ACLK_PCIE_BRIDGE: u16 = 348;

const PD_PHP: u16 = 32;
const PD_GMAC: u16 = 33;
const PD_PCIE: u16 = 34;

pub(super) static TABLE: Table = Table {
    cru: "rockchip,rk3588-cru",
    power_controller: "rockchip,rk3588-power-controller",
    gates: &[
        gate(ACLK_MMU_PCIE, 34, 7, Some(ACLK_PCIE_BRIDGE)),
        gate(ACLK_MMU_PHP, 34, 8, Some(ACLK_PHP_ROOT)),
        root(PCLK_PHP_ROOT, 0),
        root(ACLK_PCIE_ROOT, 6),
        root(ACLK_PHP_ROOT, 7),
        gate(ACLK_PCIE_BRIDGE, 32, 8, Some(ACLK_PCIE_ROOT)),
    ],
    pmu: PmuLayout {
        power: 0x14c,
        memory_power: 0x1a0,
        request: 0x10c,
        acknowledge: 0x118,
        idle: 0x120,
        chain: 0x1f0,
        memory: 0x1f8,
        up: 0x290,
    },
    domains: &[
        DomainEntry {
            number: PD_PHP,
            power: (1, 5),
            memory: 29,
            up: 20,
            bus: Some(Request {
                at: (1, 5),
                answer: 21,
            }),
        },
        DomainEntry {
            number: PD_GMAC,
            power: (1, 6),
            memory: 30,
            up: 21,
            bus: None,
        },
        DomainEntry {
            number: PD_PCIE,
            power: (1, 7),
            memory: 31,
            up: 22,
            bus: None,
        },
    ],
};
