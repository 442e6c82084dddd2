//! Every driver against a fake register file or a fake firmware.
mod banks;
mod counted;
mod fake;
mod firmware;
mod registers;
mod registry;
mod rockchip;
