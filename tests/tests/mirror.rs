//! A stock Debian guest whose disk stands behind an SMMU that does not walk the
//! CPUs' tables: a mirror with other pages serves it.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::devicetree::Template;
use stagegate_tests::disk::{self, Wish};

const NAME: &str = "mirrored";
const GRANULE: &str = "/dts-v1/; /plugin/;\n&smmu { stagegate,table-granule = <65536>; };\n";

/// The disk is written and read back through 64 KiB pages, before and after its
/// driver let go of it. What is smaller than a page is named and left out: the
/// disk's own registers, 16 KiB, and with them the message doorbell, so that
/// the disk has its wire.
#[test]
fn a_disk_behind_tables_with_other_pages() {
    let wish = Wish {
        overlays: vec![Template::text("granule", GRANULE)],
        ..Wish::new(NAME, "nvme_copy,nvme_release,nvme_take,nvme_copy,intx:nvme")
    };
    let outcome = ok(disk::run(wish, &dir(NAME), LIMIT));
    assert!(outcome.good(), "{}", outcome.console());
    let mirror = [NAME, "a mirror of 64 KiB pages"];
    assert!(outcome.said(&mirror), "{}", outcome.console());
    let left_out = [NAME, "0x4000 bytes", "left out of the mirror"];
    assert!(outcome.said(&left_out), "{}", outcome.console());
}
