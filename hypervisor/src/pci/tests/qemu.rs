//! The same code against QEMU's device models, over QEMU's qtest protocol:
//! loads and stores from the host while the CPU stands still. Skipped, with a word, where
//! there is no `qemu-system-aarch64`; `STAGEGATE_NEED_QEMU=1` makes that fail.

use super::physical::WINDOWS;
use super::vm::{CONFIG, virt_spi};
use crate::pci::fake::FakeEffects;
use crate::pci::place::unplaced;
use crate::pci::regs::{self, cap};
use crate::pci::virt::VirtualHost;
use crate::pci::{Access, ConfigSpace, Delay, ResetMethod, Rid, Topology, Width, bring_up, reset};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// QEMU's virt machine, high ECAM.
const ECAM: u64 = 0x40_1000_0000;

struct Qemu {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Qemu {
    fn start(devices: &[&str]) -> Option<Self> {
        let mut command = Command::new("qemu-system-aarch64");
        command.args([
            "-M",
            "virt,iommu=smmuv3,gic-version=3",
            "-accel",
            "tcg",
            "-S",
            "-display",
            "none",
        ]);
        command.args(["-nodefaults", "-qtest", "stdio", "-qtest-log", "none"]);
        for disk in ["d0", "d1"] {
            command.args([
                "-blockdev",
                &format!("null-co,node-name={disk},size=1048576"),
            ]);
        }
        for device in devices {
            command.args(["-device", device]);
        }
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let Ok(mut child) = pipes.spawn() else {
            assert!(std::env::var_os("STAGEGATE_NEED_QEMU").is_none(), "no QEMU");
            eprintln!("skipped: no qemu-system-aarch64");
            return None;
        };
        let pipes = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Self {
            child,
            pipes: RefCell::new(pipes),
        })
    }
    fn ask(&self, line: &str) -> String {
        let (tx, rx) = &mut *self.pipes.borrow_mut();
        writeln!(tx, "{line}").unwrap();
        let mut answer = String::new();
        rx.read_line(&mut answer).unwrap();
        let answer = answer
            .trim()
            .strip_prefix("OK")
            .unwrap_or_else(|| panic!("{line}: {answer}"));
        answer.trim().to_string()
    }
    fn peek(&self, address: u64, width: Width) -> u32 {
        let op = ["readb", "readw", "readl"][usize::from(width.bytes() / 2)];
        let answer = self.ask(&format!("{op} {address:#x}"));
        u64::from_str_radix(answer.trim_start_matches("0x"), 16).unwrap() as u32
    }
    fn poke(&self, address: u64, width: Width, value: u32) {
        let op = ["writeb", "writew", "writel"][usize::from(width.bytes() / 2)];
        self.ask(&format!("{op} {address:#x} {value:#x}"));
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ConfigSpace for Qemu {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        self.peek(ECAM + (u64::from(rid.0) << 12) + u64::from(offset), width)
    }
    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        self.poke(
            ECAM + (u64::from(rid.0) << 12) + u64::from(offset),
            width,
            value,
        );
    }
}

/// The models reset at once.
impl Delay for Qemu {
    fn delay_us(&self, _micros: u32) {}
}

const MACHINE: [&str; 9] = [
    "e1000e,addr=1,romfile=",
    "nvme,addr=2,drive=d0,serial=s",
    "edu,addr=4",
    "igb,addr=5,romfile=",
    "pcie-root-port,id=p0,addr=6,chassis=1",
    "virtio-blk-pci,bus=p0,drive=d1,iommu_platform=on,romfile=",
    "pcie-root-port,id=p1,addr=7,chassis=2",
    "virtio-rng-pci,addr=8.0,multifunction=on,romfile=",
    "virtio-rng-pci,addr=8.1,romfile=",
];

fn find(topology: &Topology, id: u32) -> Rid {
    topology
        .functions
        .iter()
        .find(|f| f.id == id)
        .unwrap_or_else(|| panic!("{id:x}"))
        .rid
}

#[test]
fn qemus_machine_is_numbered_placed_and_reset() {
    let Some(qemu) = Qemu::start(&MACHINE) else {
        return;
    };
    let mut topology = bring_up(&qemu, (0, 255), &WINDOWS, 4096).unwrap();
    assert_eq!(unplaced(&topology).count(), 0);
    let ids: Vec<_> = topology
        .functions
        .iter()
        .map(|f| (f.rid.to_string(), f.id))
        .collect();
    assert_eq!(ids.len(), 10, "{ids:x?}");
    assert_eq!(find(&topology, 0x1042_1af4), Rid::new(1, 0, 0));

    // Each device answers where the placement put it, bridges included.
    let bar = |topology: &Topology, id, n: usize| {
        let f = topology.functions.iter().find(|f| f.id == id).unwrap();
        qemu.write16(f.rid, regs::COMMAND, 2);
        f.bars[n].unwrap().place.unwrap().pa
    };
    assert_eq!(
        qemu.peek(bar(&topology, 0x11e8_1234, 0), Width::Word),
        0x0100_00ed
    );
    let version = bar(&topology, 0x0010_1b36, 0) + 8;
    assert_eq!(qemu.peek(version, Width::Word), 0x0001_0400, "NVMe 1.4");
    let status = bar(&topology, 0x10d3_8086, 0) + 8;
    assert_ne!(qemu.peek(status, Width::Word), 0xffff_ffff, "e1000e");
    let virtio = bar(&topology, 0x1042_1af4, 4);
    qemu.poke(virtio, Width::Word, 1);
    assert_eq!(
        qemu.peek(virtio, Width::Word),
        1,
        "virtio behind a port, in the high window"
    );
    assert!(virtio >= 0x80_0000_0000);

    for (id, method) in [
        (0x10d3_8086, ResetMethod::Power),
        (0x0010_1b36, ResetMethod::Function),
        (0x10c9_8086, ResetMethod::Function),
        (0x1042_1af4, ResetMethod::Function),
        (0x11e8_1234, ResetMethod::None),
    ] {
        let f = topology.get(find(&topology, id)).unwrap();
        assert_eq!(reset::choose(&qemu, &topology, f), method, "{id:x}");
        assert_eq!(reset::reset(&qemu, &topology, f, &qemu), Ok(method));
        let place = f.bars.iter().flatten().next().unwrap().place.unwrap();
        let first = f.bars.iter().position(Option::is_some).unwrap() as u16;
        assert_eq!(
            qemu.read32(f.rid, regs::BAR0 + 4 * first) & !15,
            place.bus as u32
        );
    }
    qemu.write16(find(&topology, 0x0010_1b36), regs::COMMAND, 2);
    assert_eq!(
        qemu.peek(version, Width::Word),
        0x0001_0400,
        "after its reset"
    );

    // A second bring-up finds sound numbers and keeps them.
    let again = bring_up(&qemu, (0, 255), &WINDOWS, 4096).unwrap();
    topology
        .functions
        .iter_mut()
        .zip(&again.functions)
        .for_each(|(a, b)| {
            assert_eq!((a.rid, a.bars), (b.rid, b.bars));
        });
}

#[test]
fn a_guest_drives_qemus_devices_through_its_virtual_host() {
    let Some(qemu) = Qemu::start(&MACHINE) else {
        return;
    };
    let topology = bring_up(&qemu, (0, 255), &WINDOWS, 4096).unwrap();
    let (nvme, nic) = (find(&topology, 0x0010_1b36), find(&topology, 0x10c9_8086));
    let virtio = find(&topology, 0x1042_1af4);
    let mut host =
        VirtualHost::new(&qemu, CONFIG, &topology, &[nvme, nic, virtio], virt_spi).unwrap();
    let mut fx = FakeEffects::default();
    assert_eq!(host.reset(&qemu, &topology, &mut fx).failed(), None);
    let word = |rid, offset| Access {
        rid,
        offset,
        width: Width::Word,
    };
    let half = |rid, offset| Access {
        rid,
        offset,
        width: Width::Half,
    };

    // Size, move, enable: the guest's address shows the device's registers.
    host.write(&qemu, word(nvme, 0x10), !0, &mut fx).unwrap();
    assert_eq!(host.read(&qemu, word(nvme, 0x10)) & 15, 4);
    host.write(&qemu, word(nvme, 0x10), 0x2000_0000, &mut fx)
        .unwrap();
    host.write(&qemu, word(nvme, 0x14), 0, &mut fx).unwrap();
    host.write(&qemu, half(nvme, 4), 6, &mut fx).unwrap();
    let m = *fx.mapped.iter().find(|m| m.ipa == 0x2000_0000).unwrap();
    assert_eq!(qemu.peek(m.pa + 8, Width::Word), 0x0001_0400);

    // D3hot takes the registers away, D0 brings them back where they were.
    for (rid, pmcsr) in [(nvme, 0x64), (nic, 0x44)] {
        host.write(&qemu, half(rid, 4), 6, &mut fx).unwrap();
        let before = fx.mapped.clone();
        host.write(&qemu, half(rid, pmcsr), 3, &mut fx).unwrap();
        assert_eq!(host.read(&qemu, half(rid, pmcsr)) & 3, 3);
        assert_eq!(qemu.read16(rid, 4) & 6, 0);
        assert!(!host.functions().find(|f| f.physical == rid).unwrap().active);
        host.write(&qemu, half(rid, pmcsr), 0, &mut fx).unwrap();
        assert_eq!(host.read(&qemu, half(rid, pmcsr)) & 3, 0);
        assert_eq!(qemu.read16(rid, 4) & 6, 6);
        assert_eq!(fx.mapped.len(), before.len());
    }
    assert_eq!(qemu.peek(m.pa + 8, Width::Word), 0x0001_0400);

    // virtio shows its vendor capabilities, and no message interrupts.
    let seat = host
        .functions()
        .find(|f| f.physical == virtio)
        .unwrap()
        .virtual_rid;
    let mut at = host.read(&qemu, word(seat, 0x34)) & 0xff;
    let mut ids = Vec::new();
    while at != 0 {
        let header = host.read(&qemu, word(seat, at as u16));
        ids.push(header as u8);
        at = header >> 8 & 0xff;
    }
    assert_eq!(ids.iter().filter(|&&id| id == cap::VENDOR).count(), 5);
    assert!(ids.contains(&cap::PCIE) && ids.contains(&cap::PM) && !ids.contains(&cap::MSIX));

    assert_eq!(host.reset(&qemu, &topology, &mut fx).failed(), None);
    assert!(fx.mapped.is_empty());
    assert_eq!(
        [nvme, nic, virtio].map(|rid| qemu.read16(rid, 4) & 6),
        [0; 3]
    );
}
