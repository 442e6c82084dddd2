//! A stock Debian guest that confines its own devices through virtio-iommu.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::disk::{self, Wish};

#[test]
fn a_disk_behind_the_guests_own_iommu() {
    let wish = Wish {
        properties: "stagegate,iommu = \"virtio\";\n",
        ..Wish::new("viommu", "viommu,nvme_domain,msi:nvme")
    };
    let outcome = ok(disk::run(wish, &dir("viommu"), LIMIT));
    assert!(outcome.good(), "{}", outcome.console());
    assert!(outcome.said(&["came back"]), "{}", outcome.console());
}
