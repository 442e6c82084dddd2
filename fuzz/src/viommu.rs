//! Virtqueues and the registers of the virtio-iommu.

use super::input::Input;
use super::machine::{RAM, Ram, vm};
use hypervisor::dma::DomainKind;
use hypervisor::viommu::Viommu;

/// The first bytes are a list of register accesses, the rest is memory with the rings in it.
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
    let ram = Ram::new(input.0, scribble & 1 != 0);
    let device = Viommu::new(&vm, &ram);
    set_up(&device, scribble >> 1);
    notify(&device);
    for (offset, size, value) in script {
        let _ = device.write(offset, size, value);
        let _ = device.read(offset, size);
        notify(&device);
    }
    vm.stop().expect("the SMMU answers");
}

type Device<'a> = Viommu<'a, super::machine::Machine, Ram>;

fn set_up(device: &Device<'_>, layout: u8) {
    let step = 0x200 << (layout % 4);
    for (offset, value) in [
        (0x24, 1),
        (0x20, 1),
        (0x70, 0xb),
        (0x30, 0),
        (0x38, 16),
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
        let _ = device.write(offset, 4, value);
    }
}

/// A guest that executes the store again when it is told to, but not for ever.
fn notify(device: &Device<'_>) {
    for _ in 0..16 {
        if !device.write(0x50, 4, 0).again {
            break;
        }
    }
    let _ = device.write(0x50, 4, 1);
    let _ = device.deliver();
}
