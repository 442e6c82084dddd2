//! Where each box stands. An SMMU, its TBUs and its masters fill a band of
//! rows that no other SMMU's have part in; suppliers and VMs stand level with
//! what they are linked to.
use super::model::{Picture, Sort};

/// Height units of a box with the space below it.
pub(super) const PITCH: usize = 2;

/// Where a box stands: its column, and height units from the top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) column: usize,
    pub(super) top: usize,
}

/// The rows of an SMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Band {
    /// Column of the SMMU, and the last one.
    pub(super) columns: (usize, usize),
    /// Height units from the top: the first of it, and the first below.
    pub(super) rows: (usize, usize),
}

/// A picture's boxes in their places.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The place of each box.
    pub(super) places: Vec<Place>,
    /// One band for each SMMU with something behind it.
    pub(super) bands: Vec<Band>,
    /// The last column.
    pub(super) columns: usize,
    /// Height units in all.
    pub(super) height: usize,
}

impl Layout {
    pub(super) fn of(picture: &Picture) -> Self {
        let column = |shape: &super::model::Shape| Place {
            column: shape.column,
            top: 0,
        };
        let mut layout = Self {
            places: picture.shapes.iter().map(column).collect(),
            columns: picture.shapes.iter().map(|s| s.column).max().unwrap_or(0),
            ..Self::default()
        };
        layout.bands(picture);
        for column in (0..=layout.columns).rev() {
            layout.level(picture, column, Sort::Supplier, |link| (link.from, link.to));
        }
        layout.level(picture, layout.columns, Sort::Vm, |link| {
            (link.to, link.from)
        });
        let bottom = |place: &Place| place.top + PITCH;
        layout.height = layout.places.iter().map(bottom).max().unwrap_or(PITCH);
        layout
    }

    fn set(&mut self, shape: usize, top: usize) {
        if let Some(place) = self.places.get_mut(shape) {
            place.top = top;
        }
    }

    fn top(&self, shape: usize) -> usize {
        self.places.get(shape).map_or(0, |p| p.top)
    }

    /// Fills the rows with masters, SMMU by SMMU and TBU by TBU.
    fn bands(&mut self, picture: &Picture) {
        let mut top = 0;
        for smmu in picture.of_sort(Sort::Smmu) {
            let first = top;
            for master in picture.owned(smmu, Sort::Master) {
                self.set(master, top);
                top += PITCH;
            }
            for tbu in picture.owned(smmu, Sort::Tbu) {
                let masters = picture.owned(tbu, Sort::Master);
                self.set(tbu, top + masters.len().saturating_sub(1) * PITCH / 2);
                for (at, &master) in masters.iter().enumerate() {
                    self.set(master, top + at * PITCH);
                }
                top += masters.len().max(1) * PITCH;
            }
            top = top.max(first + PITCH);
            self.set(smmu, (first + top - PITCH) / 2);
            self.band(picture, smmu, (first, top));
            top += 1;
        }
        for master in picture.of_sort(Sort::Master) {
            if picture.owner(master).is_none() {
                self.set(master, top);
                top += PITCH;
            }
        }
    }

    fn band(&mut self, picture: &Picture, smmu: usize, rows: (usize, usize)) {
        let behind = |sort| !picture.owned(smmu, sort).is_empty();
        if !behind(Sort::Master) && !behind(Sort::Tbu) {
            return;
        }
        let column = |sort| {
            let mut all = picture.shapes.iter().filter(|s| s.sort == sort);
            all.next().map(|s| s.column)
        };
        if let (Some(first), Some(last)) = (
            column(Sort::Smmu),
            column(Sort::Master).or(column(Sort::Tbu)),
        ) {
            let columns = (first, last);
            self.bands.push(Band { columns, rows });
        }
    }

    /// Places the boxes of one sort in a column level with those at the other
    /// end of their links, each above the next.
    fn level(
        &mut self,
        picture: &Picture,
        column: usize,
        sort: Sort,
        ends: impl Fn(&super::model::Link) -> (usize, usize),
    ) {
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        for shape in picture.of_sort(sort) {
            if self.places.get(shape).map(|p| p.column) != Some(column) {
                continue;
            }
            let far = picture.links.iter().map(&ends).filter(|e| e.0 == shape);
            let tops: Vec<usize> = far.map(|e| self.top(e.1)).collect();
            let sum: usize = tops.iter().sum();
            wanted.push((sum.checked_div(tops.len()).unwrap_or(0), shape));
        }
        wanted.sort_unstable();
        let mut free = 0;
        for (top, shape) in wanted {
            let top = free.max(top);
            self.set(shape, top);
            free = top + PITCH;
        }
    }
}
