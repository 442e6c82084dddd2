//! What should be mapped, as plain intervals.

use pgtable::{Access, Attrs};
use std::collections::BTreeMap;

/// What is mapped: by first address, length, output address, attributes.
#[derive(Clone, Default, Debug)]
pub struct Model(pub BTreeMap<u64, (u64, u64, Attrs)>);

impl Model {
    pub fn at(&self, ipa: u64) -> Option<(u64, Attrs)> {
        let (start, (len, pa, attrs)) = self.0.range(..=ipa).next_back()?;
        (ipa - start < *len).then(|| (pa + (ipa - start), *attrs))
    }

    /// Makes `ipa` a boundary.
    pub fn cut(&mut self, ipa: u64) {
        let Some((&start, &(len, pa, attrs))) = self.0.range(..ipa).next_back() else {
            return;
        };
        if ipa - start < len {
            self.0.insert(start, (ipa - start, pa, attrs));
            self.0
                .insert(ipa, (start + len - ipa, pa + (ipa - start), attrs));
        }
    }

    pub fn remove(&mut self, ipa: u64, len: u64) {
        self.cut(ipa);
        self.cut(ipa + len);
        let gone: Vec<u64> = self
            .0
            .range(ipa..ipa + len)
            .map(|(start, _)| *start)
            .collect();
        for start in gone {
            self.0.remove(&start);
        }
    }

    pub fn protect(&mut self, ipa: u64, len: u64, access: Access) {
        self.cut(ipa);
        self.cut(ipa + len);
        for (_, (_, _, attrs)) in self.0.range_mut(ipa..ipa + len) {
            *attrs = Attrs::new(attrs.memory(), access, attrs.execute());
        }
    }

    /// The first address of the range that is, or is not, mapped.
    pub fn first(&self, ipa: u64, len: u64, mapped: bool) -> Option<u64> {
        let mut at = ipa;
        while at < ipa + len {
            let inside = self.at(at).is_some();
            if inside == mapped {
                return Some(at);
            }
            let before = self.0.range(..=at).next_back();
            at = match (inside, before) {
                (true, Some((start, (len, ..)))) => start + len,
                _ => *self.0.range(at + 1..).next()?.0,
            };
        }
        None
    }
}
