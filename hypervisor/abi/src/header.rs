//! The C header, as text: `cargo run -p stagegate-abi --features header --bin gen-header`.

use core::fmt::Write;

use crate::event::{EventFlags, EventReason};
use crate::function::FUNCTIONS;
use crate::status::CODES;
use crate::{
    AllocFlags, BATCH_MAX, BATCH_STATUS_OFFSET, BatchOp, DeviceFlags, FeatureFlags,
    LEAVES_PER_CALL, LIST_MAX, PAGE_SIZE, PowerState, Prot, REVISION_MAJOR, REVISION_MINOR,
    SmmuPower, StatsPage, UID, UNMAP_LAZY_PROT, UUID_TEXT, UnmapFlags,
};

const TOP: &str = "/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stagegate hypercall interface. Generated from the stagegate-abi crate; do not
 * edit. The calls are described in docs/abi.md.
 */
#ifndef STAGEGATE_ABI_H
#define STAGEGATE_ABI_H

#include <linux/types.h>
";

const STRUCTS: &str = "
/* One piece of MAP_SG (address is an IPA) or UNMAP_SG (address is an IOVA) */
struct stagegate_list_entry {
	__le64 address;
	__le64 size;
};

/* One operation of BATCH; an array of __le32 statuses follows at the offset */
struct stagegate_batch_entry {
	__le16 op;
	__le16 prot;
	__le32 domain;
	__le64 iova;
	__le64 ipa;
	__le64 size;
};

#endif /* STAGEGATE_ABI_H */
";

struct Header(String);

impl Header {
    fn section(&mut self, title: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\n/* {title} */\n");
    }

    fn line(&mut self, name: &str, value: &str) {
        let name = format!("STAGEGATE_{name}");
        let columns = (name.len() / 8).saturating_add(1);
        let tabs = "\t".repeat(5usize.saturating_sub(columns).max(1));
        let _ = writeln!(self.0, "#define {name}{tabs}{value}");
    }

    fn hex(&mut self, name: &str, value: u64) {
        self.line(name, &format!("{value:#x}"));
    }

    fn bits<'a>(&mut self, prefix: &str, flags: impl Iterator<Item = (&'a str, u64)>) {
        for (name, bits) in flags {
            self.hex(&format!("{prefix}_{name}"), bits);
        }
    }
}

macro_rules! flags {
    ($header:ident, $prefix:literal, $type:ty) => {
        $header.bits(
            $prefix,
            <$type>::all()
                .iter_names()
                .map(|(name, flag)| (name, u64::from(flag.bits()))),
        )
    };
}

/// The text of `tools/linux/stagegate-abi.h`.
#[must_use]
pub fn text() -> String {
    let mut header = Header(TOP.into());
    identity(&mut header);
    functions(&mut header);
    limits(&mut header);
    words(&mut header);
    header.0 + STRUCTS
}

fn identity(header: &mut Header) {
    header.section(&format!("w0..w3 of CALL_UID, {UUID_TEXT}, and REVISION"));
    for (index, word) in UID.iter().enumerate() {
        header.line(&format!("UID_{index}"), &format!("{word:#010x}U"));
    }
    header.line("REVISION_MAJOR", &REVISION_MAJOR.to_string());
    header.line("REVISION_MINOR", &REVISION_MINOR.to_string());
}

fn functions(header: &mut Header) {
    header.section("Function ids (x0)");
    for (function, name) in FUNCTIONS {
        header.line(name, &format!("{:#x}U", function.id()));
    }
    header.section("Status (x0)");
    for (_, code, name) in CODES {
        let value = if code < 0 {
            format!("({code})")
        } else {
            code.to_string()
        };
        header.line(&format!("STATUS_{name}"), &value);
    }
}

fn limits(header: &mut Header) {
    header.section("Bounds");
    header.line("PAGE_SIZE", &PAGE_SIZE.to_string());
    header.line("LEAVES_PER_CALL", &LEAVES_PER_CALL.to_string());
    header.line("LIST_MAX", &LIST_MAX.to_string());
    header.line("BATCH_MAX", &BATCH_MAX.to_string());
    header.line("BATCH_STATUS_OFFSET", &BATCH_STATUS_OFFSET.to_string());
}

fn words(header: &mut Header) {
    header.section("FEATURES: x1");
    flags!(header, "FEATURE", FeatureFlags);
    header.section("MAP, MAP_SG, BATCH: protection");
    flags!(header, "PROT", Prot);
    header.section("DOMAIN_ALLOC: flags");
    flags!(header, "ALLOC", AllocFlags);
    header.section("UNMAP, UNMAP_SG: flags; BATCH: prot of an unmap");
    flags!(header, "UNMAP", UnmapFlags);
    debug_assert_eq!(u64::from(UNMAP_LAZY_PROT), UnmapFlags::LAZY.bits());
    header.section("DEVICE_INFO: x1");
    flags!(header, "DEVICE", DeviceFlags);
    header.section("BATCH: operations");
    header.hex("BATCH_OP_MAP", BatchOp::Map as u64);
    header.hex("BATCH_OP_UNMAP", BatchOp::Unmap as u64);
    header.hex("BATCH_OP_SYNC", BatchOp::Sync as u64);
    header.section("Power states of an endpoint and of an SMMU");
    header.hex("POWER_OFF", PowerState::Off as u64);
    header.hex("POWER_ON", PowerState::On as u64);
    header.hex("SMMU_OFF", SmmuPower::Off as u64);
    header.hex("SMMU_ON", SmmuPower::On as u64);
    header.hex("SMMU_OFF_PENDING", SmmuPower::OffPending as u64);
    header.section("STATS: pages");
    header.hex("STATS_ENDPOINT", StatsPage::Endpoint as u64);
    header.hex("STATS_SMMU_TIME", StatsPage::SmmuTime as u64);
    header.hex("STATS_SMMU_SWITCHES", StatsPage::SmmuSwitches as u64);
    header.hex("STATS_SMMU_WORK", StatsPage::SmmuWork as u64);
    header.section("EVENT_GET: x1 has the reason in bits 7:0 and flags from bit 8 on");
    header.hex("EVENT_UNKNOWN", u64::from(EventReason::Unknown.code()));
    header.hex("EVENT_DOMAIN", u64::from(EventReason::Domain.code()));
    header.hex("EVENT_MAPPING", u64::from(EventReason::Mapping.code()));
    flags!(header, "EVENT_FLAG", EventFlags);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_in_the_tree_is_the_generated_one() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tools/linux/stagegate-abi.h"
        );
        let found = std::fs::read_to_string(path).expect("header is in the tree");
        assert!(
            found == super::text(),
            "regenerate: cargo run -p stagegate-abi --features header --bin gen-header"
        );
    }

    #[test]
    fn the_documentation_names_every_function_and_status() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/abi.md");
        let text = std::fs::read_to_string(path).expect("documentation is in the tree");
        for (function, name) in crate::function::FUNCTIONS {
            let title = format!("{name} {:#010x}", function.id());
            let titles = text.lines().filter(|line| line.starts_with("### "));
            assert_eq!(
                titles.filter(|line| line.contains(&title)).count(),
                1,
                "{title}"
            );
        }
        for (_, code, name) in crate::status::CODES {
            let row = match code {
                0 => format!("| 0 | {name} |"),
                _ => format!("| −{} | {name} |", code.unsigned_abs()),
            };
            assert!(text.contains(&row), "{row}");
        }
    }
}
