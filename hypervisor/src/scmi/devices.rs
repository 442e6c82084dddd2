//! The usual backend: each of a VM's devices has one power domain and one
//! clock of the same number.
//!
//! A device counts as active while either is on. Linux turns the domain on
//! before the clock and the clock off before the domain, so for a device that
//! has both the domain decides; one whose node names only the clock is still
//! told right.

use super::backend::{Power, ScmiBackend};
use super::wire::Status;
use alloc::string::String;
use alloc::vec::Vec;

/// Powers masters and lets them go.
pub trait Switch {
    /// The device is about to become active. Returns after the SMMU in front
    /// of each of its masters is on and their stream entries are in force (P2).
    ///
    /// # Errors
    /// The status that the guest gets; the device is then still idle.
    fn wake(&mut self, device: u16) -> Result<(), Status>;
    /// The device has become idle.
    fn sleep(&mut self, device: u16);
}

#[derive(Clone, Debug)]
struct Device {
    name: String,
    domain: Power,
    clock: Power,
}

impl Device {
    fn active(&self) -> bool {
        self.domain == Power::On || self.clock == Power::On
    }
}

/// The devices of one VM as the guest last set them.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    list: Vec<Device>,
    /// Rate that every clock reports, hertz.
    rate: u64,
}

impl Devices {
    /// Devices by name, all off: Linux then sends nothing for a device until a
    /// driver binds, while it would turn off whatever it found on and unused.
    /// Names beyond 65535 are dropped.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, rate: u64) -> Self {
        let device = |name: &str| Device {
            name: name.into(),
            domain: Power::Off,
            clock: Power::Off,
        };
        Self {
            list: names.into_iter().take(0xffff).map(device).collect(),
            rate,
        }
    }

    /// Back to all off, for a VM that stopped. Tells no [`Switch`]: a stopped
    /// VM's masters are idle by that alone (P11).
    pub fn reset(&mut self) {
        for device in &mut self.list {
            device.domain = Power::Off;
            device.clock = Power::Off;
        }
    }

    /// Joins the devices with what powers them, for one message.
    pub fn with<'a, S: Switch>(&'a mut self, switch: &'a mut S) -> Backend<'a, S> {
        Backend {
            devices: self,
            switch,
        }
    }

    fn get(&self, device: u16) -> Option<&Device> {
        self.list.get(usize::from(device))
    }

    fn count(&self) -> u16 {
        // `new` took no more than that.
        self.list.len() as u16
    }
}

/// [`Devices`] with a [`Switch`]: an [`ScmiBackend`].
#[derive(Debug)]
pub struct Backend<'a, S> {
    devices: &'a mut Devices,
    switch: &'a mut S,
}

impl<S: Switch> Backend<'_, S> {
    /// Sets one of a device's two states and passes a change of activity on:
    /// before the state changes on the way up, after it on the way down.
    fn set(
        &mut self,
        id: u16,
        power: Power,
        state: fn(&mut Device) -> &mut Power,
    ) -> Result<(), Status> {
        let device = self
            .devices
            .list
            .get_mut(usize::from(id))
            .ok_or(Status::NotFound)?;
        let before = device.active();
        if power == Power::On && !before {
            self.switch.wake(id)?;
        }
        *state(device) = power;
        if before && !device.active() {
            self.switch.sleep(id);
        }
        Ok(())
    }
}

impl<S: Switch> ScmiBackend for Backend<'_, S> {
    fn domains(&self) -> u16 {
        self.devices.count()
    }
    fn domain_name(&self, domain: u16) -> &str {
        self.devices.get(domain).map_or("", |device| &device.name)
    }
    fn power(&self, domain: u16) -> Power {
        self.devices
            .get(domain)
            .map_or(Power::Off, |device| device.domain)
    }
    fn set_power(&mut self, domain: u16, power: Power) -> Result<(), Status> {
        self.set(domain, power, |device| &mut device.domain)
    }
    fn clocks(&self) -> u16 {
        self.devices.count()
    }
    fn clock_name(&self, clock: u16) -> &str {
        self.domain_name(clock)
    }
    fn clock_rate(&self, _clock: u16) -> u64 {
        self.devices.rate
    }
    fn clock(&self, clock: u16) -> Power {
        self.devices
            .get(clock)
            .map_or(Power::Off, |device| device.clock)
    }
    fn set_clock(&mut self, clock: u16, power: Power) -> Result<(), Status> {
        self.set(clock, power, |device| &mut device.clock)
    }
}
