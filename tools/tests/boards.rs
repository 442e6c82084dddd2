//! The overlays in `docs/boards/` fit the trees of Debian's arm64 kernel package.
//!
//! `STAGEGATE_DTBS` names a directory with the trees; without it the test only
//! says that it did nothing.
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Below `directory`, the tree of this name.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.file_name().is_some_and(|n| n == name).then_some(path),
    })
}

/// Tree, overlays in order, and what the plan must say.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const CASES: [Case; 4] = [
    (
        "amd-overdrive-rev-b1.dtb",
        &["amd-overdrive-rev-b1.dtso"],
        &[
            "/smb/iommu@e0200000 SMMUv1 (Mmu401), coherent, 2 interrupts",
            "stream 0x0/0x1f at /smb/iommu@e0200000",
            "serves xgmac@e0700000 of network",
            "serves xgmac@e0900000 of network",
            "fine: 0 errors, 1 warnings",
        ],
    ),
    (
        "zynqmp-zcu102-rev1.0.dtb",
        &["xlnx-zcu102-names.dtso", "xlnx-zcu102.dtso"],
        &[
            "/axi/iommu@fd800000 SMMUv2 (Mmu500)",
            "serves mmc@ff170000 of storage",
            "serves ethernet@ff0e0000 of network",
            "stream 0x871 at /axi/iommu@fd800000",
            "stream 0x877 at /axi/iommu@fd800000",
            "warning[device-needs]: /axi/ethernet@ff0e0000 phy-handle: left out of its VM's tree, \
             which has no /axi/ethernet@ff0e0000/mdio/ethernet-phy@c; write fixed-link = \
             <0 1 1000 0 0>",
            "warning[device-needs]: /axi/mmc@ff170000 resets",
            "note[device-clocks]: /axi/mmc@ff170000 clocks",
            "fine: 0 errors, 7 warnings",
        ],
    ),
    (
        "sdm845-db845c.dtb",
        &["qcom-sdm845.dtso"],
        &[
            "/soc@0/iommu@15000000 SMMUv2 (QcomMmu500)",
            "TBU /soc@0/tbu@150c5000 streams 0x0-0x3ff",
            "serves mmc@8804000 of card",
            "serves ufshc@1d84000 of storage",
            "serves usb@a600000 of storage",
            "no masters: all streams terminate",
            "warning[device-needs]: /soc@0/mmc@8804000 vmmc-supply: left out of its VM's tree, \
             which has no /soc@0/rsc@179c0000/regulators-0/ldo21",
            "warning[device-needs]: /soc@0/usb@a6f8800/usb@a600000 phys",
            "fine: 0 errors, 13 warnings",
        ],
    ),
    (
        "fsl-ls1088a-rdb.dtb",
        &["fsl-ls1088a-names.dtso", "fsl-ls1088a.dtso"],
        &[
            "console /soc/serial@21c0500",
            "/soc/iommu@5000000 SMMUv2 (Mmu500), coherent, 76 interrupts",
            "stream 0x3/0x7c00 at /soc/iommu@5000000",
            "serves mmc@2140000 of card",
            "serves usb@3100000 of storage",
            "fine: 0 errors, 1 warnings",
        ],
    ),
];

#[test]
fn each_boards_overlay_is_fine() {
    let Some(directory) = common::board_trees() else {
        return;
    };
    let overlays = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/boards");
    for (tree, files, words) in CASES {
        let tree = find(&directory, tree).unwrap_or_else(|| panic!("no {tree}"));
        let output = Command::new(env!("CARGO_BIN_EXE_stagegate"))
            .arg("check")
            .arg(&tree)
            .args(files.iter().map(|file| overlays.join(file)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {text}", tree.display());
        for word in words {
            assert!(text.contains(word), "{}: {word}: {text}", tree.display());
        }
    }
}
