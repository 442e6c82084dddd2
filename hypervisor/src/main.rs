//! Boot binary: joins the library to the CPU. Only built for AArch64.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("stagegate-hv runs at EL2: build it with --target aarch64-unknown-none-softfloat");
    std::process::exit(2);
}

// The library holds the entry point; naming it keeps it in the link.
#[cfg(target_os = "none")]
use hypervisor as _;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hypervisor::machine::fault::panic(info);
    loop {
        core::hint::spin_loop();
    }
}
