//! From the first line of Rust to running guests.

use crate::arch::{self, percpu::PerCpu, ram};
use crate::machine::console;

/// The boot CPU, with caches on and a rough memory map.
pub extern "C" fn primary(dtb: u64, _image: u64, _stack: u64) {
    arch::percpu::clear();
    arch::vectors::install();
    arch::heap::init_early();
    let Some(blob) = ram::device_tree(dtb) else { return };
    let Ok(early) = platform::early::scan(blob) else { return };
    let Some(uart) = early.console else { return };
    if console::open(&uart).is_err() {
        return;
    }
    console::init_log();
    log::info!("Stagegate {} at EL2", env!("CARGO_PKG_VERSION"));
    let memory = early.memory.iter().filter_map(|r| r.end().map(|end| (r.base, end)));
    if let Err(error) = arch::mmu::activate(memory, (dtb, dtb + blob.len() as u64)) {
        log::error!("cannot map memory: {error}");
        return;
    }
    let _ = console::open(&uart);
    log::info!("memory {:?}", early.memory);
}

/// Every other CPU.
pub extern "C" fn secondary(record: &'static PerCpu) {
    arch::vectors::install();
    arch::percpu::set(record);
}
