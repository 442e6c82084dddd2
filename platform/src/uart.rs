//! Which console driver a serial port needs.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
use crate::fdt::Node;

/// Programming interface of a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UartKind {
    /// Arm PL011, and the SBSA subset of it.
    Pl011,
    /// Cadence UART of Zynq and ZynqMP.
    Cadence,
    /// 8250/16550 family, DesignWare included.
    Ns16550,
    /// Qualcomm GENI serial engine.
    Geni,
    /// Qualcomm UARTDM (before GENI).
    MsmDm,
    /// Amlogic Meson.
    Meson,
    /// NXP i.MX UART.
    Imx,
    /// NXP LPUART.
    Lpuart,
    /// Samsung S3C family.
    Samsung,
    /// Renesas SCIF.
    Scif,
    /// Marvell Armada 3700.
    Mvebu,
}

/// Compatible strings and the driver each needs.
const COMPATIBLES: &[(&str, UartKind)] = &[
    ("arm,pl011", UartKind::Pl011),
    ("arm,sbsa-uart", UartKind::Pl011),
    ("xlnx,xuartps", UartKind::Cadence),
    ("cdns,uart-r1p8", UartKind::Cadence),
    ("cdns,uart-r1p12", UartKind::Cadence),
    ("ns16550a", UartKind::Ns16550),
    ("ns16550", UartKind::Ns16550),
    ("snps,dw-apb-uart", UartKind::Ns16550),
    ("ti,am654-uart", UartKind::Ns16550),
    ("nvidia,tegra20-uart", UartKind::Ns16550),
    ("mediatek,mt6577-uart", UartKind::Ns16550),
    ("brcm,bcm2835-aux-uart", UartKind::Ns16550),
    ("qcom,geni-debug-uart", UartKind::Geni),
    ("qcom,geni-uart", UartKind::Geni),
    ("qcom,msm-uartdm", UartKind::MsmDm),
    ("amlogic,meson-uart", UartKind::Meson),
    ("amlogic,meson-gx-uart", UartKind::Meson),
    ("fsl,imx6q-uart", UartKind::Imx),
    ("fsl,imx7ulp-lpuart", UartKind::Lpuart),
    ("fsl,ls1021a-lpuart", UartKind::Lpuart),
    ("fsl,imx8qxp-lpuart", UartKind::Lpuart),
    ("samsung,exynos4210-uart", UartKind::Samsung),
    ("samsung,exynos5433-uart", UartKind::Samsung),
    ("samsung,exynos850-uart", UartKind::Samsung),
    ("apple,s5l-uart", UartKind::Samsung),
    ("renesas,scif", UartKind::Scif),
    ("marvell,armada-3700-uart", UartKind::Mvebu),
];

impl UartKind {
    /// The driver `node` needs; the first (most specific) of its compatible
    /// strings that is known decides.
    #[must_use]
    pub fn of(node: &Node<'_>) -> Option<Self> {
        let compatible = node.property("compatible")?;
        compatible
            .strings()
            .find_map(|s| COMPATIBLES.iter().find(|(name, _)| *name == s))
            .map(|&(_, kind)| kind)
    }
}
