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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: usize,
    /// The parents are on.
    parents: bool,
    /// Why nobody can say whether it is off, while it is to be.
    doubt: Option<SupplyError>,
}

impl Counted {
    /// Shares `own`, which needs `parents`.
    #[must_use]
    pub fn new(own: Arc<dyn Switch>, parents: Vec<Arc<dyn Switch>>) -> Self {
        Self {
            parents,
            own,
            state: Mutex::default(),
        }
    }

    fn switch_on(&self, state: &mut State) -> Result<(), SupplyError> {
        if !state.parents {
            self.hold_parents()?;
            state.parents = true;
        }
        let started = self.own.enable();
        if started.is_ok() {
            state.doubt = None;
        } else {
            self.release(self.parents.len());
            state.parents = false;
        }
        started
    }

    /// What does not stop when told may stop later, behind the back of those
    /// who rely on it. So it is started again, which makes sure that it runs
    /// as its users are then told. If that fails as well, nobody can say what
    /// it does, and it counts as off: whoever wants it has to start it.
    fn switch_off(&self, state: &mut State) -> Result<(), SupplyError> {
        let Err(error) = self.own.disable() else {
            self.release(self.parents.len());
            state.parents = false;
            return Ok(());
        };
        if self.own.enable().is_ok() {
            return Err(error);
        }
        state.doubt = Some(error);
        Ok(())
    }

    fn hold_parents(&self) -> Result<(), SupplyError> {
        for (i, parent) in self.parents.iter().enumerate() {
            if let Err(error) = parent.enable() {
                self.release(i);
                return Err(error);
            }
        }
        Ok(())
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
        let mut state = self.state.lock();
        if state.users == 0 {
            self.switch_on(&mut state)?;
        }
        state.users = state.users.saturating_add(1);
        Ok(())
    }

    fn disable(&self) -> Result<(), SupplyError> {
        let mut state = self.state.lock();
        let left = state.users.checked_sub(1).ok_or(SupplyError::Unbalanced)?;
        if left == 0 {
            self.switch_off(&mut state)?;
        }
        state.users = left;
        Ok(())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        self.own.is_on()
    }

    fn is_fixed(&self) -> bool {
        self.own.is_fixed() && self.parents.iter().all(|p| p.is_fixed())
    }

    fn doubt(&self) -> Option<SupplyError> {
        self.state.lock().doubt
    }
}
