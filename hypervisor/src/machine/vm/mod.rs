//! A virtual machine and what it owns.

pub mod devices;
mod entry;
pub mod guest_dma;
pub mod interrupts;
pub mod lines;
pub mod masters;
pub mod messages;
pub mod passed;
pub mod pci;
pub mod ram;
pub mod scmi;
pub mod space;
mod terminal;
pub mod vcpu;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use platform::config::GuestIommu;

use crate::arch::percpu;
use crate::guest::map;
use crate::life::{Ending, Life};
use crate::machine::board::kick::kick;
use crate::psci::{self, Mitigations};
use crate::trap::features::Features;
use crate::trap::sysreg::SysReg;
use crate::vgic::{Kick, SPI_BASE, Vgic};
use devices::Devices;
use lines::Line;
use masters::Master;
use messages::Messages;
use passed::Passed;
use pci::VmHost;
use scmi::Scmi;
use space::AddressSpace;
use vcpu::Vcpu;

/// Files a VM boots from; they stay where the boot loader put them, so that a
/// reset finds them unchanged.
pub struct Images {
    /// Linux Image, or one packed by gzip.
    pub kernel: &'static [u8],
    /// Initial RAM disk.
    pub ramdisk: Option<&'static [u8]>,
    /// Kernel command line.
    pub bootargs: String,
}

/// What a guest did that had no effect. Counted, and the first few shown.
#[derive(Debug, Default)]
pub struct Counters {
    undefined: AtomicU32,
    aborts: AtomicU32,
}

/// Reports of one kind that the console shows; the rest is only counted.
const SHOWN: u32 = 4;

impl Counters {
    /// A register that this guest does not have.
    pub fn undefined(&self, register: SysReg) {
        if self.undefined.fetch_add(1, Ordering::Relaxed) < SHOWN {
            log::info!("guest used {register}, which it does not have: undefined instruction");
        }
    }

    /// An access to nothing.
    pub fn aborts(&self, ipa: u64) {
        if self.aborts.fetch_add(1, Ordering::Relaxed) < SHOWN {
            log::warn!("guest accessed {ipa:#x}, where nothing is: external abort");
        }
    }
}

/// A virtual machine. Made at boot, never removed; what changes has its own
/// lock or is atomic.
pub struct Vm {
    /// Number in the configuration; also its VMID.
    pub id: u16,
    /// Label.
    pub name: &'static str,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// Its memory, and where its devices' registers are.
    pub space: AddressSpace,
    /// Its interrupt controller.
    pub vgic: Vgic,
    /// Bytes of redistributor frames (0 with GICv2).
    pub redistributor_bytes: u64,
    /// CPU features it sees.
    pub features: Features,
    /// What SMCCC says about the CPU's own immunity.
    pub mitigations: Mitigations,
    /// Emulated and assigned devices.
    pub devices: Devices,
    /// Its DMA masters.
    pub masters: Vec<Master>,
    /// Platform devices it was given.
    pub passed: Vec<Passed>,
    /// Messages of its PCI functions, if they can signal so.
    pub messages: Option<Messages>,
    /// Its SCMI server, if a device wants one.
    pub scmi: Option<Scmi>,
    /// The IOMMU its kernel may drive.
    pub iommu: GuestIommu,
    /// Its own DMA domains; set once it is complete.
    pub dma: guest_dma::Slot,
    /// Devices of it have become ready that it does not have yet.
    pub waiting: AtomicBool,
    /// Running, ending or off.
    pub life: Life,
    /// What it boots from.
    pub images: Images,
    /// Things that had no effect.
    pub counters: Counters,
    /// Value of the system counter at its last start.
    pub epoch: AtomicU64,
}

/// Names one vCPU of one VM; each CPU has at most one for ever.
#[derive(Clone, Copy)]
pub struct VcpuRef {
    /// Its VM.
    pub vm: &'static Vm,
    /// Its number in the VM.
    pub index: usize,
}

impl VcpuRef {
    /// This CPU's vCPU.
    #[must_use]
    #[inline]
    pub fn here() -> Option<Self> {
        percpu::try_get().and_then(|cpu| cpu.vcpu)
    }

    /// Its record. `index` is in range by construction.
    #[must_use]
    #[inline]
    pub fn state(&self) -> &'static Vcpu {
        &self.vm.vcpus[self.index]
    }
}

impl Vm {
    /// Itself as its host bridge has effects on it; `meanwhile` is called while a
    /// function is waited for.
    pub fn pci_side(&self, meanwhile: fn()) -> pci::Side<'_> {
        pci::Side {
            space: &self.space,
            masters: &self.masters,
            meanwhile,
        }
    }

    /// Interrupt lines of its PCI functions.
    pub fn pci_lines(&self) -> Vec<Line> {
        self.devices.pci.as_ref().map_or(Vec::new(), VmHost::lines)
    }

    /// Every physical interrupt line that is its own.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let platform = self.passed.iter().flat_map(Passed::interrupts);
        let messages = self.messages.iter().flat_map(Messages::lines);
        self.pci_lines().into_iter().chain(messages).chain(platform)
    }

    /// Its virtual counter starts at zero when it does.
    #[must_use]
    pub fn counter_offset(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Drives the interrupt line of its console.
    pub fn uart_line(&self, high: bool) -> Kick {
        self.vgic.set_level(0, SPI_BASE + map::UART_SPI, high)
    }

    /// Drives the interrupt line of its virtio-iommu.
    pub fn viommu_line(&self, high: bool) -> Kick {
        self.vgic
            .set_level(0, SPI_BASE + map::VIRTIO_IOMMU_SPI, high)
    }

    /// Tells it that a fault event waits.
    pub fn event_interrupt(&self) -> Kick {
        self.vgic.inject(0, SPI_BASE + map::IOMMU_EVENT_SPI, None)
    }

    /// Its vCPUs as PSCI sees them.
    #[must_use]
    pub fn psci_view(&self) -> arrayvec::ArrayVec<psci::Vcpu<'_>, { crate::arch::boot::MAX_CPUS }> {
        self.vcpus
            .iter()
            .map(|v| psci::Vcpu {
                mpidr: v.mpidr,
                power: &v.power,
            })
            .collect()
    }

    /// Ends it, if it runs; returns at once. One that is ending already goes on
    /// as it was told first. The caller, if it runs a vCPU of this VM, must then
    /// reach [`wait_for_start`](super::life::wait_for_start), which every exit
    /// handler does before it returns.
    pub fn request_end(&self, ending: Ending) {
        if self.life.end(ending) {
            self.kick_all();
        }
    }

    /// Starts it, if it is off; false if it was not.
    pub fn request_start(&self) -> bool {
        let started = self.life.start();
        if started {
            self.kick_all();
        }
        started
    }

    /// One of its CPUs has failed: it never runs again. Its other CPUs come out
    /// of their guest and stay with
    /// [`wait_for_start`](super::life::wait_for_start).
    pub fn fail(&self) {
        self.life.fail();
        self.kick_all();
    }

    fn kick_all(&self) {
        for vcpu in &self.vcpus {
            kick(vcpu.cpu);
        }
    }
}
