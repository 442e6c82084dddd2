//! Links the guest as a position-independent arm64 Image.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rerun-if-changed=guest.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let script = format!("-T{root}/guest.ld");
        for arg in [
            &script,
            "-pie",
            "--no-dynamic-linker",
            "-znorelro",
            "--gc-sections",
        ] {
            println!("cargo:rustc-link-arg-bins={arg}");
        }
    }
}
