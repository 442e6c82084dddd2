//! The controllers on boards whose SMMUs might have a clock behind one of
//! their lines. Offsets are those of Linux 6.12, whose driver is named with
//! each; the controllers' own clocks are left as firmware set them.
use super::{Access, Field, Layout, Order, Place, Version};
use Access::{Halves, SetClear, Whole};

const fn at(at: u16, stride: u16) -> Place {
    Place { at, stride }
}

const fn field(read: Access, write: Access) -> Field {
    Field { read, write }
}

/// A register that is read and written as it is.
const fn plain(at: u16, stride: u16) -> Field {
    let access = Whole(Place { at, stride });
    field(access, access)
}

/// 16 lines in a word, ones in the upper half choose what is written.
const fn masked(at: u16) -> Field {
    let access = Halves(Place { at, stride: 0 }, true);
    field(access, access)
}

/// All layouts. Where one controller comes in several, the first that fits.
pub static ALL: &[Layout] = &[
    ZYNQMP, IMX35, IMX8ULP, QORIQ, ARMADA_8K, KEYSTONE, ROCKCHIP, ROCKCHIP_1,
];

const ONE_GROUP: Layout = Layout {
    compatible: "",
    version: None,
    groups: &[32],
    order: Order::Ascending,
    in_parent: false,
    level: plain(0, 0),
    outputs: &[],
    output: true,
};

/// gpio-zynq.c: DATA, MASK_DATA_LSW and MSW (a zero in the upper half writes),
/// DIRM, OEN.
const ZYNQMP: Layout = Layout {
    compatible: "xlnx,zynqmp-gpio-1.0",
    groups: &[26, 26, 26, 32, 32, 32],
    level: field(Whole(at(0x40, 4)), Halves(at(0, 8), false)),
    outputs: &[plain(0x204, 0x40), plain(0x208, 0x40)],
    ..ONE_GROUP
};

/// gpio-mxc.c: DR, GDIR.
const IMX35: Layout = Layout {
    compatible: "fsl,imx35-gpio",
    level: plain(0, 0),
    outputs: &[plain(4, 0)],
    ..ONE_GROUP
};

/// gpio-vf610.c, as of i.MX8ULP: PDOR, PSOR, PCOR, PDDR.
const IMX8ULP: Layout = Layout {
    compatible: "fsl,imx8ulp-gpio",
    level: field(Whole(at(0x40, 0)), SetClear(at(0x44, 0), at(0x48, 0))),
    outputs: &[plain(0x54, 0)],
    ..ONE_GROUP
};

/// gpio-mpc8xxx.c: GPDAT, GPDIR.
const QORIQ: Layout = Layout {
    compatible: "fsl,qoriq-gpio",
    order: Order::Descending,
    level: plain(8, 0),
    outputs: &[plain(0, 0)],
    ..ONE_GROUP
};

/// gpio-mvebu.c: OUT; IO_CONF, where a one is an input, and BLINK_EN.
const ARMADA_8K: Layout = Layout {
    compatible: "marvell,armada-8k-gpio",
    in_parent: true,
    level: plain(0, 0),
    outputs: &[plain(8, 0), plain(4, 0)],
    output: false,
    ..ONE_GROUP
};

/// gpio-davinci.c: OUT_DATA, SET_DATA, CLR_DATA; DIR, where a one is an input.
const KEYSTONE: Layout = Layout {
    compatible: "ti,keystone-gpio",
    groups: &[32, 32, 32, 32, 32],
    level: field(
        Whole(at(0x14, 0x28)),
        SetClear(at(0x18, 0x28), at(0x1c, 0x28)),
    ),
    outputs: &[plain(0x10, 0x28)],
    output: false,
    ..ONE_GROUP
};

/// gpio-rockchip.c, version 2 (RK3568, RK3588): DR and DDR in two halves.
const ROCKCHIP: Layout = Layout {
    compatible: "rockchip,gpio-bank",
    version: Some(Version {
        at: 0x78,
        values: &[0x0100_0c2b, 0x0101_157c, 0x0102_19c8],
    }),
    level: masked(0),
    outputs: &[masked(8)],
    ..ONE_GROUP
};

/// gpio-rockchip.c, version 1 (RK3399): DR, DDR.
const ROCKCHIP_1: Layout = Layout {
    compatible: "rockchip,gpio-bank",
    level: plain(0, 0),
    outputs: &[plain(4, 0)],
    ..ONE_GROUP
};
