//! Finds `/chosen/bootargs` in the device tree, and nothing else.

use crate::cpu::{read8, read32};

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

fn be32(address: u64) -> u32 {
    read32(address).swap_bytes()
}

fn text(address: u64) -> &'static str {
    let mut length = 0;
    while read8(address + length) != 0 {
        length += 1;
    }
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, length as usize) };
    core::str::from_utf8(bytes).unwrap_or("")
}

/// The command line, empty if there is none.
pub fn bootargs(dtb: u64) -> &'static str {
    if dtb == 0 || !dtb.is_multiple_of(8) || be32(dtb) != 0xd00d_feed {
        return "";
    }
    let strings = dtb + u64::from(be32(dtb + 12));
    let mut at = dtb + u64::from(be32(dtb + 8));
    let mut depth = 0;
    loop {
        let token = be32(at);
        at += 4;
        match token {
            BEGIN_NODE => {
                depth += 1;
                at += (text(at).len() as u64 + 4) & !3;
            }
            END_NODE => {
                depth -= 1;
                if depth == 0 {
                    return "";
                }
            }
            PROP => {
                let (length, name) = (u64::from(be32(at)), u64::from(be32(at + 4)));
                if text(strings + name) == "bootargs" {
                    return text(at + 8);
                }
                at += 8 + ((length + 3) & !3);
            }
            NOP => {}
            _ => return "",
        }
    }
}
