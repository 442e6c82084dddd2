//! What goes on when the waiting is over for those who need the rest: some
//! devices may still come, and are asked now and then, one at a time.
use super::{Graph, Index, Need, Probed, State, Suppliers, cycle};
use alloc::vec::Vec;

impl Graph {
    /// Whether something may still come.
    #[must_use]
    pub fn waits(&self) -> bool {
        let mut devices = self.devices.iter();
        devices.any(|device| !device.state.is_final())
    }

    /// Others go on without those that are not ready. Rings are named. What may
    /// run without a supplier does so from now on; that supplier has then failed
    /// for all, since its consumer would notice if it came. So has whatever
    /// `may_come` says no to. The rest may still come.
    pub fn settle(&mut self, may_come: &dyn Fn(Index) -> bool) {
        self.name_rings();
        for index in 0..self.devices.len() {
            if !may_come(index) {
                self.give_up(index);
            }
        }
        let waiting = self.devices.iter().filter(|d| !d.state.is_final());
        let links = waiting.flat_map(|device| &device.links);
        let done_without = links.filter(|link| link.need == Need::OrBypass);
        let done_without: Vec<Index> = done_without.map(|link| link.supplier).collect();
        for supplier in done_without {
            self.give_up(supplier);
        }
        self.follow();
    }

    /// Asks one device whose suppliers are ready, the next in turn, and draws
    /// the conclusions for the others without asking them. Which it was; `None`
    /// if there is nobody to ask.
    pub fn ask_one(&mut self, probe: &mut dyn FnMut(Index) -> Probed) -> Option<Index> {
        let count = self.devices.len();
        let turn = self.turn.min(count);
        let mut order = (turn..count).chain(0..turn);
        let index = order.find(|&index| self.is_askable(index))?;
        self.turn = index.saturating_add(1);
        let mut asked = alloc::vec![false; count];
        if self.step(index, &mut asked, probe) {
            self.order.push(index);
        }
        self.follow();
        self.name_rings();
        self.follow();
        Some(index)
    }

    fn is_askable(&self, index: Index) -> bool {
        self.devices.get(index).is_some_and(|device| {
            !device.state.is_final() && matches!(self.suppliers(device), Suppliers::Ready)
        })
    }

    fn give_up(&mut self, index: Index) {
        if let Some(device) = self.devices.get_mut(index)
            && !device.state.is_final()
        {
            device.state = State::Failed("it did not come in time");
        }
    }

    /// What follows from the states as they are, asking nobody.
    fn follow(&mut self) {
        let asked = alloc::vec![true; self.devices.len()];
        self.run_but(asked, &mut |_| Probed::NotYet("not probed yet"));
    }

    /// Those that wait for each other never come.
    pub(super) fn name_rings(&mut self) {
        for ring in cycle::cycles(&self.devices) {
            for &member in &ring {
                if let Some(device) = self.devices.get_mut(member) {
                    device.state = State::Cycle(ring.clone());
                }
            }
        }
    }
}
