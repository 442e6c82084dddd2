mod boundaries;
mod events;
mod hostile;

use super::spec::*;
use super::*;
use crate::dma::testing::*;
use crate::dma::{Error, Policy, VmDma};
use proptest::prelude::*;
use stagegate_abi::{Event, EventFlags, EventReason};
use std::boxed::Box;
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

const NUM: u16 = 64;
const DESC: u64 = RAM;
const AVAIL: u64 = RAM + 2 * PAGE;
const USED: u64 = RAM + 3 * PAGE;
const BUFFERS: u64 = RAM + 4 * PAGE;
const EVENT_DESC: u64 = RAM + 12 * PAGE;
const EVENT_AVAIL: u64 = RAM + 13 * PAGE;
const EVENT_USED: u64 = RAM + 14 * PAGE;
const EVENT_BUFFERS: u64 = RAM + 15 * PAGE;

/// The driver's side.
struct Driver {
    dma: &'static VmDma<Machine>,
    ram: &'static Ram,
    device: Viommu<'static, Machine, Ram>,
    avail: u16,
    /// Level of the interrupt line.
    line: Cell<bool>,
}

impl Driver {
    fn new() -> Self {
        Self::with(vm())
    }

    fn with(dma: VmDma<Machine>) -> Self {
        // A few kilobytes per test, for lifetimes that need no care.
        let dma = &*Box::leak(Box::new(dma));
        let ram = &*Box::leak(Box::new(Ram::new()));
        let driver = Self {
            dma,
            ram,
            device: Viommu::new(dma, ram),
            avail: 0,
            line: Cell::new(false),
        };
        driver.set_up();
        driver
    }

    fn store(&self, offset: u64, size: u8, value: u64) -> Written {
        self.device
            .write(offset, size, value, |high| self.line.set(high))
    }

    fn load(&self, offset: u64, size: u8) -> u64 {
        let value = self.device.read(offset, size, |high| self.line.set(high));
        value.expect("no other CPU is at work")
    }

    fn deliver(&self) -> bool {
        self.device.deliver(|high| self.line.set(high));
        self.line.get()
    }

    fn set(&self, offset: u64, value: u64) {
        assert_eq!(self.store(offset, 4, value), Written::Done);
    }

    fn set_up(&self) {
        self.set(register::STATUS, 0);
        self.set(register::STATUS, 3);
        self.set(register::DRIVER_FEATURES_SEL, 0);
        self.set(register::DRIVER_FEATURES, feature::OFFERED & 0xffff_ffff);
        self.set(register::DRIVER_FEATURES_SEL, 1);
        self.set(register::DRIVER_FEATURES, 1);
        self.set(register::STATUS, 0xb);
        assert_eq!(self.load(register::STATUS, 4), 0xb);
        for (queue, desc, avail, used) in [
            (0, DESC, AVAIL, USED),
            (1, EVENT_DESC, EVENT_AVAIL, EVENT_USED),
        ] {
            self.set(register::QUEUE_SEL, queue);
            self.set(register::QUEUE_NUM, u64::from(NUM));
            self.set(register::QUEUE_DESC_LOW, desc);
            self.set(register::QUEUE_DRIVER_LOW, avail);
            self.set(register::QUEUE_DEVICE_LOW, used);
            self.set(register::QUEUE_READY, 1);
            assert_eq!(self.load(register::QUEUE_READY, 4), 1);
        }
        self.set(register::STATUS, 0xf);
        // As Linux does for the request queue.
        self.ram.put(AVAIL, &AVAIL_NO_INTERRUPT.to_le_bytes());
    }

    fn descriptor(&self, table: u64, index: u16, addr: u64, len: u32, flags: u16) {
        let next = index + 1;
        let descriptor = Descriptor {
            addr,
            len,
            flags,
            next,
        };
        self.ram
            .put(table + 16 * u64::from(index), descriptor.as_bytes());
    }

    /// Queues a request with `writable` bytes of answer; returns where the answer goes.
    fn queue(&mut self, request: &[u8], writable: u32) -> u64 {
        let slot = u64::from(self.avail % (NUM / 2));
        let at = BUFFERS + slot * 256;
        self.ram.put(at, request);
        self.ram.put(at + 128, &[0xee; 128]);
        let first = (slot * 2) as u16;
        self.descriptor(DESC, first, at, request.len() as u32, DESC_NEXT);
        self.descriptor(DESC, first + 1, at + 128, writable, DESC_WRITE);
        let ring = AVAIL + 4 + 2 * u64::from(self.avail % NUM);
        self.ram.put(ring, &first.to_le_bytes());
        self.avail += 1;
        self.ram.put(AVAIL + 2, &self.avail.to_le_bytes());
        at + 128
    }

    fn used(&self) -> u16 {
        u16::from_le_bytes(self.ram.get(USED + 2, 2).try_into().unwrap())
    }

    /// Notifies until the device is done; returns how often it took.
    fn kick(&self) -> usize {
        for turn in 1..2000 {
            if self.store(register::QUEUE_NOTIFY, 4, 0) == Written::Done {
                assert_eq!(self.used(), self.avail, "all complete");
                return turn;
            }
        }
        panic!("never done");
    }

    fn call(&mut self, request: &[u8]) -> u8 {
        let at = self.queue(request, 4);
        self.kick();
        self.ram.get(at, 1)[0]
    }

    fn attach(&mut self, domain: u32, endpoint: u32, flags: u32) -> u8 {
        let request = Attach {
            head: [request::ATTACH, 0, 0, 0],
            domain,
            endpoint,
            flags,
            reserved: [0; 4],
        };
        self.call(request.as_bytes())
    }

    fn map(&mut self, start: u64, size: u64, phys: u64, flags: u32) -> u8 {
        let request = map_request(start, size, phys, flags);
        self.call(request.as_bytes())
    }

    fn unmap(&mut self, start: u64, end: u64) -> u8 {
        let request = unmap_request(start, end);
        self.call(request.as_bytes())
    }

    fn needs_reset(&self) -> bool {
        self.load(register::STATUS, 4) & u64::from(status::NEEDS_RESET) != 0
    }
}

fn map_request(start: u64, size: u64, phys: u64, flags: u32) -> Map {
    Map {
        head: [request::MAP, 0, 0, 0],
        domain: 1,
        virt_start: start,
        virt_end: start.wrapping_add(size).wrapping_sub(1),
        phys_start: phys,
        flags,
    }
}

fn unmap_request(start: u64, end: u64) -> Unmap {
    Unmap {
        head: [request::UNMAP, 0, 0, 0],
        domain: 1,
        virt_start: start,
        virt_end: end,
        reserved: [0; 4],
    }
}

const OK: u8 = RequestStatus::Ok as u8;
const INVALID: u8 = RequestStatus::Invalid as u8;
const RANGE: u8 = RequestStatus::Range as u8;
const NO_ENTRY: u8 = RequestStatus::NoEntry as u8;
const RW: u32 = MAP_READ | MAP_WRITE;

#[test]
fn the_transport_is_what_linux_looks_for() {
    let driver = Driver::new();
    let read = |offset| driver.load(offset, 4);
    assert_eq!(read(0), 0x7472_6976);
    assert_eq!(read(4), 2);
    assert_eq!(read(8), 23);
    assert_eq!(read(register::QUEUE_NUM_MAX), 256);
    driver.set(register::DEVICE_FEATURES_SEL, 0);
    assert_eq!(read(register::DEVICE_FEATURES), 0b111_0111);
    driver.set(register::DEVICE_FEATURES_SEL, 1);
    assert_eq!(read(register::DEVICE_FEATURES), 1);
    driver.set(register::QUEUE_SEL, 2);
    assert_eq!(read(register::QUEUE_NUM_MAX), 0);
    let config = |offset: u64, size| driver.load(0x100 + offset, size);
    assert_eq!(config(0, 8), !0xfff);
    assert_eq!(config(4, 4), 0xffff_ffff);
    assert_eq!((config(8, 8), config(16, 8)), (0, (1 << 39) - 1));
    assert_eq!((config(24, 4), config(28, 4)), (0, 31));
    assert_eq!((config(32, 4), config(36, 1)), (64, 1));
    assert_eq!(config(40, 4), 0);
    assert_eq!(driver.load(u64::MAX, 8), 0);
}

#[test]
fn features_that_were_not_offered_are_not_agreed_to() {
    let driver = Driver::new();
    for (low, high) in [(1 << 3, 1), (0, 1 << 2 | 1), (1 << 2, 0)] {
        driver.set(register::STATUS, 0);
        driver.set(register::STATUS, 3);
        driver.set(register::DRIVER_FEATURES_SEL, 0);
        driver.set(register::DRIVER_FEATURES, low);
        driver.set(register::DRIVER_FEATURES_SEL, 1);
        driver.set(register::DRIVER_FEATURES, high);
        driver.set(register::STATUS, 0xf);
        assert_eq!(driver.load(register::STATUS, 4), 3);
    }
}

#[test]
fn attach_map_unmap_detach() {
    let mut driver = Driver::new();
    assert_eq!(driver.map(PAGE, PAGE, RAM, RW), NO_ENTRY);
    assert_eq!(driver.attach(1, 0x8, 0), OK);
    assert_eq!(driver.map(PAGE, 2 * PAGE, RAM + PAGE, RW), OK);
    let (pa, ..) = translate(driver.dma, 1, 2 * PAGE).unwrap();
    assert_eq!(pa, RAM_PA + 2 * PAGE);
    driver.dma.outside().take();
    assert_eq!(driver.unmap(PAGE, 3 * PAGE - 1), OK);
    assert_eq!(
        driver.dma.outside().take(),
        [Told::Invalidate(1, vec![(PAGE, 2 * PAGE)])]
    );
    assert_eq!(translate(driver.dma, 1, PAGE), None);
    let detach = Detach {
        head: [request::DETACH, 0, 0, 0],
        domain: 1,
        endpoint: 0x8,
        reserved: [0; 8],
    };
    assert_eq!(driver.call(detach.as_bytes()), OK);
    assert_eq!(driver.call(detach.as_bytes()), NO_ENTRY, "the domain went");
    assert_eq!(driver.load(register::INTERRUPT_STATUS, 4), 0);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut driver = Driver::new();
    assert_eq!(driver.attach(1, 0x9, 0), NO_ENTRY);
    assert_eq!(driver.attach(32, 0x8, 0), RANGE);
    assert_eq!(driver.attach(1, 0x8, 2), INVALID);
    assert_eq!(driver.attach(1, 0x8, 0), OK);
    assert_eq!(driver.map(PAGE, PAGE, RAM, 0), INVALID);
    assert_eq!(driver.map(PAGE, PAGE, RAM, RW | 8), INVALID);
    assert_eq!(driver.map(PAGE, 0x800, RAM, RW), RANGE);
    assert_eq!(driver.map(PAGE, 0, RAM, RW), RANGE, "end before start");
    assert_eq!(driver.map(1 << 39, PAGE, RAM, RW), RANGE);
    assert_eq!(driver.map(PAGE, PAGE, 0, RW), RequestStatus::Fault as u8);
    assert_eq!(driver.map(PAGE, PAGE, RAM, RW | MAP_MMIO), 7);
    assert_eq!(driver.map(PAGE, PAGE, DEVICE, RW | MAP_MMIO), OK);
    assert_eq!(driver.map(PAGE, PAGE, RAM, RW), INVALID, "mapped already");
    assert_eq!(driver.map(DOORBELL, PAGE, RAM, RW), INVALID);
    assert_eq!(driver.unmap(0, u64::MAX), RANGE);
    assert_eq!(driver.unmap(3 * PAGE, PAGE), RANGE);
    assert_eq!(driver.call(&[9, 0, 0, 0]), RequestStatus::Unsupported as u8);
    assert_eq!(driver.call(&[request::MAP, 0, 0, 0]), INVALID);
    assert_eq!(driver.call(&[]), INVALID);
    assert!(!driver.needs_reset());
}

#[test]
fn many_requests_in_one_notification() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    let mut answers = Vec::new();
    for page in 1..=30 {
        let request = map_request(page * PAGE, PAGE, RAM + page * PAGE, RW);
        answers.push(driver.queue(request.as_bytes(), 4));
    }
    assert_eq!(driver.kick(), 1);
    driver.dma.outside().take();
    for page in 1..=30 {
        let request = unmap_request(page * PAGE, page * PAGE + PAGE - 1);
        answers.push(driver.queue(request.as_bytes(), 4));
    }
    assert_eq!(driver.kick(), 1);
    assert!(answers.iter().all(|at| driver.ram.get(*at, 4) == [0; 4]));
    let told = driver.dma.outside().take();
    assert!(matches!(&told[..], [Told::Invalidate(1, ranges)] if ranges.len() == 30));
}

#[test]
fn long_requests_take_several_traps_and_are_read_once() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    // 1500 pages that allow no block.
    let request = map_request(PAGE, 1500 * PAGE, RAM + 2 * PAGE, RW);
    let at = driver.queue(request.as_bytes(), 4);
    assert!(driver.store(register::QUEUE_NOTIFY, 4, 0) == Written::Again);
    // Another vCPU changes the request: too late.
    driver.ram.put(at - 128, &[0xff; 36]);
    assert_eq!(driver.kick(), 2);
    assert_eq!(driver.ram.get(at, 1), [OK]);
    assert!(translate(driver.dma, 1, 1500 * PAGE).is_some());
    assert_eq!(translate(driver.dma, 1, 1501 * PAGE), None);
    assert_eq!(driver.unmap(PAGE, 1501 * PAGE - 1), OK);
    assert_eq!(translate(driver.dma, 1, PAGE), None);
}

#[test]
fn interrupts_come_between_requests_and_between_the_tables_of_a_domain() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    driver.dma.outside().patience.store(1, Ordering::Relaxed);
    for n in 1..=30 {
        let request = map_request(n * BLOCK, PAGE, RAM, RW);
        driver.queue(request.as_bytes(), 4);
    }
    assert_eq!(driver.kick(), 30, "one request for each interrupt");
    // Unmapped bit by bit, holes and all.
    let request = unmap_request(BLOCK, 3 * BLOCK - 1);
    let at = driver.queue(request.as_bytes(), 4);
    assert!(driver.kick() > 100);
    assert_eq!(driver.ram.get(at, 1), [OK]);
    assert_eq!(translate(driver.dma, 1, 2 * BLOCK), None);
    assert!(translate(driver.dma, 1, 3 * BLOCK).is_some());
    // The last endpoint leaves, and what is left of the domain goes before the next request.
    let leave = Detach {
        head: [request::DETACH, 0, 0, 0],
        domain: 1,
        endpoint: 0x8,
        reserved: [0; 8],
    };
    let at = driver.queue(leave.as_bytes(), 4);
    assert!(driver.kick() > 10);
    assert_eq!(driver.ram.get(at, 1), [OK]);
    assert_eq!(driver.attach(1, 0x8, 0), OK);
    // A reset takes as long.
    for n in 1..=30 {
        assert_eq!(driver.map(n * BLOCK, PAGE, RAM, RW), OK);
    }
    let reset = || driver.store(register::STATUS, 4, 0) == Written::Again;
    let times = (1..).find(|_| !reset());
    assert!(times > Some(10), "{times:?}");
    assert_eq!(driver.dma.sync(1), Err(Error::NoDomain(1)));
}

#[test]
fn a_map_that_fails_half_way_leaves_nothing() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    let size = RAM_SIZE + 4 * PAGE;
    assert_eq!(driver.map(PAGE, size, RAM, RW), RequestStatus::Fault as u8);
    for page in [1, 2, 600, 4000] {
        assert_eq!(translate(driver.dma, 1, page * PAGE), None);
    }
    assert_eq!(driver.map(PAGE, PAGE, RAM, RW), OK);
}

#[test]
fn bypass_is_the_operators_choice_first() {
    let mut driver = Driver::new();
    driver.dma.start().unwrap();
    assert_eq!(driver.attach(2, 0x8, ATTACH_BYPASS), OK);
    driver.dma.outside().take();
    let _ = driver.store(0x100 + CONFIG_BYPASS, 1, 0);
    assert_eq!(driver.load(0x100 + CONFIG_BYPASS, 1), 0);
    assert_eq!(
        driver.dma.outside().take(),
        [
            Told::Attach(1, "blocked", None),
            Told::Attach(2, "blocked", None)
        ]
    );
    driver.set(register::STATUS, 0);
    assert_eq!(driver.load(0x100 + CONFIG_BYPASS, 1), 1);

    let mut strict = Driver::with(vm_with(Policy {
        strict: true,
        domains: 8,
    }));
    let _ = strict.store(0x100 + CONFIG_BYPASS, 1, 1);
    assert_eq!(strict.load(0x100 + CONFIG_BYPASS, 1), 0);
    assert_eq!(
        strict.attach(2, 0x8, ATTACH_BYPASS),
        RequestStatus::Unsupported as u8
    );
}

#[test]
fn reset_frees_what_the_driver_made() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    driver.attach(1, 0x10, 0);
    driver.map(PAGE, PAGE, RAM, RW);
    driver.dma.outside().take();
    driver.set(register::STATUS, 0);
    assert_eq!(
        driver.dma.outside().take(),
        [
            Told::Attach(0, "vm", None),
            Told::Attach(1, "vm", None),
            Told::Close(1)
        ]
    );
    driver.avail = 0;
    driver.ram.put(AVAIL, &[0; 256]);
    driver.ram.put(USED, &[0; 256]);
    driver.set_up();
    assert_eq!(driver.attach(1, 0x8, 0), OK);
}

#[test]
fn a_stuck_smmu_is_an_error_of_the_request() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    driver.map(PAGE, PAGE, RAM, RW);
    driver.dma.outside().stuck.store(true, Ordering::Relaxed);
    assert_eq!(
        driver.unmap(PAGE, 2 * PAGE - 1),
        RequestStatus::DeviceError as u8
    );
    assert!(!driver.needs_reset());
}
