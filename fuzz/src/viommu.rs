//! Virtqueues and the registers of the virtio-iommu.

use super::input::Input;
use super::machine::{PAGE, RAM, Ram, end, vm};
use hypervisor::dma::{DomainKind, GuestMemory};
use hypervisor::viommu::{Viommu, Written};

/// Entries of the request queue.
const NUM: u16 = 16;
/// Requests in one run, more than go into the queue at once.
const MOST: u16 = 40;
/// Where requests that make some sense are: behind all rings.
const BUFFERS: u64 = RAM + 8 * PAGE;

/// The first bytes are flags and a list of register accesses, the rest is memory with the rings in it,
/// or what requests are made of.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let [scribble, accesses] = input.bytes();
    let vm = vm();
    vm.attach_or_create(2, 8, DomainKind::Paging)
        .expect("a free id");
    let mut script = Vec::new();
    for _ in 0..accesses % 32 {
        let [offset, size, value] = input.bytes();
        script.push((u64::from(offset) * 2, 1u8 << (size % 4), u64::from(value)));
    }
    let raw = accesses & 0x80 == 0;
    let ram = Ram::new(if raw { input.0 } else { &[] }, scribble & 1 != 0);
    let device = Viommu::new(&vm, &ram);
    let step = 0x200 << (scribble >> 1 & 3);
    set_up(&device, step);
    let mut driver = Driver {
        ram: &ram,
        step,
        next: 0,
    };
    while !raw && !input.is_empty() && driver.next < MOST {
        for _ in 0..=input.byte() % 4 {
            driver.queue(&mut input);
        }
        notify(&device);
        vm.outside().smmu().look();
    }
    notify(&device);
    vm.outside().smmu().look();
    for (offset, size, value) in script {
        let _ = device.write(offset, size, value, |_| ());
        let _ = device.read(offset, size, |_| ());
        notify(&device);
        vm.outside().smmu().look();
    }
    end(&vm);
}

type Device<'a> = Viommu<'a, super::machine::Machine, Ram>;

fn set_up(device: &Device<'_>, step: u64) {
    for (offset, value) in [
        (0x24, 1),
        (0x20, 1),
        (0x70, 0xb),
        (0x30, 0),
        (0x38, NUM.into()),
        (0x80, RAM),
        (0x90, RAM + step),
        (0xa0, RAM + 2 * step),
        (0x44, 1),
        (0x30, 1),
        (0x38, 8),
        (0x80, RAM + 3 * step),
        (0x90, RAM + 4 * step),
        (0xa0, RAM + 5 * step),
        (0x44, 1),
        (0x70, 0xf),
    ] {
        let _ = device.write(offset, 4, value, |_| ());
    }
}

/// A guest that executes the store again when it is told to, but not for ever.
fn notify(device: &Device<'_>) {
    for _ in 0..16 {
        if device.write(0x50, 4, 0, |_| ()) == Written::Done {
            break;
        }
    }
    let _ = device.write(0x50, 4, 1, |_| ());
    device.deliver(|_| ());
}

/// Puts requests into the queue.
struct Driver<'a> {
    ram: &'a Ram,
    step: u64,
    next: u16,
}

impl Driver<'_> {
    fn queue(&mut self, input: &mut Input<'_>) {
        let request = request(input);
        let first = self.next * 2 % NUM;
        let at = BUFFERS + u64::from(first) * 128;
        let put = |at, bytes: &[u8]| self.ram.write(at, bytes).expect("backed");
        put(at, &request);
        // Readable with a next one, then writable.
        let length = request.len() as u64;
        let chain = [at, length | 1 << 32 | u64::from(first + 1) << 48];
        let answer = [at + 128, 64 | 2 << 32];
        let descriptors = RAM + u64::from(first) * 16;
        self.ram.put(descriptors, chain.into_iter().chain(answer));
        let available = RAM + self.step;
        put(
            available + 4 + u64::from(self.next % NUM) * 2,
            &first.to_le_bytes(),
        );
        self.next += 1;
        put(available + 2, &self.next.to_le_bytes());
    }
}

/// A request of some kind (virtio 1.2, 5.13.6).
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let [kind, flags] = input.bytes();
    // Most of them map and unmap.
    let kind = match kind % 16 {
        kind @ 0..6 => kind,
        kind => 3 + kind % 2,
    };
    let domain = input.domain().to_le_bytes();
    let mut bytes = vec![kind, 0, 0, 0];
    if kind == 5 {
        bytes.extend(input.endpoint().to_le_bytes());
        bytes.extend([0; 64]);
        return bytes;
    }
    bytes.extend(domain);
    match kind {
        3 | 4 => {
            let start = input.iova();
            bytes.extend(start.to_le_bytes());
            let end = start.wrapping_add(input.size()).wrapping_sub(1);
            bytes.extend(end.to_le_bytes());
            if kind == 3 {
                bytes.extend(input.ipa().to_le_bytes());
            }
        }
        _ => bytes.extend(input.endpoint().to_le_bytes()),
    }
    bytes.extend(u32::from(flags & 3).to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}
