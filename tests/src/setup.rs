//! A machine with Stagegate on it: the hypervisor's image, the modules in
//! memory, and the board's device tree with the configuration applied.

use crate::devicetree::{self, Template, reg};
use crate::image;
use crate::machine::{Board, Machine, Running};
use crate::paths::{self, Kernel};
use crate::{LIMIT, Result, context, initramfs};
use platform::pack::Kind;
use stagegate::pack::{self, Input};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the first module goes: above the hypervisor and the device tree,
/// which QEMU places within the first 256 MiB of RAM.
const FIRST_MODULE: u64 = 0x5000_0000;
const MODULE_ALIGN: u64 = 0x20_0000;

/// A file in memory that the configuration refers to.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

impl Module {
    /// The node of a VM's kernel.
    pub fn as_kernel(&self, bootargs: &str) -> String {
        self.node("kernel", &format!("bootargs = \"{bootargs}\";"))
    }

    /// The node of a VM's initramfs.
    pub fn as_ramdisk(&self) -> String {
        self.node("ramdisk", "")
    }

    fn node(&self, kind: &str, more: &str) -> String {
        format!(
            "module@{:x} {{ compatible = \"multiboot,{kind}\", \"multiboot,module\"; reg = <{}>; {more} }};",
            self.address,
            reg(self.address, self.size)
        )
    }
}

/// A Linux kernel and its initramfs in memory; VMs may share them.
pub struct Linux {
    kernel: Module,
    initrd: Module,
    /// Kernel release.
    pub version: String,
}

impl Linux {
    /// Both nodes for a VM.
    pub fn nodes(&self, bootargs: &str) -> String {
        self.kernel.as_kernel(bootargs) + &self.initrd.as_ramdisk()
    }
}

/// What a guest of ours needs on its command line.
pub fn bootargs(name: &str, cpus: u32, memory_mib: u32, steps: &str) -> String {
    format!(
        "console=ttyAMA0 quiet panic=-1 stagegate.name={name} stagegate.cpus={cpus} \
         stagegate.mem={memory_mib} stagegate.do={steps}"
    )
}

/// A VM for [`Setup::vms`].
#[derive(Clone, Debug)]
pub struct VmSpec<'a> {
    /// Label.
    pub name: &'a str,
    /// CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Module nodes.
    pub modules: String,
    /// Further properties and nodes.
    pub more: String,
}

/// The configuration overlay for some VMs.
fn config(vms: &[VmSpec<'_>]) -> String {
    let mut nodes = String::new();
    for (vm, number) in vms.iter().zip(1..) {
        nodes += &format!(
            "vm@{number} {{ compatible = \"stagegate,vm-v1\"; reg = <{number}>; label = \"{}\"; \
             cpus = <{}>; memory = <0 {:#x}>; #address-cells = <2>; #size-cells = <2>; \
             stagegate,vuart; {} {} }};\n",
            vm.name,
            vm.cpus,
            vm.memory_mib << 10,
            vm.modules,
            vm.more
        );
    }
    format!(
        "/dts-v1/; /plugin/;\n&{{/chosen}} {{ #address-cells = <2>; #size-cells = <2>;\n\
         stagegate {{ compatible = \"stagegate,config-v1\"; #address-cells = <1>; #size-cells = <0>;\n\
         {nodes}}}; }};\n"
    )
}

/// A machine with Stagegate under construction.
pub struct Setup {
    /// The machine; change it as needed before [`Setup::start`].
    pub machine: Machine,
    overlays: Vec<Template>,
    next: u64,
}

impl Setup {
    /// Starts from a machine that boots at EL2.
    pub fn new(machine: Machine) -> Result<Self> {
        let overlays = match machine.board {
            Board::Zcu102 => Vec::new(),
            Board::VirtGicV2 | Board::VirtGicV3 => vec![Template::named("symbols")?],
        };
        Ok(Self {
            machine,
            overlays,
            next: FIRST_MODULE,
        })
    }

    /// Puts a file into memory.
    pub fn module(&mut self, file: &Path) -> Result<Module> {
        let size = fs::metadata(file).map_err(context(file.display()))?.len();
        let address = self.next;
        self.next = (address + size).next_multiple_of(MODULE_ALIGN);
        self.machine.blobs.push((file.to_path_buf(), address));
        Ok(Module { address, size })
    }

    /// Puts a stock kernel and our initramfs into memory.
    pub fn linux(&mut self, kernel: &Kernel) -> Result<Linux> {
        Ok(Linux {
            kernel: self.module(&kernel.image)?,
            initrd: self.module(&initramfs::build(kernel)?)?,
            version: kernel.version.clone(),
        })
    }

    /// Adds an overlay; they are applied in the order added.
    pub fn overlay(&mut self, template: Template) {
        self.overlays.push(template);
    }

    /// Adds a configuration with these VMs.
    pub fn vms(&mut self, vms: &[VmSpec<'_>]) {
        self.overlay(Template::text("vms", &config(vms)));
    }

    /// Writes the device tree and starts; files go to `dir`.
    pub fn start(self, dir: &Path) -> Result<Running> {
        self.finish(dir)?.start(dir)
    }

    /// The machine with everything in place.
    pub fn finish(mut self, dir: &Path) -> Result<Machine> {
        self.machine.dtb = Some(self.board(dir)?);
        self.machine.kernel = Some(image::with_symbols(&paths::hypervisor()?)?);
        Ok(self.machine)
    }

    /// Starts U-Boot, which then boots Stagegate by `booti`: the image and the
    /// device tree wait in memory, where firmware would have put them.
    pub fn start_from_u_boot(mut self, dir: &Path) -> Result<Running> {
        let image = image::flatten(&paths::hypervisor()?)?;
        let board = self.board(dir)?;
        let board = self.module(&board)?;
        // Last: its stacks and zeroed data follow it in memory.
        let image = self.module(&image)?;
        let firmware = paths::u_boot()?.display().to_string();
        let mut running = self.machine.args(["-bios", &firmware]).start(dir)?;
        // The prompt has no line end; U-Boot counts down in front of it, and
        // takes keys typed ahead.
        running.console.expect("Net:", LIMIT)?;
        let command = format!("\nbooti {:x} - {:x}\n", image.address, board.address);
        running.console.send(command.as_bytes())?;
        Ok(running)
    }

    /// Starts UEFI with a disk that holds Stagegate, packed with the overlays
    /// and `files` (name and place): they are applied by the hypervisor itself.
    /// With `grub`, GRUB stands in between.
    pub fn start_from_uefi(
        self,
        files: &[(&str, &Path)],
        grub: bool,
        dir: &Path,
    ) -> Result<Running> {
        let image = self.pack(files, dir)?;
        let disk = dir.join("esp");
        let boot = disk.join("EFI/BOOT/BOOTAA64.EFI");
        let place = |from: &Path, to: &Path| -> Result<()> {
            fs::create_dir_all(to.parent().unwrap_or(to)).map_err(context(to.display()))?;
            fs::copy(from, to).map(drop).map_err(context(to.display()))
        };
        if grub {
            place(&paths::grub()?, &boot)?;
            place(&image, &disk.join("stagegate.img"))?;
            let menu = dir.join("grub.cfg");
            fs::write(&menu, "linux /stagegate.img\nboot\n").map_err(context(menu.display()))?;
            place(&menu, &disk.join("EFI/debian/grub.cfg"))?;
        } else {
            place(&image, &boot)?;
        }
        let firmware = paths::uefi()?.display().to_string();
        let drive = format!(
            "if=none,id=esp,format=raw,readonly=on,file=fat:{}",
            disk.display()
        );
        self.machine
            .args(["-bios", &firmware, "-drive", &drive])
            .args(["-device", "virtio-blk-pci,drive=esp"])
            .start(dir)
    }

    /// Starts the image, packed with the overlays and `files`, on the machine's
    /// own device tree.
    pub fn start_packed(mut self, files: &[(&str, &Path)], dir: &Path) -> Result<Running> {
        self.machine.kernel = Some(self.pack(files, dir)?);
        self.machine.start(dir)
    }

    /// The image with overlays and files behind it.
    fn pack(&self, files: &[(&str, &Path)], dir: &Path) -> Result<PathBuf> {
        let read = |path: &Path| fs::read(path).map_err(context(path.display()));
        let input = |name: &str, kind, path: &Path| -> Result<Input> {
            let (name, bytes) = (name.into(), read(path)?);
            Ok(Input { name, kind, bytes })
        };
        let mut inputs = Vec::new();
        for (overlay, number) in self.overlays.iter().zip(1..) {
            let blob = overlay.compile(dir)?;
            inputs.push(input(&format!("overlay-{number}"), Kind::Overlay, &blob)?);
        }
        for (name, path) in files {
            inputs.push(input(name, Kind::File, path)?);
        }
        let plain = read(&image::flatten(&paths::hypervisor()?)?)?;
        let packed = pack::image(&plain, &inputs).map_err(|e| e.to_string())?;
        let out = dir.join("packed.img");
        fs::write(&out, packed).map_err(context(out.display()))?;
        Ok(out)
    }

    fn board(&self, dir: &Path) -> Result<PathBuf> {
        let (base, board) = (dir.join("base.dtb"), dir.join("board.dtb"));
        match self.machine.board {
            Board::Zcu102 => {
                let file = paths::zcu102_dtb()?;
                fs::copy(&file, &base).map_err(context(file.display()))?;
            }
            Board::VirtGicV2 | Board::VirtGicV3 => self.machine.dump_dtb(&base)?,
        }
        let blobs: Vec<_> = self
            .overlays
            .iter()
            .map(|o| o.compile(dir))
            .collect::<Result<_>>()?;
        devicetree::merge(&base, &blobs, &board)?;
        Ok(board)
    }
}
