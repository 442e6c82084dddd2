//! Time, clocks and power domains of the model.

use super::device::{Device, Unit};
use crate::error::SupplyError;
use crate::outside::{Clock, PowerDomain, Time};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A clock on the wall that tests move; polling moves it a little, too.
#[derive(Debug, Default)]
pub struct SimTime(AtomicU64);

impl SimTime {
    /// Lets `ns` pass.
    pub fn advance(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Time for SimTime {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn relax(&self) {
        self.advance(1_000);
    }
}

/// A clock or power domain that drives a model, may fail on request, and
/// keeps a journal shared with its siblings.
pub struct Switch {
    name: &'static str,
    device: Arc<dyn Device>,
    unit: Option<Unit>,
    journal: Arc<Mutex<Vec<String>>>,
    /// Operations that still succeed; negative: all.
    budget: AtomicI64,
    prepared: AtomicBool,
    on: AtomicBool,
}

impl Switch {
    /// The clock of a unit.
    pub fn clock(
        name: &'static str,
        device: Arc<dyn Device>,
        unit: Option<Unit>,
        journal: Arc<Mutex<Vec<String>>>,
    ) -> Self {
        Self {
            name,
            device,
            unit,
            journal,
            budget: AtomicI64::new(-1),
            prepared: AtomicBool::new(false),
            on: AtomicBool::new(false),
        }
    }

    /// Lets `count` operations succeed and fails those after; `None`: all
    /// succeed.
    pub fn fail_after(&self, count: Option<i64>) {
        self.budget.store(count.unwrap_or(-1), Ordering::SeqCst);
    }

    /// The gate is open, or the domain up.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    fn act(&self, what: &str) -> Result<(), SupplyError> {
        if self.budget.load(Ordering::SeqCst) == 0 {
            return Err(SupplyError { code: -5 });
        }
        if self.budget.load(Ordering::SeqCst) > 0 {
            self.budget.fetch_sub(1, Ordering::SeqCst);
        }
        let line = format!("{} {what}", self.name);
        self.journal.lock().unwrap().push(line);
        Ok(())
    }

    fn turn(&self, on: bool) {
        let was = self.on.swap(on, Ordering::SeqCst);
        assert_ne!(was, on, "{}: switched {on} twice", self.name);
    }
}

impl Clock for Switch {
    fn prepare(&self) -> Result<(), SupplyError> {
        self.act("prepare")?;
        assert!(!self.prepared.swap(true, Ordering::SeqCst));
        Ok(())
    }
    fn enable(&self) -> Result<(), SupplyError> {
        self.act("enable")?;
        assert!(self.prepared.load(Ordering::SeqCst), "enabled unprepared");
        self.turn(true);
        if let Some(unit) = self.unit {
            self.device.clock(unit, true);
        }
        Ok(())
    }
    fn disable(&self) -> Result<(), SupplyError> {
        self.act("disable")?;
        self.turn(false);
        if let Some(unit) = self.unit {
            self.device.clock(unit, false);
        }
        Ok(())
    }
    fn unprepare(&self) {
        assert!(!self.is_on(), "unprepared while enabled");
        assert!(self.prepared.swap(false, Ordering::SeqCst));
        self.journal
            .lock()
            .unwrap()
            .push(format!("{} unprepare", self.name));
    }
}

impl PowerDomain for Switch {
    fn power_on(&self) -> Result<(), SupplyError> {
        self.act("up")?;
        self.turn(true);
        self.device.power(true);
        Ok(())
    }
    fn power_off(&self) -> Result<(), SupplyError> {
        self.act("down")?;
        self.turn(false);
        self.device.power(false);
        Ok(())
    }
}
