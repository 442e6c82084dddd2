//! `stagegate run`.
use super::image::Contents;
use super::{Survey, check};
use crate::input::{Error, read, tree, write};
use crate::pack;
use crate::qemu::machine::{Board, Machine};
use crate::run::layout::Layout;
use crate::run::session::{self, Session};
use crate::run::version;
use platform::config::Inputs;
use platform::fdt::{Blob, FdtError};
use platform::overlay::{Named, merge};
use platform::pack::{Kind, Pack};
use platform::report::Report;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Run a configuration on QEMU, with a live view of power
///
/// The guests' consoles scroll; below them stands what keeps which SMMU on. The
/// machine is QEMU's `virt` with an SMMUv3, at EL2. Ctrl-a is Stagegate's
/// own key (Ctrl-a ? lists what it does, Ctrl-a 1 types to the first VM).
/// Ctrl-t x ends the run; so does Ctrl-c, until a guest has the input; then
/// Ctrl-c goes to the guest. On a pipe, consoles and changes of power are plain
/// lines.
///
/// Exit status: 0 the machine switched itself off; 1 the configuration has
/// errors, nothing was started, or a VM crashed; 2 it cannot be started; 3 QEMU
/// failed; 124 the limit passed; 130 ended by a key, 128 + n by signal n.
///
/// STAGEGATE_QEMU names the QEMU to use: 9 or later.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The hypervisor (arm64 Image), plain or packed by `stagegate image`
    image: PathBuf,
    #[command(flatten)]
    contents: Contents,
    /// The board's device tree (.dtb, or .dts source) instead of QEMU's own
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// CPUs
    #[arg(long, default_value_t = 4)]
    cpus: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: u32,
    /// Version of the interrupt controller
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    gic: String,
    /// Where console.log, trace.log and what is made for the run go
    #[arg(long, default_value = "stagegate-run")]
    dir: PathBuf,
    /// Plain lines on a terminal too
    #[arg(long)]
    plain: bool,
    /// End after this many seconds
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Further arguments for QEMU, after `--`: disks, network, devices
    #[arg(last = true)]
    qemu: Vec<String>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let version = version::check().map_err(Error::Qemu)?;
    writeln!(out, "QEMU {version}")?;
    let dir = &options.dir;
    std::fs::create_dir_all(dir).map_err(|error| Error::Unwritable(dir.clone(), error))?;
    let mut machine = machine(options);
    let kernel = image(options, out)?;
    let bytes = read(&kernel)?;
    let board = board(options, &machine, out)?;
    if options.board.is_some() {
        machine.dtb = Some(board.clone());
    }
    machine.kernel = Some(kernel);
    let Some(layout) = layout(&board, &bytes, out)? else {
        return Ok(ExitCode::FAILURE);
    };
    let session = Session {
        machine,
        layout,
        dir,
        plain: options.plain,
        limit: options.limit.map(Duration::from_secs),
    };
    let ending = session::run(session, out).map_err(Error::Qemu)?;
    writeln!(out, "{ending}; logs are in {}", dir.display())?;
    Ok(ExitCode::from(ending.code()))
}

fn machine(options: &Options) -> Machine {
    let board = match options.gic.as_str() {
        "2" => Board::VirtGicV2,
        _ => Board::VirtGicV3,
    };
    Machine {
        board,
        extra: options.qemu.clone(),
        ..Machine::virt(options.cpus, options.memory)
    }
}

/// The image to boot: the one given, or packed from it and the files given.
fn image(options: &Options, out: &mut dyn Write) -> Result<PathBuf, Error> {
    let files = options.contents.inputs()?;
    if files.is_empty() {
        return Ok(options.image.clone());
    }
    let packed = super::image::pack(&options.image, &files)?;
    let path = options.dir.join("packed.img");
    write(&path, &packed)?;
    writeln!(out, "{}: {} bytes", path.display(), packed.len())?;
    Ok(path)
}

/// The tree the hypervisor will find: QEMU's own is asked for.
fn board(options: &Options, machine: &Machine, out: &mut dyn Write) -> Result<PathBuf, Error> {
    let path = options.dir.join("board.dtb");
    match &options.board {
        Some(file) => write(&path, &tree(file)?)?,
        None => machine.dump_dtb(&path).map_err(Error::Qemu)?,
    }
    writeln!(
        out,
        "{}: {} CPUs, {} MiB",
        path.display(),
        options.cpus,
        options.memory
    )?;
    Ok(path)
}

/// What there is to watch, if the hypervisor will find no errors.
fn layout(board: &Path, image: &[u8], out: &mut dyn Write) -> Result<Option<Layout>, Error> {
    let base = read(board)?;
    let content = |error: FdtError| Error::Content(board.into(), error.to_string());
    let blob = Blob::check(&base).map_err(content)?;
    let pack = pack::find(image);
    let packed = pack.iter().flat_map(Pack::files);
    let overlays = packed.filter(|f| f.kind == Kind::Overlay);
    let overlays: Vec<Named<'_>> = overlays
        .map(|f| Named {
            name: f.name,
            bytes: f.bytes,
        })
        .collect();
    let mut report = Report::new();
    let merged = merge(&blob, &overlays, &mut report);
    let survey = merged.as_deref().and_then(|bytes| Blob::check(bytes).ok());
    let survey = survey.map(|blob| Survey::new(blob, Inputs::default()));
    if let Some(survey) = &survey {
        report
            .findings
            .extend(survey.report.findings.iter().cloned());
    }
    check::findings(&report, out)?;
    let layout = survey.filter(|s| s.configured).as_ref().map(Layout::of);
    if layout.is_none() {
        writeln!(
            out,
            "no VM is configured: give overlays, or an image with some"
        )?;
    }
    Ok(layout.filter(|_| !report.has_errors()))
}
