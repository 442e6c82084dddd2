//! The image does not grow unnoticed: docs/size.md says what is in it, and what
//! to do when this fails.

use stagegate_tests::{image, paths};

const KIB: u64 = 1 << 10;
/// Code, in KiB: what there is (docs/size.md) and room for 25 more, which is
/// a feature of middling size or two. Raised only together with docs/size.md,
/// which says what for.
const TEXT: u64 = 592;
/// Read-only data, in KiB: what there is and room for 7 more.
const RODATA: u64 = 72;

#[test]
fn the_image_keeps_within_its_budget() {
    if std::env::var_os("STAGEGATE_HV").is_some() {
        println!("not measured: STAGEGATE_HV may be built in any way");
        return;
    }
    let elf = std::fs::read(paths::hypervisor().unwrap()).unwrap();
    let sizes = image::sizes(&elf).unwrap();
    within("code", sizes.text, TEXT);
    within("read-only data", sizes.rodata, RODATA);
}

#[track_caller]
fn within(what: &str, bytes: u64, budget: u64) {
    let taken = bytes.div_ceil(KIB);
    assert!(
        taken <= budget,
        "{what} takes {taken} KiB of a budget of {budget}. `make size` says what it is made \
         of: compare with docs/size.md, which names common causes under 'When the test \
         fails'. If a feature costs this, raise the budget here and write there what for. \
         (The budget is for the release profile as Cargo.toml has it: with thin LTO, \
         code takes 100 KiB more.)"
    );
}
