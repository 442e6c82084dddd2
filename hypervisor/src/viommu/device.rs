//! The device: registers, notifications, events.

use super::queue::{Broken, Buffer};
use super::registers::{Action, EVENTS, REQUESTS, Registers, read_config};
use super::requests::InFlight;
use super::spec::{
    CONFIG_BYPASS, Config, Fault, INTERRUPT_CONFIG, INTERRUPT_USED, PROBE_SIZE, feature, register,
    status,
};
use crate::dma::{Freed, GuestMemory, Outside, VmDma};
use core::sync::atomic::{AtomicBool, Ordering, fence};
use stagegate_abi::{Event, EventFlags};
use zerocopy::IntoBytes;

/// What becomes of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It is done.
    Done,
    /// There is more to do, or another CPU is at work on the device: leave the guest's program counter
    /// at the store, so that it is executed again (after whatever interrupts are pending).
    Again,
}

/// The device's changing state.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) registers: Registers,
    /// A request that the bound on work interrupted.
    pub(super) in_flight: Option<InFlight>,
}

/// A virtio-iommu in front of the endpoints of one VM. Accesses may come from all of its vCPUs, faults
/// from any CPU. None waits for another: a notification may take long.
///
/// The device's interrupt line goes where `line` puts it, which is called with its level while nobody
/// else can change that.
///
/// Lock order: the device's state comes before everything in [`VmDma`].
pub struct Viommu<'a, O: Outside, G: GuestMemory> {
    pub(super) dma: &'a VmDma<O>,
    pub(super) memory: &'a G,
    pub(super) state: spin::Mutex<State>,
    /// Somebody had faults for the driver, and may have found the state locked.
    waiting: AtomicBool,
}

impl<'a, O: Outside, G: GuestMemory> Viommu<'a, O, G> {
    /// A device after reset.
    pub fn new(dma: &'a VmDma<O>, memory: &'a G) -> Self {
        Self {
            dma,
            memory,
            state: spin::Mutex::new(State::default()),
            waiting: AtomicBool::new(false),
        }
    }

    /// A load of `size` bytes (1, 2, 4 or 8) at `offset` of the device's page. `None` while another CPU
    /// is at work on the device.
    pub fn read(&self, offset: u64, size: u8, line: impl FnMut(bool)) -> Option<u64> {
        if let Some(offset) = offset.checked_sub(register::CONFIG) {
            return Some(read_config(&self.config(), offset, size));
        }
        // Registers are 32 bits wide and accessed as such (4.2.2.2).
        if size != 4 || offset & 3 != 0 {
            return Some(0);
        }
        let value = self.state.try_lock()?.registers.read(offset);
        self.deliver_waiting(line);
        Some(u64::from(value))
    }

    /// A store of `size` bytes (1, 2, 4 or 8) at `offset` of the device's page.
    pub fn write(&self, offset: u64, size: u8, value: u64, mut line: impl FnMut(bool)) -> Written {
        let Some(mut state) = self.state.try_lock() else {
            return Written::Again;
        };
        let mut again = false;
        if let Some(offset) = offset.checked_sub(register::CONFIG) {
            self.write_config(&state, offset, size, value);
        } else if size == 4 && offset & 3 == 0 {
            again = self.write_register(&mut state, offset, value as u32);
        }
        line(state.registers.interrupt_status != 0);
        drop(state);
        self.deliver_waiting(line);
        match again {
            true => Written::Again,
            false => Written::Done,
        }
    }

    /// Hands waiting faults to the driver, as far as it has given buffers for them, or leaves that to the
    /// CPU that is at work on the device. To be called after a fault was put into [`VmDma::events`].
    pub fn deliver(&self, line: impl FnMut(bool)) {
        self.waiting.store(true, Ordering::Relaxed);
        self.deliver_waiting(line);
    }

    /// Whoever finds the state locked may go: who has locked it comes here afterwards. The barriers see
    /// to it that one of the two finds the other's word.
    fn deliver_waiting(&self, mut line: impl FnMut(bool)) {
        fence(Ordering::SeqCst);
        while self.waiting.load(Ordering::Relaxed)
            && let Some(mut state) = self.state.try_lock()
        {
            self.waiting.store(false, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            self.send_events(&mut state);
            line(state.registers.interrupt_status != 0);
            drop(state);
            fence(Ordering::SeqCst);
        }
    }

    /// The VM restarts: as after power-on. Domains are [`VmDma::stop`]'s concern.
    pub fn reset(&self) {
        *self.state.lock() = State::default();
    }

    fn config(&self) -> Config {
        let tables = self.dma.config();
        Config {
            page_size_mask: !tables.page_size().wrapping_sub(1),
            input_start: 0,
            input_end: 1u64.wrapping_shl(tables.ipa_bits()).wrapping_sub(1),
            domain_start: 0,
            domain_end: self.dma.domains().saturating_sub(1),
            probe_size: PROBE_SIZE as u32,
            bypass: u8::from(self.dma.bypass()),
            reserved: [0; 3],
        }
    }

    fn write_config(&self, state: &State, offset: u64, size: u8, value: u64) {
        let negotiated = state.registers.driver_features & feature::BYPASS_CONFIG != 0;
        if offset == CONFIG_BYPASS && size == 1 && negotiated {
            match value {
                0 => self.dma.set_bypass(false),
                1 => self.dma.set_bypass(true),
                // Other values are ignored (5.13.4.3).
                _ => {}
            }
        }
    }

    fn write_register(&self, state: &mut State, offset: u64, value: u32) -> bool {
        match state.registers.write(offset, value) {
            Action::None => false,
            Action::Reset => {
                state.in_flight = None;
                self.dma.detach_implicit();
                self.dma.tidy() == Freed::Part
            }
            Action::Notify(queue) => self.notify(state, queue as usize),
        }
    }

    fn notify(&self, state: &mut State, queue: usize) -> bool {
        if !state.registers.running() {
            return false;
        }
        match queue {
            REQUESTS => match self.serve(state) {
                Ok(again) => again,
                Err(Broken) => {
                    break_device(state);
                    false
                }
            },
            EVENTS => {
                self.send_events(state);
                false
            }
            _ => false,
        }
    }

    fn send_events(&self, state: &mut State) {
        if !state.registers.running() {
            return;
        }
        // At most one event per descriptor of the queue, and the ring is no longer than that.
        for _ in 0..crate::dma::events::CAPACITY {
            if self.dma.events.is_empty() {
                return;
            }
            match self.send_event(state) {
                Ok(true) => {}
                Ok(false) => return,
                Err(Broken) => return break_device(state),
            }
        }
    }

    /// Sends one event; false if there is no buffer for it, or none to send.
    fn send_event(&self, state: &mut State) -> Result<bool, Broken> {
        let Some(queue) = state.registers.queues.get_mut(EVENTS) else {
            return Ok(false);
        };
        if !queue.ready {
            return Ok(false);
        }
        let Some(buffer) = queue.peek::<0>(self.memory)? else {
            return Ok(false);
        };
        let Some(event) = self.dma.events.pop() else {
            return Ok(false);
        };
        queue.taken();
        let fault = fault(&event);
        buffer.write(self.memory, 0, fault.as_bytes())?;
        let written = buffer.writable().min(size_of::<Fault>() as u64) as u32;
        queue.used(self.memory, buffer.head, written)?;
        if queue.publish(self.memory)? {
            state.registers.interrupt_status |= INTERRUPT_USED;
        }
        Ok(true)
    }
}

fn fault(event: &Event) -> Fault {
    Fault {
        reason: event.reason.code(),
        reserved: [0; 3],
        flags: event.flags.difference(EventFlags::OVERFLOW).bits(),
        endpoint: event.endpoint,
        reserved2: 0,
        address: event.iova,
    }
}

/// The driver broke the rules: it must reset the device (2.1.2).
fn break_device(state: &mut State) {
    state.in_flight = None;
    state.registers.status |= status::NEEDS_RESET;
    state.registers.interrupt_status |= INTERRUPT_CONFIG;
}

/// A buffer of the request queue.
pub(super) type RequestBuffer = Buffer<{ super::spec::REQUEST_MAX }>;
