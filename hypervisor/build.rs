//! Tells the linker where Stagegate's sections go.

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = format!("{root}/../linker/stagegate.ld");
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        for arg in [
            &format!("-T{script}"),
            "-pie",
            "--no-dynamic-linker",
            "-znorelro",
            "--gc-sections",
            "--icf=all",
            "-zmax-page-size=4096",
        ] {
            println!("cargo:rustc-link-arg-bins={arg}");
        }
    }
}
