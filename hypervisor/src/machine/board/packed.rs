//! What was packed behind the image.

use crate::arch::ram;
use alloc::vec::Vec;
use platform::pack::{Kind, Pack, PackError};
use platform::region::Region;
use platform::symbols::Symbols;

/// The pack; damage is told, and then there is none.
pub fn open() -> Option<Pack<'static>> {
    match Pack::open(ram::packed()) {
        Ok(pack) => Some(pack),
        Err(PackError::Absent) => None,
        Err(error) => {
            log::error!("{error}: they are ignored");
            None
        }
    }
}

/// Files for VMs that were packed behind the image: name, place and contents.
pub fn files() -> Vec<(&'static str, Region, &'static [u8])> {
    let files = open().into_iter().flat_map(|pack| pack.files());
    files
        .filter(|file| file.kind == Kind::File)
        .map(|file| {
            let at = file.bytes.as_ptr().addr() as u64;
            let region = Region::new(at, file.bytes.len() as u64);
            (file.name, region, file.bytes)
        })
        .collect()
}

/// Names of the image's own functions, if they were packed with it.
pub fn symbols() -> Option<Symbols<'static>> {
    let mut files = open().into_iter().flat_map(|pack| pack.files());
    let found = files.find(|file| file.kind == Kind::Symbols);
    found.map(|file| Symbols::new(file.bytes))
}
