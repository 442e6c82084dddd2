//! One switch, several users.
use super::{SupplyError, Switch};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

/// A switch that is on while at least one user wants it on, with the switches
/// it depends on, which go on before it and off after it.
pub struct Counted {
    parents: Vec<Arc<dyn Switch>>,
    own: Arc<dyn Switch>,
    users: Mutex<usize>,
}

impl Counted {
    /// Shares `own`, which needs `parents`.
    #[must_use]
    pub fn new(own: Arc<dyn Switch>, parents: Vec<Arc<dyn Switch>>) -> Self {
        Self {
            parents,
            own,
            users: Mutex::new(0),
        }
    }

    fn switch_on(&self) -> Result<(), SupplyError> {
        for (i, parent) in self.parents.iter().enumerate() {
            if let Err(error) = parent.enable() {
                self.release(i);
                return Err(error);
            }
        }
        self.own
            .enable()
            .inspect_err(|_| self.release(self.parents.len()))
    }

    /// Gives back the first `count` parents, last first. A parent that will
    /// not go off stays on, which harms nobody.
    fn release(&self, count: usize) {
        for parent in self.parents.iter().take(count).rev() {
            let _ = parent.disable();
        }
    }
}

impl Switch for Counted {
    fn enable(&self) -> Result<(), SupplyError> {
        let mut users = self.users.lock();
        if *users == 0 {
            self.switch_on()?;
        }
        *users = users.saturating_add(1);
        Ok(())
    }

    fn disable(&self) -> Result<(), SupplyError> {
        let mut users = self.users.lock();
        let left = users.checked_sub(1).ok_or(SupplyError::Unbalanced)?;
        if left == 0 {
            self.own.disable()?;
            self.release(self.parents.len());
        }
        *users = left;
        Ok(())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        self.own.is_on()
    }

    fn is_fixed(&self) -> bool {
        self.own.is_fixed() && self.parents.iter().all(|p| p.is_fixed())
    }
}
