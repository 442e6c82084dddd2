//! This crate, without contiguous hints, which its peers do not have.

use super::{Engine, PAGE, each};
use pgtable::{Attrs, Config, Granule, Heap, Ipa, Pa, Table};
use std::convert::Infallible;

pub struct Ours(pub Table<Heap>);

impl Ours {
    pub fn new() -> Self {
        let config = Config::new(Granule::K4, 40, 48)
            .unwrap()
            .with_contiguous(false);
        Self(Table::new(config, Heap).unwrap())
    }
}

impl Engine for Ours {
    fn map(&mut self, ipa: u64, len: u64) {
        self.0.map(Ipa(ipa), Pa(ipa), len, Attrs::RAM).unwrap();
    }

    fn map_pages(&mut self, ipas: impl Iterator<Item = u64>) {
        let mut batch = self.0.batch(Attrs::RAM);
        for ipa in ipas {
            batch.map(Ipa(ipa), Pa(ipa), PAGE).unwrap();
        }
    }

    fn unmap(&mut self, ipa: u64, len: u64) {
        let gone = self.0.unmap(Ipa(ipa), len).unwrap();
        self.0.release(gone, |_| Ok::<(), Infallible>(())).unwrap();
    }

    type Attrs = Attrs;

    #[inline(always)]
    fn translate(&self, ipa: u64) -> Option<(u64, Attrs, u64)> {
        let (pa, attrs, size) = self.0.translate(Ipa(ipa))?;
        Some((pa.0, attrs, size))
    }

    fn translate_several(&self, ipas: &[u64]) {
        let reader = self.0.reader();
        each(ipas, |ipa| {
            let (pa, attrs, size) = reader.translate(Ipa(ipa))?;
            Some((pa.0, attrs, size))
        });
    }
}
