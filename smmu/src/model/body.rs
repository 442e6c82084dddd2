//! What every model keeps and does, whatever its architecture.

use super::Dice;
use super::device::{Device, Dma, Nature, Unit, Violation};
use super::tables::TableMemory;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The part of a model's state that every architecture has.
pub(super) struct Common {
    pub nature: Nature,
    pub dice: Dice,
    pub tables: Vec<Arc<dyn TableMemory>>,
    pub powered: bool,
    pub clocked: bool,
    /// Reads return zero: power did not really come up.
    pub dead: bool,
    pub tbu_clocked: Vec<bool>,
    /// Masters that issue transactions all the time.
    pub restless: Vec<(u32, u64)>,
    pub place: BTreeMap<u32, usize>,
    pub syncs: bool,
    pub forbidden: BTreeSet<u64>,
    pub bypass_allowed: BTreeSet<u32>,
    pub violations: Vec<Violation>,
    pub accesses: u64,
}

impl Common {
    /// Unpowered and unclocked, as after cold reset.
    pub fn new(nature: Nature) -> Self {
        Self {
            nature,
            dice: Dice::new(nature.seed),
            tables: Vec::new(),
            powered: false,
            clocked: false,
            dead: false,
            tbu_clocked: vec![true; nature.tbus],
            restless: Vec::new(),
            place: BTreeMap::new(),
            syncs: true,
            forbidden: BTreeSet::new(),
            bypass_allowed: BTreeSet::new(),
            violations: Vec::new(),
            accesses: 0,
        }
    }

    pub fn reachable(&self) -> bool {
        self.powered && self.clocked
    }

    pub fn violate(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    /// A transaction lands.
    pub fn reach(&mut self, pa: u64) {
        if self.forbidden.contains(&(pa & !0xfff)) {
            self.violate(Violation::Reached(pa));
        }
    }

    pub fn tbu_of(&self, stream: u32) -> usize {
        self.place.get(&stream).copied().unwrap_or(0)
    }
}

/// What an architecture does in its own way.
pub(super) trait Body: Send {
    fn common(&mut self) -> &mut Common;
    /// Where a transaction goes.
    fn issue(&mut self, stream: u32, address: u64, write: bool) -> Dma;
    /// A transaction that lands later.
    fn launch(&mut self, stream: u32, address: u64);
    /// Lands all of them.
    fn land_all(&mut self);
    /// The clock is about to stop.
    fn stop_smmu(&mut self);
    /// So is a TBU's.
    fn stop_tbu(&mut self, tbu: usize);
    /// Power has gone.
    fn lose(&mut self);
}

/// Something that holds a body for all who look.
pub(super) trait Shared: Send + Sync {
    type Body: Body;
    fn body(&self) -> &Mutex<Self::Body>;
}

/// Makes `$model`, which has `inner: Arc<Mutex<$inner>>`, a holder of that body,
/// and lets the body use what is common as its own.
macro_rules! shared {
    ($model:ty, $inner:ty) => {
        impl std::ops::Deref for $inner {
            type Target = $crate::model::body::Common;
            fn deref(&self) -> &Self::Target {
                &self.common
            }
        }

        impl std::ops::DerefMut for $inner {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.common
            }
        }

        impl $crate::model::body::Shared for $model {
            type Body = $inner;
            fn body(&self) -> &Mutex<$inner> {
                &self.inner
            }
        }
    };
}
pub(super) use shared;

impl<S: Shared> Device for S {
    fn dma(&self, stream: u32, address: u64, write: bool) -> Dma {
        let mut body = self.body().lock().unwrap();
        let end = body.issue(stream, address, write);
        if let Dma::Reached(pa) = end {
            body.common().reach(pa);
        }
        end
    }

    fn launch(&self, stream: u32, address: u64) {
        self.body().lock().unwrap().launch(stream, address);
    }

    fn land(&self) {
        self.body().lock().unwrap().land_all();
    }

    fn set_restless(&self, stream: u32, address: u64) {
        let mut body = self.body().lock().unwrap();
        body.common().restless.push((stream, address));
    }

    fn forbid(&self, pa: u64) {
        let mut body = self.body().lock().unwrap();
        body.common().forbidden.insert(pa & !0xfff);
    }

    fn permit(&self, pa: u64) {
        let mut body = self.body().lock().unwrap();
        body.common().forbidden.remove(&(pa & !0xfff));
    }

    fn add_tables(&self, tables: Arc<dyn TableMemory>) {
        self.body().lock().unwrap().common().tables.push(tables);
    }

    fn place(&self, stream: u32, tbu: usize) {
        let mut body = self.body().lock().unwrap();
        body.common().place.insert(stream, tbu);
    }

    fn clock(&self, unit: Unit, on: bool) {
        let mut body = self.body().lock().unwrap();
        match unit {
            Unit::Smmu => {
                if !on {
                    body.stop_smmu();
                }
                body.common().clocked = on;
            }
            Unit::Tbu(tbu) => {
                if !on {
                    body.stop_tbu(tbu);
                }
                body.common().tbu_clocked[tbu] = on;
            }
        }
    }

    fn power(&self, on: bool) {
        let mut body = self.body().lock().unwrap();
        if body.common().powered && !on {
            if body.common().clocked {
                body.stop_smmu();
            }
            body.lose();
        }
        body.common().powered = on;
    }

    fn set_dead(&self, dead: bool) {
        self.body().lock().unwrap().common().dead = dead;
    }

    fn let_pass(&self, stream: u32, pass: bool) {
        let mut body = self.body().lock().unwrap();
        let allowed = &mut body.common().bypass_allowed;
        match pass {
            true => allowed.insert(stream),
            false => allowed.remove(&stream),
        };
    }

    fn set_syncs(&self, complete: bool) {
        self.body().lock().unwrap().common().syncs = complete;
    }

    fn violations(&self) -> Vec<Violation> {
        self.body().lock().unwrap().common().violations.clone()
    }

    fn accesses(&self) -> u64 {
        self.body().lock().unwrap().common().accesses
    }
}
