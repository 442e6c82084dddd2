//! Every driver against a fake register file or a fake firmware.
mod banks;
mod counted;
mod eemi;
mod fake;
mod pl061;
mod qcom;
mod registry;
mod rockchip;
mod scmi;
